"""The random draws of a clip: when, where and which way round.

Every draw comes from the generator that the pipeline keys by (seed, example),
and is plain numbers: what is decoded and cropped is decided before decoding.
"""

import contextlib
import contextvars
import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Int


class Box(NamedTuple):
  """A part of a picture, in pixels."""

  top: int
  left: int
  height: int
  width: int


_heard: contextvars.ContextVar[list[int] | None] = contextvars.ContextVar(
  'heard', default=None
)


@contextlib.contextmanager
def repeats() -> Iterator[list[int]]:
  """Inside, of each window that is made: how many frames were not there.

  They are the last one again. A record is right with them, but is to be told.
  """
  heard = []
  token = _heard.set(heard)
  try:
    yield heard
  finally:
    _heard.reset(token)


def random_window(
  rng: np.random.Generator,
  total: int,
  frames: int,
  stride: tuple[int, int],
) -> Int[np.ndarray, '{frames}']:
  """Frame numbers of a clip: a random stride, then a random start.

  Where the clip does not fit in the video, the stride is the largest that
  does; where none of the range does, the last frame is repeated.

  Args:
    rng: where the draws come from.
    total: frames of the video.
    frames: frames of the clip.
    stride: least and greatest distance between frames, both drawn.
  """
  # The stride first: which starts there are depends on it.
  step = _fitting(
    int(rng.integers(*stride, endpoint=True)), total, frames, stride
  )
  spare = max(0, total - 1 - step * (frames - 1))
  start = int(rng.integers(spare, endpoint=True))
  return _numbers(start, step, total, frames)


def middle_window(
  total: int, frames: int, stride: tuple[int, int]
) -> Int[np.ndarray, '{frames}']:
  """As `random_window`: the middle stride, the middle start."""
  step = _fitting(sum(stride) // 2, total, frames, stride)
  spare = max(0, total - 1 - step * (frames - 1))
  return _numbers(spare // 2, step, total, frames)


def window(
  rng: np.random.Generator | None,
  total: int,
  frames: int,
  stride: tuple[int, int],
) -> Int[np.ndarray, '{frames}']:
  """Frame numbers of a clip: at random, or without `rng` from the middle.

  See `random_window` and `middle_window`.
  """
  if rng is None:
    return middle_window(total, frames, stride)
  return random_window(rng, total, frames, stride)


def spread_window(
  total: int, frames: int, stride: tuple[int, int], number: int, clips: int
) -> Int[np.ndarray, '{frames}']:
  """Frame numbers of clip `number` of `clips`, evenly from start to end.

  With one clip as `middle_window`; with two, the first and the last
  clip that fit; the stride is always the middle one.
  """
  middle = middle_window(total, frames, stride)
  if clips == 1:
    return middle
  spare = total - 1 - (middle[-1] - middle[0])
  return middle - middle[0] + spare * number // (clips - 1)


def _fitting(
  step: int, total: int, frames: int, stride: tuple[int, int]
) -> int:
  """`step`, or the largest step of the range below it that fits."""
  longest = (total - 1) // max(1, frames - 1)
  return max(stride[0], min(step, longest))


def _numbers(start: int, step: int, total: int, frames: int) -> np.ndarray:
  numbers = start + step * np.arange(frames)
  heard = _heard.get()
  if heard is not None:
    heard.append(int((numbers >= total).sum()))
  return np.minimum(numbers, total - 1)


def random_box(
  rng: np.random.Generator,
  height: int,
  width: int,
  scale: tuple[float, float],
  aspect: tuple[float, float],
) -> Box:
  """A random-resized-crop (Szegedy et al., arXiv 1409.4842).

  Its area is uniform and its aspect log-uniform; both are drawn again, at most
  ten times, until the box fits. Then the largest centred box that is within
  the range of aspects.

  Args:
    rng: where the draws come from.
    height: of the picture, pixels.
    width: of the picture, pixels.
    scale: least and greatest area, as a fraction of the picture's.
    aspect: least and greatest width / height of the box.
  """
  # As many tries as torchvision's RandomResizedCrop makes.
  for _ in range(10):
    area = rng.uniform(*scale) * height * width
    # By the logarithm: 3/4 is then as likely as 4/3.
    ratio = math.exp(rng.uniform(math.log(aspect[0]), math.log(aspect[1])))
    rows, columns = (
      round(math.sqrt(area / ratio)),
      round(math.sqrt(area * ratio)),
    )
    if 0 < rows <= height and 0 < columns <= width:
      top = int(rng.integers(height - rows, endpoint=True))
      left = int(rng.integers(width - columns, endpoint=True))
      return Box(top, left, rows, columns)
  nearest = min(max(width / height, aspect[0]), aspect[1])
  return centre_box(height, width, nearest)


def centre_box(height: int, width: int, aspect: float) -> Box:
  """The largest centred box whose width / height is `aspect`."""
  rows = min(height, max(1, round(width / aspect)))
  columns = min(width, max(1, round(height * aspect)))
  return Box((height - rows) // 2, (width - columns) // 2, rows, columns)


def random_flip(rng: np.random.Generator, probability: float) -> bool:
  """Whether to mirror left and right."""
  return bool(rng.random() < probability)
