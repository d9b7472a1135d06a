"""The comparison with the official code, but for the official code."""

import math

import pytest

from launch.bench.peers import official
from models.published import files, names


@pytest.mark.slow
def test_zeros_have_the_published_names_and_shapes(tmp_path):
  path = str(tmp_path / 'zeros.npz')
  official.zeros(path)
  shapes = {key: entry.shape for key, entry in files.opened(path).items()}
  layout = names.of_file(path, shapes)
  assert (layout.kind, layout.extra, len(shapes)) == ('depth', (), 213)
  assert sum(map(math.prod, shapes.values())) == 105_026_944
