"""Pictures of labelled data: decoded, cut to a shape, resized."""

from collections.abc import Sequence

import cv2
import numpy as np
from jaxtyping import Float, Int, Shaped, UInt8

from data import transforms
from data.formats import picture
from data.source import BadRecord

cv2.setNumThreads(1)  # parallelism is over clips, in the pipeline's workers


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


def decode(data: bytes, *, reduce: int = 1) -> UInt8[np.ndarray, 'h w 3']:
  """RGB of an encoded picture (JPEG, PNG), as stored: not turned.

  Args:
    data: the file.
    reduce: 1, 2, 4 or 8: decode a JPEG at this part of its size, which takes
      as much less time.

  Raises:
    BadRecord: not a picture, or one that is too large.
  """
  how = {
    1: cv2.IMREAD_COLOR,
    2: cv2.IMREAD_REDUCED_COLOR_2,
    4: cv2.IMREAD_REDUCED_COLOR_4,
    8: cv2.IMREAD_REDUCED_COLOR_8,
  }[reduce]
  found = picture.decode(data, how | cv2.IMREAD_IGNORE_ORIENTATION)
  return np.ascontiguousarray(found[..., ::-1])


def stack(
  pictures: Sequence[UInt8[np.ndarray, '_h _w 3']],
) -> UInt8[np.ndarray, 't h w 3']:
  """One video of pictures.

  Raises:
    BadRecord: they differ in size.
  """
  shapes = sorted({picture.shape[:2] for picture in pictures})
  if len(shapes) > 1:
    raise BadRecord(f'the frames of a clip differ in size: {shapes}')
  return np.stack(pictures)


def reduction(old: tuple[int, int], new: tuple[int, int]) -> int:
  """The most that `decode` may reduce (height, width) `old` to give `new`."""
  fits = min(old[0] // new[0], old[1] // new[1])
  return max(step for step in (1, 2, 4, 8) if step <= max(1, fits))


def centred(
  frames: Shaped[np.ndarray, 't _h _w c'], height: int, width: int
) -> Shaped[np.ndarray, 't _y _x c']:
  """The largest centred part of the shape of height x width, not resized."""
  box = transforms.centre_box(*frames.shape[1:3], width / height)
  bottom, right = box.top + box.height, box.left + box.width
  return frames[:, box.top : bottom, box.left : right]


def spread_part(
  frames: Shaped[np.ndarray, 't _h _w c'],
  height: int,
  width: int,
  number: int,
  count: int,
) -> Shaped[np.ndarray, 't _y _x c']:
  """As `centred`, but part `number` of `count`, evenly from end to end.

  They are spread over the side that the centred part does not fill; one part
  is the centre.
  """
  box = transforms.centre_box(*frames.shape[1:3], width / height)
  top, left = box.top, box.left
  if count > 1:
    top = (frames.shape[1] - box.height) * number // (count - 1)
    left = (frames.shape[2] - box.width) * number // (count - 1)
  return frames[:, top : top + box.height, left : left + box.width]


def centred_intrinsics(
  intrinsics: Float[np.ndarray, '3 3'],
  size: tuple[int, int],
  height: int,
  width: int,
) -> Float[np.ndarray, '3 3']:
  """Intrinsics of pictures after `centred` and resizing to height x width.

  Args:
    intrinsics: in pixels of the whole picture, a pixel's centre at +0.5.
    size: (height, width) of the whole picture.
    height: pixels, of the result.
    width: pixels, of the result.
  """
  box = transforms.centre_box(*size, width / height)
  shift = np.float64([[1, 0, -box.left], [0, 1, -box.top], [0, 0, 1]])
  scale = np.diag([width / box.width, height / box.height, 1.0])
  return (scale @ shift @ intrinsics).astype(np.float32)
