"""How a frame is to be shown: turned, mirrored, of square pixels."""

from collections.abc import Sequence
from fractions import Fraction
from typing import NamedTuple

import av
import numpy as np
from jaxtyping import Shaped

from data.source import BadRecord

_ROUNDED = 0.02  # of a side, by which sizes of one shape differ


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


def aspect(stream: av.VideoStream) -> Fraction:
  """Width / height of a pixel.

  The one that a GIF has a byte for is ignored, as browsers do: what is written
  there is seldom meant.
  """
  if stream.container.format.name == 'gif':
    return Fraction(1)
  return stream.sample_aspect_ratio or Fraction(1)


def upright_size(
  stream: av.VideoStream, frame: av.VideoFrame
) -> tuple[int, int]:
  """(height, width) of a frame as it is to be shown: upright, square pixels."""
  # Pixels of old cameras are not square; only the width is stretched, as
  # players do.
  width = max(1, round(frame.width * aspect(stream)))
  return (width, frame.height) if turn(frame).swaps else (frame.height, width)


def common_size(sizes: Sequence[tuple[int, int]]) -> tuple[int, int]:
  """The largest (height, width) of frames whose picture changes size.

  As when a call has more or fewer bytes a second; a player fills its window.

  Raises:
    BadRecord: their shapes differ: in one size they would be squeezed.
  """
  height, width = max(sizes, key=lambda size: size[0] * size[1])
  for tall, wide in sizes:
    if abs(wide * height - width * tall) > _ROUNDED * width * tall + height:
      raise BadRecord(
        f'its picture changes from {sizes[0][1]} x {sizes[0][0]} to '
        f'{sizes[-1][1]} x {sizes[-1][0]} within a clip'
      )
  return height, width
