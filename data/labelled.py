"""What the readers of labelled data sets share: frames, rows and checks.

A centred crop is `transforms.centre_box`.
"""

from collections.abc import Sequence

import cv2
import numpy as np
from jaxtyping import Bool, Float, Int, Shaped, UInt8

from data import transforms

cv2.setNumThreads(1)

SPLITS = ('train', 'validation', 'test')


def resize(
  video: UInt8[np.ndarray, 't _h _w 3'], height: int, width: int
) -> UInt8[np.ndarray, 't {height} {width} 3']:
  """The whole of each frame, whatever its shape: averaged where it shrinks.

  Where it grows in height or width it is bilinear.
  """
  if video.shape[1:3] == (height, width):
    return video
  shrinks = height <= video.shape[1] and width <= video.shape[2]
  how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
  resized = np.empty((len(video), height, width, 3), np.uint8)
  for frame, target in zip(video, resized):
    cv2.resize(frame, (width, height), dst=target, interpolation=how)
  return resized


def resize_depth(
  depth: Shaped[np.ndarray, 't _h _w 1'], height: int, width: int
) -> Shaped[np.ndarray, 't {height} {width} 1']:
  """The value at the centre of each new pixel; also for segmentations.

  Values are never mixed: between two surfaces there is none.
  """
  rows = _nearest(depth.shape[1], height)
  columns = _nearest(depth.shape[2], width)
  return depth[:, rows[:, None], columns]


def _nearest(old: int, new: int) -> Int[np.ndarray, '{new}']:
  """Which of `old` pixels the centre of each of `new` pixels lies in."""
  return (2 * np.arange(new) + 1) * old // (2 * new)


def pad_rows(
  values: Float[np.ndarray, 'n t c'],
  visible: Bool[np.ndarray, 'n t'],
  rows: int,
) -> tuple[Float[np.ndarray, '{rows} t c'], Bool[np.ndarray, '{rows} t']]:
  """The first `rows` tracks, or boxes, and then zeros that are never visible.

  Args:
    values: of each track in each frame.
    visible: whether it is seen there.
    rows: of the result.
  """
  padded = np.zeros((rows, *values.shape[1:]), np.float32)
  seen = np.zeros((rows, visible.shape[1]), bool)
  kept = min(rows, len(values))
  padded[:kept], seen[:kept] = values[:kept], visible[:kept]
  return padded, seen


def window(
  rng: np.random.Generator | None,
  total: int,
  frames: int,
  stride: tuple[int, int],
) -> Int[np.ndarray, '{frames}']:
  """Frame numbers of a clip: at random, or without `rng` from the middle.

  See `transforms.random_window` and `transforms.middle_window`.
  """
  if rng is None:
    return transforms.middle_window(total, frames, stride)
  return transforms.random_window(rng, total, frames, stride)


def check_keys(name: str, keys: Sequence[str], known: Sequence[str]):
  """Refuses what the source `name` cannot give.

  Raises:
    ValueError: a key that is not known, or no key.
  """
  missing = [key for key in keys if key not in known]
  if missing or not keys:
    raise ValueError(
      f'{name}: keys={tuple(keys)}: {missing or "nothing"} cannot be given. '
      f'Choose from {tuple(known)}, or another source.'
    )


def check_split(name: str, split: str, known: Sequence[str] = SPLITS):
  """Refuses a split that the source `name` does not have.

  Raises:
    ValueError: it names those that exist.
  """
  if split not in known:
    raise ValueError(
      f'{name}: split={split!r} does not exist: choose one of {tuple(known)}.'
    )


def check_positive(name: str, **sizes: int):
  """Refuses frames, pixels or rows below 1.

  Raises:
    ValueError: naming the option.
  """
  for option, value in sizes.items():
    if value < 1:
      raise ValueError(f'{name}: {option}={value} must be at least 1.')
