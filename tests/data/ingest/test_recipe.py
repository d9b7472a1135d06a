"""Recipes of ingestion: what is impossible is refused."""

import pytest

from data.ingest.recipe import Recipe


@pytest.mark.parametrize(
  ('option', 'said'),
  [
    ({'preset': 'meduim'}, "did you mean 'medium'"),
    ({'overlap_frames': 208}, 'less than chunk_frames=160'),
    ({'overlap_frames': 8}, 'multiples of 16'),
    ({'short_side': -4}, 'short_side=-4 must be'),
  ],
)
def test_an_impossible_recipe_is_refused(option, said):
  with pytest.raises(ValueError, match=said):
    Recipe(**option)


@pytest.mark.parametrize(
  'options',
  [
    {'chunk_frames': 100},
    {'overlap_frames': 8},
    {'chunk_frames': 32, 'overlap_frames': 32},
    {'chunk_frames': 2**16},
  ],
)
def test_impossible_chunks_are_errors(options):
  with pytest.raises(ValueError, match='must be'):
    Recipe(**options)
