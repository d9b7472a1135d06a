"""The published sizes count what they must, see `test_shapes.py` too."""

import pytest

from models import sizes


def test_published_totals_with_latents():
  # In millions, as published; g has no such figure.
  published = {'S': 22.79, 'B': 88.04, 'L': 306.29, 'H': 634.66, 'G': 1847.8}
  published |= {'e': 3810.9, 'j': 21495.2}
  for name, millions in published.items():
    size = sizes.SIZES[name]
    total = (size.parameters + 784 * size.width) / 1e6
    assert total == pytest.approx(millions, abs=0.05), name


def test_changes_drop_the_count():
  size = sizes.get('tiny', depth=3, heads=None)
  assert (size.depth, size.width, size.parameters) == (3, 192, None)
  assert sizes.get('S', depth=None) is sizes.SIZES['S']


@pytest.mark.parametrize(
  ('name', 'changes', 'message'),
  [
    ('tinny', {}, "did you mean 'tiny'"),
    ('b', {}, 'expected one of tiny, S, B'),
    ('S', {'heads': 5}, 'heads must divide width, got width=384'),
    ('S', {'depth': 0}, 'depth must be at least 1, got 0'),
  ],
)
def test_bad_sizes_say_what_to_do(name, changes, message):
  with pytest.raises(ValueError, match=message):
    sizes.get(name, **changes)
