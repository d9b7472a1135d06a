"""How a frame is to be shown: turned, mirrored, of square pixels."""

from fractions import Fraction
from typing import NamedTuple

import av
import numpy as np
from jaxtyping import Shaped


class Turn(NamedTuple):
  """What brings a picture upright: first the axes, then the mirrors."""

  swaps: bool  # rows become columns
  left_right: bool
  top_bottom: bool

  @property
  def mirrors(self) -> bool:
    """Whether writing would be mirrored: the determinant is negative."""
    return self.swaps ^ self.left_right ^ self.top_bottom


UPRIGHT = Turn(False, False, False)


def turn(frame: av.VideoFrame) -> Turn:
  """What the display matrix of a frame asks for.

  (x, y) is shown at (a x + c y, b x + d y): of the eight ways that pixels can
  lie on pixels the nearest, so that the sign of each number is seen. FFmpeg's
  autorotate does the same; a rotation alone (`frame.rotation`) cannot tell a
  mirror from a half turn.
  """
  try:
    matrix = frame.side_data['DISPLAYMATRIX']
  except KeyError:
    return UPRIGHT
  a, b, _, c, d, *_ = np.frombuffer(matrix, np.int32).tolist()
  if abs(a) + abs(d) >= abs(b) + abs(c):
    return Turn(False, a < 0, d < 0)
  return Turn(True, c < 0, b < 0)


def turned(
  picture: Shaped[np.ndarray, 'h w ...'], how: Turn
) -> Shaped[np.ndarray, 'y x ...']:
  """The picture (or a plane of one), upright; a view."""
  if how.swaps:
    picture = picture.swapaxes(0, 1)
  rows = slice(None, None, -1 if how.top_bottom else 1)
  columns = slice(None, None, -1 if how.left_right else 1)
  return picture[rows, columns]


def upright_size(
  stream: av.VideoStream, frame: av.VideoFrame
) -> tuple[int, int]:
  """(height, width) of a frame as it is to be shown: upright, square pixels.

  The aspect that a GIF has a byte for is ignored, as browsers do: what is
  written there is seldom meant.
  """
  aspect = stream.sample_aspect_ratio or Fraction(1)
  if stream.container.format.name == 'gif':
    aspect = Fraction(1)
  # Pixels of old cameras are not square; only the width is stretched, as
  # players do.
  height, width = frame.height, max(1, round(frame.width * aspect))
  return (width, height) if turn(frame).swaps else (height, width)
