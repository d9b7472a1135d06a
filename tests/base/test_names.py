import pytest

from base import names


def test_a_name_that_there_is_comes_back():
  assert names.choose('size', 'S', ('S', 'B')) == 'S'


def test_another_one_is_told_with_the_nearest():
  message = "unknown size 'smal': expected one of small, large; .*'small'"
  with pytest.raises(ValueError, match=message):
    names.choose('size', 'smal', ('small', 'large'))


def test_an_empty_choice_is_seen():
  with pytest.raises(ValueError, match="one of '', tiny; "):
    names.choose('sweep', 'tinny', ('', 'tiny'))


def test_without_choices_nothing_is_near():
  assert names.nearest('x', ()) == ''
