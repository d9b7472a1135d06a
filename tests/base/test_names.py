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


@pytest.mark.parametrize(
  ('name', 'choices', 'near'),
  [
    ('sede', ('steps', 'seed'), 'seed'),
    ('Tinny', ('S', 'tiny'), 'tiny'),
    ('v5q', ('v5p', 'v6e'), 'v5p'),
    ('val', ('train', 'validation', 'test'), 'validation'),
    ('image', ('steps/observation/image', 'tags'), 'steps/observation/image'),
    ('lrr', ('optim.lr', 'steps'), 'optim.lr'),
    ('optim.lrr', ('data.lr', 'optim.lr'), 'optim.lr'),
    ('blah', ('placebo', 'ultrafast', 'medium'), ''),
    ('foo', ('train', 'validation', 'test'), ''),
    ('gs', ('tfds', 'ssv2'), ''),
    ('x', ('xyz', ''), ''),
  ],
)
def test_near_is_what_helps(name, choices, near):
  assert names.nearest(name, choices) == near
  with pytest.raises(ValueError, match='expected one of') as error:
    names.choose('thing', name, choices)
  assert ('did you mean' in str(error.value)) == bool(near)


def test_without_choices_nothing_is_near():
  assert names.nearest('x', ()) == ''
