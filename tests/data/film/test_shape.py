"""Upright, not mirrored, of square pixels: as ffmpeg shows it."""

import shutil
import subprocess
from fractions import Fraction

import numpy as np
import pytest

from data import film as film_lib
from data.film import shape


def load(path) -> np.ndarray:
  """The file as RGB, upright."""
  with film_lib.opened(path) as stream:
    return np.stack(
      [
        film_lib.upright(frame, *film_lib.upright_size(stream, frame))
        for frame in film_lib.whole(stream)
      ]
    )


# a b u, c d v, x y w: (x, y) is shown at (a x + c y, b x + d y). What ffmpeg's
# autorotate does of each, in numpy.
MATRICES = {
  'none': ((1, 0, 0, 0, 1, 0, 0, 0, 1), lambda x: x),
  'half': ((-1, 0, 0, 0, -1, 0, 64, 48, 1), lambda x: x[::-1, ::-1]),
  'left-right': ((-1, 0, 0, 0, 1, 0, 64, 0, 1), lambda x: x[:, ::-1]),
  'top-bottom': ((1, 0, 0, 0, -1, 0, 0, 48, 1), lambda x: x[::-1]),
  'clock': ((0, 1, 0, -1, 0, 0, 48, 0, 1), lambda x: np.rot90(x, -1)),
  'counter': ((0, -1, 0, 1, 0, 0, 0, 64, 1), lambda x: np.rot90(x)),
  'transpose': ((0, 1, 0, 1, 0, 0, 0, 0, 1), lambda x: x.swapaxes(0, 1)),
  'other': (
    (0, -1, 0, -1, 0, 0, 48, 64, 1),
    lambda x: x[::-1, ::-1].swapaxes(0, 1),
  ),
}


@pytest.mark.parametrize('name', MATRICES)
def test_a_display_matrix_turns_and_mirrors(tmp_path, film, name):
  matrix, expected = MATRICES[name]
  clip = film.texture(2)
  path = film.write(tmp_path / 'a.mp4', clip, matrix=matrix)
  loaded = load(path)
  expected = np.stack([expected(picture) for picture in clip])
  assert loaded.shape == expected.shape
  assert np.abs(loaded.astype(int) - expected).mean() < 8
  with film_lib.opened(path) as stream:
    frame = next(film_lib.whole(stream))
    height, width = expected.shape[1:3]
    planes = film_lib.upright_planes(frame, height, width)
    shown = planes.to_ndarray(format='rgb24')
    assert film_lib.turn(frame).mirrors == (
      np.linalg.det(np.reshape(matrix, (3, 3))[:2, :2]) < 0
    )
  assert np.abs(shown.astype(int) - expected[0]).mean() < 8


def test_a_matrix_of_nothing_or_of_a_slant_is_the_nearest(tmp_path, film):
  for matrix, swaps in (
    ((0, 0, 0, 0, 0, 0, 0, 0, 1), False),
    ((0.99, 0.1, 0, -0.1, 0.99, 0, 0, 0, 1), False),
    ((0.1, -0.99, 0, 0.99, 0.1, 0, 0, 0, 1), True),
  ):
    path = film.write(tmp_path / 'a.mp4', film.texture(1), matrix=matrix)
    with film_lib.opened(path) as stream:
      turn = film_lib.turn(next(film_lib.whole(stream)))
    assert turn == shape.Turn(swaps, False, swaps)


@pytest.mark.parametrize('rotation', [0, 90])
def test_pixels_become_square(tmp_path, film, rotation):
  path = film.write(
    *(tmp_path / 'a.mp4', film.texture(1)),
    rotation=rotation,
    aspect=Fraction(3, 2),
  )
  assert load(path).shape[1:3] == ((96, 48) if rotation else (48, 96))


@pytest.mark.parametrize('byte', [0, 1, 49, 113, 255])
def test_the_aspect_byte_of_a_gif_is_ignored(tmp_path, film, byte):
  """As browsers do."""
  path = film.write(
    tmp_path / 'a.gif', film.greys(2), codec='gif', pixels='rgb8'
  )
  data = bytearray(path.read_bytes())
  data[12] = byte  # of the logical screen descriptor
  path.write_bytes(data)
  assert load(path).shape == (2, 48, 64, 3)


@pytest.mark.skipif(not shutil.which('ffmpeg'), reason='asks ffmpeg')
def test_matrices_are_as_ffmpeg_shows_them(tmp_path, film):
  for matrix, expected in MATRICES.values():
    path = film.write(tmp_path / 'a.mp4', film.texture(1), matrix=matrix)
    command = [
      'ffmpeg',
      '-loglevel',
      'error',
      '-i',
      str(path),
      '-f',
      'rawvideo',
    ]
    command += ['-pix_fmt', 'rgb24', '-']
    shown = subprocess.run(command, check=True, capture_output=True).stdout
    height, width = expected(np.zeros((48, 64))).shape
    shown = np.frombuffer(shown, np.uint8).reshape(height, width, 3)
    assert np.abs(shown.astype(int) - load(path)[0]).mean() < 3
