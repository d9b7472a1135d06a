"""What an mp4 says is meant to be seen is what is shown."""

import struct

import numpy as np
import pytest

from data import film as film_lib
from data.film import aperture
from tests.data.film.test_shape import load

PARENTS = ('moov', 'trak', 'mdia', 'minf', 'stbl', 'stsd', 'avc1')


def with_clap(path, width, height, right=(0, 1), down=(0, 1)):
  """Adds a clean aperture to the only track; the index is at the end."""
  numbers = (width, 1, height, 1, *right, *down)
  box = struct.pack('>I4s4IiIiI', 40, b'clap', *numbers)
  data = bytearray(path.read_bytes())
  at = data.index(b'moov')
  for kind in PARENTS:
    at = data.index(kind.encode(), at)
    size = int.from_bytes(data[at - 4 : at], 'big')
    data[at - 4 : at] = (size + len(box)).to_bytes(4, 'big')
  data[at + 82 : at + 82] = box
  path.write_bytes(data)
  return path


@pytest.mark.parametrize(
  ('clap', 'shown'),
  [
    ((60, 40), (slice(4, 44), slice(2, 62))),
    ((64, 44), (slice(2, 46), slice(0, 64))),
    ((60, 40, (2, 1), (-4, 1)), (slice(0, 40), slice(4, 64))),
    ((60, 40, (4, 2), (-8, 2)), (slice(0, 40), slice(4, 64))),
  ],
)
def test_a_clean_aperture_is_what_is_seen(tmp_path, film, clap, shown):
  clip = film.texture(3)
  path = with_clap(film.write(tmp_path / 'a.mp4', clip), *clap)
  loaded = load(path)
  expected = clip[(slice(None), *shown)]
  assert loaded.shape == expected.shape
  assert np.abs(loaded.astype(int) - expected).mean() < 8


@pytest.mark.parametrize(
  'clap', [(64, 48), (80, 48), (0, 0), (60, 40, (9, 1)), (60, 40, (1, 0))]
)
def test_an_aperture_that_is_none_is_ignored(tmp_path, film, clap):
  path = with_clap(film.write(tmp_path / 'a.mp4', film.texture(2)), *clap)
  with film_lib.opened(path) as stream:
    assert aperture.of(stream) is None
  assert load(path).shape == (2, 48, 64, 3)


def test_other_files_have_none(tmp_path, film):
  for suffix in ('mp4', 'mkv', 'avi'):
    path = film.write(tmp_path / f'a.{suffix}', film.texture(2))
    with film_lib.opened(path) as stream:
      assert aperture.of(stream) is None
    with film_lib.opened(path.read_bytes()) as stream:
      assert aperture.of(stream) is None
