"""What the readers of labelled data sets share: frames, rows and checks."""

import hashlib
from collections.abc import Sequence

import cv2
import numpy as np
from jaxtyping import Bool, Float, Int, Shaped, UInt8

from data import transforms
from data.source import BadRecord

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


def picture(data: bytes, *, reduce: int = 1) -> UInt8[np.ndarray, 'h w 3']:
  """RGB of an encoded picture (JPEG, PNG), as stored: not turned.

  Args:
    data: the file.
    reduce: 1, 2, 4 or 8: decode a JPEG at this part of its size, which takes
      as much less time.

  Raises:
    BadRecord: not a picture.
  """
  how = {
    1: cv2.IMREAD_COLOR,
    2: cv2.IMREAD_REDUCED_COLOR_2,
    4: cv2.IMREAD_REDUCED_COLOR_4,
    8: cv2.IMREAD_REDUCED_COLOR_8,
  }[reduce]
  coded = np.frombuffer(data, np.uint8)
  found = None
  if len(coded):
    found = cv2.imdecode(coded, how | cv2.IMREAD_IGNORE_ORIENTATION)
  if found is None:
    raise BadRecord(f'{len(data)} bytes are not a picture, or a damaged one')
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
  """The most that `picture` may reduce (height, width) `old` to give `new`."""
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


def spread_window(
  total: int, frames: int, stride: tuple[int, int], number: int, clips: int
) -> Int[np.ndarray, '{frames}']:
  """Frame numbers of clip `number` of `clips`, evenly from start to end.

  With one clip as `transforms.middle_window`; with two, the first and the last
  clip that fit; the stride is always the middle one.
  """
  middle = transforms.middle_window(total, frames, stride)
  if clips == 1:
    return middle
  spare = total - 1 - (middle[-1] - middle[0])
  return middle - middle[0] + spare * number // (clips - 1)


def part_of_train(
  name: str, split: str, groups: Sequence[str], fraction: int | float
) -> Bool[np.ndarray, 'n']:
  """What a split has of a list for training that also gives validation.

  Where a data set has two splits, a learning rate chosen on its second one
  would be chosen on what is tested. So a part of the first is held out, by the
  hash of a name: the same on every machine, whatever else there is. At least
  one group is, if there are two, and a single one is not. That there is such a
  part is our choice.

  Args:
    name: of the source.
    split: 'train' or 'validation'.
    groups: of each of n clips; those of one group stay together.
    fraction: of the groups, for validation; 0: none.

  Raises:
    ValueError: a fraction that is not one, or that leaves nothing.
  """
  if not 0 <= fraction < 1:
    raise ValueError(
      f'{name}: validation_fraction={fraction} must be 0 or more, and less '
      'than 1'
    )
  hashes = np.array(
    [
      int.from_bytes(hashlib.sha256(group.encode()).digest()[:8], 'big')
      for group in groups
    ],
    np.uint64,
  )
  several = len(np.unique(hashes)) > 1
  held = several & (hashes / 2.0**64 < fraction)
  if fraction and several:
    held |= hashes == hashes.min()
  mine = held == (split == 'validation')
  if len(groups) and not mine.any():
    raise ValueError(
      f'{name}: validation_fraction={fraction} of the {len(np.unique(hashes))} '
      f'for training leaves none for {split}: change it, or say with '
      'validation= where the validation split is'
    )
  return mine


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


def check_stride(name: str, stride: Sequence[int]):
  """Refuses what is not the least and the greatest distance of frames.

  Raises:
    ValueError: saying what is expected.
  """
  if len(stride) != 2 or not 1 <= stride[0] <= stride[1]:
    raise ValueError(
      f'{name}: stride={tuple(stride)} must be (least, greatest), in order and '
      'at least 1.'
    )
