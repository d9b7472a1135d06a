"""MOVi-E: rendered clips of falling scanned objects, with all labels.

Kubric's MOVi data sets (Greff et al., CVPR 2022) as TensorFlow Datasets hold
them: `gs://kubric-public/tfds` (TFRecord) or its copy in ArrayRecord, which is
slower to read, since a record of 22 MB is unpacked as a whole. A clip is 24
frames, 12 in a second, of a camera that moves on a line.
"""

import dataclasses
from collections.abc import Sequence

import cv2
import numpy as np
from jaxtyping import Bool, Float, Int

from base.console import say
from data import pictures, require, splits, transforms
from data.formats import picture, tfds
from data.remote import Path
from data.source import BadRecord, digest, pad_rows
from data.sources.movi.tracks import Clip, tracks

KEYS = (
  'video',
  'depth',
  'pose',
  'intrinsics',
  'tracks',
  'tracks_visible',
  'boxes',
  'boxes_visible',
  'segmentation',
)
_LENGTHS = 'instances/bbox_frames/ragged_row_lengths_0'
_NUMBERS = (
  'metadata/height',
  'metadata/width',
  'metadata/depth_range',
  'camera/focal_length',
  'camera/sensor_width',
  'camera/positions',
  'camera/quaternions',
  'instances/quaternions',
  'instances/bboxes_3d',
  'instances/bboxes/ragged_flat_values',
  'instances/bbox_frames/ragged_flat_values',
  _LENGTHS,
)
# A list of PNGs each, and of which keys they are needed for.
_PICTURES = {
  'video': {'video'},
  'depth': {'depth', 'tracks', 'tracks_visible'},
  'segmentations': {'segmentation', 'tracks', 'tracks_visible'},
  'object_coordinates': {'tracks', 'tracks_visible'},
  'normal': {'tracks', 'tracks_visible'},
}
_BOXES = {'boxes', 'boxes_visible'}
_MOST = 23  # objects of a clip of MOVi, A to F
_CELLS = 2**20  # objects times frames of a record, at most
# Blender's camera looks along -z with y up; OpenCV's along z with y down.
_BLENDER = np.diag([1.0, -1.0, -1.0])


@dataclasses.dataclass(frozen=True)
class Movi:
  """A `data.source.Source`. See `make`."""

  folder: tfds.Folder
  keys: tuple[str, ...]
  frames: int
  height: int
  width: int
  stride: tuple[int, int]
  random: bool
  points: int
  objects: int

  @property
  def fingerprint(self) -> str:
    """Of the names of the shards and their numbers of records."""
    return digest([file.name for file in self.folder.files], self.folder.ends)

  @property
  def is_fixed(self) -> bool:
    """Whether a record is always the same clip."""
    return not self.random

  def __len__(self) -> int:
    """Number of records."""
    return len(self.folder)

  def needs(self, index: int) -> tuple[Path, ...]:
    """The shard of a record."""
    return (self.folder.file(index),)

  def read(self, index: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """One clip.

    Raises:
      BadRecord: damaged, or not a record of MOVi.
    """
    if not self.random:
      rng = np.random.default_rng(index)  # draws the points
    needed = [n for n, keys in _PICTURES.items() if keys & {*self.keys}]
    found = tfds.features(self.folder.read(index), [*_NUMBERS, *needed])
    total = len(found['camera/positions']) // 3
    try:
      window = transforms.window(
        rng if self.random else None, total, self.frames, self.stride
      )
      clip = self._labels(found, window, rng)
    # Lists of other lengths, or of other things than numbers.
    except (ValueError, IndexError, TypeError, AttributeError) as error:
      raise BadRecord(f'record {index}: not a clip of MOVi: {error}') from error
    return {key: clip[key] for key in self.keys}

  def _labels(self, found, window, rng) -> dict[str, np.ndarray]:
    size = self.height, self.width
    clip = {
      'pose': _pose(found, window),
      'intrinsics': _intrinsics(found, size),
    }
    boxes, visible = _boxes(found, window)
    if len(boxes) > max(self.objects, _MOST) and _BOXES & {*self.keys}:
      raise ValueError(f'{len(boxes)} objects, at most {_MOST} are possible')
    padded = pad_rows(boxes, visible, self.objects)
    clip['boxes'], clip['boxes_visible'] = padded
    if 'video' in found:
      video = _decode(found['video'], window)
      clip['video'] = pictures.resize(video, *size)
    if 'segmentations' in found:
      segmentation = _decode(found['segmentations'], window)
      clip['segmentation'] = pictures.resize_depth(segmentation, *size)
    if 'depth' in found:
      distance = _distance(found, window)
      stored = _intrinsics(found, distance.shape[1:3])
      z = distance / _length(stored, *distance.shape[1:3])
      clip['depth'] = pictures.resize_depth(z.astype(np.float32), *size)
    if 'normal' in found:
      scene = Clip(
        pose=clip['pose'],
        intrinsics=stored,
        distance=distance[..., 0],
        segmentation=segmentation[..., 0],
        corners=_per_object(found, 'bboxes_3d', 8, 3)[:, window],
        turn=_rotation(_per_object(found, 'quaternions', 4)[:, window]),
        coordinates=_decode(found['object_coordinates'], window[:1])[0],
        normals=_decode(found['normal'], window[:1])[0],
      )
      followed = tracks(scene, self.points, rng)
      padded = pad_rows(*followed, self.points)
      clip['tracks'], clip['tracks_visible'] = padded
    return clip


def make(
  split: str,
  *,
  path: str,
  keys: Sequence[str],
  frames: int = 16,
  height: int = 224,
  width: int = 224,
  stride: Sequence[int] = (1, 1),
  window: str = 'random',
  points: int = 64,
  objects: int = 25,
) -> Movi:
  """Clips of one split of MOVi-E (or MOVi-A to F, if it has all features).

  Depth is z, made of the stored distance from the camera; video is averaged
  where it shrinks, depth and segmentation are the nearest pixel. Boxes are of
  all objects, in the order of the segmentation; a record with more than
  `objects` keeps the first. How many are left out so is not counted, which
  would take reading all records; that there may be some is said. Tracks start
  in frame 0, as `movi/tracks.py` says; where frame 0 has fewer pixels to follow
  than `points`, the last rows are padding. Training draws window and points;
  the other splits have the middle window, and points drawn by the record's
  index.

  Args:
    split: 'train', 'validation' or 'test' (objects and backgrounds not seen
      in training).
    path: folder of a version, .../movi_e/256x256/1.0.0.
    keys: of the record (KEYS); only what they need is decoded.
    frames: of a clip, of the 24.
    height: pixels; the whole picture is resized, whatever its shape.
    width: pixels.
    stride: least and greatest distance between frames.
    window: of the training split: 'random', or 'middle' as in the others.
    points: rows of tracks.
    objects: rows of boxes; MOVi-E has at most 23 objects.

  Raises:
    ValueError: a bad option, folder or split, or files that are not MOVi's.
  """
  require.one_of('movi', splits.SPLITS, split=split)
  require.keys('movi', keys, KEYS)
  require.at_least(
    1,
    'movi',
    frames=frames,
    height=height,
    width=width,
    points=points,
    objects=objects,
  )
  require.stride('movi', stride)
  require.one_of('movi', ('random', 'middle'), window=window)
  folder = tfds.open_folder(path, split)
  try:
    first = tfds.features(folder.read(0), [*_NUMBERS, *_PICTURES])
  except BadRecord as error:
    raise ValueError(f'movi: {path} is not MOVi-E: {error}') from error
  total = len(first['video'])
  if (frames - 1) * stride[0] >= total:
    raise ValueError(
      f'movi: frames={frames} at stride={tuple(stride)} do not fit in the '
      f'{total} frames of a record: ask for fewer.'
    )
  if _BOXES & {*keys} and objects < _MOST:
    say(
      f'movi: objects={objects}: a record may have up to {_MOST}; those beyond '
      'are left out, and not counted'
    )
  return Movi(
    folder=folder,
    keys=tuple(keys),
    frames=frames,
    height=height,
    width=width,
    stride=tuple(stride),
    random=split == 'train' and window == 'random',
    points=points,
    objects=objects,
  )


def _decode(coded: list[bytes], frames: Int[np.ndarray, 't']) -> np.ndarray:
  """PNGs of 8 or 16 bits as [t h w c]."""
  decoded = []
  for number in frames:
    try:
      found = picture.decode(coded[number], cv2.IMREAD_UNCHANGED)
    except BadRecord as error:
      raise BadRecord(f'frame {number}: {error}') from error
    decoded.append(np.atleast_3d(found)[..., ::-1])
  return np.ascontiguousarray(np.stack(decoded))


def _distance(found, window) -> Float[np.ndarray, 't h w 1']:
  """From the centre of the camera, of 65536 steps."""
  near, far = found['metadata/depth_range'].astype(np.float64)
  return _decode(found['depth'], window) / 65535 * (far - near) + near


def _length(
  intrinsics: Float[np.ndarray, '3 3'], height: int, width: int
) -> Float[np.ndarray, 'h w 1']:
  """Of the ray through each pixel from the camera to the plane z = 1."""
  (fx, _, cx), (_, fy, cy), _ = intrinsics
  x = (np.arange(width) + 0.5 - cx) / fx
  y = (np.arange(height) + 0.5 - cy) / fy
  return np.sqrt(1 + x**2 + y[:, None] ** 2)[..., None]


def _intrinsics(found, size: tuple[int, int]) -> Float[np.ndarray, '3 3']:
  """In pixels of the picture resized to `size`; stored pixels are square.

  The lens is given as focal length and width of the sensor, in millimetres.
  """
  (focal,), (sensor,) = (
    found['camera/focal_length'],
    found['camera/sensor_width'],
  )
  (height,), (width,) = found['metadata/height'], found['metadata/width']
  fx = focal / sensor * size[1]
  # By the width too: the sensor's height is not told, its pixels are square.
  fy = focal / sensor * width * size[0] / height
  return np.array(
    [[fx, 0, size[1] / 2], [0, fy, size[0] / 2], [0, 0, 1]], np.float32
  )


def _pose(found, window) -> Float[np.ndarray, 't 4 4']:
  pose = np.tile(np.eye(4, dtype=np.float32), (len(window), 1, 1))
  turn = _rotation(found['camera/quaternions'].reshape(-1, 4)[window])
  pose[:, :3, :3] = turn @ _BLENDER
  pose[:, :3, 3] = found['camera/positions'].reshape(-1, 3)[window]
  return pose


def _rotation(
  quaternion: Float[np.ndarray, '*n 4'],
) -> Float[np.ndarray, '*n 3 3']:
  """Of (w, x, y, z), of any length but 0."""
  length = np.linalg.norm(quaternion, axis=-1, keepdims=True)
  if not length.all():
    raise ValueError('a quaternion of zeros')
  w, x, y, z = np.moveaxis(quaternion.astype(np.float64) / length, -1, 0)
  rows = [
    [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
    [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
    [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
  ]
  return np.stack([np.stack(row, -1) for row in rows], -2)


def _per_object(found, name: str, *shape: int) -> np.ndarray:
  """A feature [o t ...] of the objects."""
  objects = len(found[_LENGTHS])
  total = len(found['camera/positions']) // 3
  return found[f'instances/{name}'].reshape(objects, total, *shape)


def _boxes(
  found, window
) -> tuple[Float[np.ndarray, 'o t 4'], Bool[np.ndarray, 'o t']]:
  """Boxes of the frames that each object is seen in; the others are 0."""
  lengths = found[_LENGTHS]
  frame = found['instances/bbox_frames/ragged_flat_values']
  total = len(found['camera/positions']) // 3
  if len(lengths) * total > _CELLS or lengths.max(initial=0) > len(frame):
    raise ValueError(f'{len(lengths)} objects in {total} frames')
  which = np.repeat(np.arange(len(lengths)), lengths)
  boxes = np.zeros((len(lengths), total, 4), np.float32)
  visible = np.zeros((len(lengths), total), bool)
  values = found['instances/bboxes/ragged_flat_values']
  boxes[which, frame] = values.reshape(-1, 4)
  visible[which, frame] = True
  return boxes[:, window], visible[:, window]
