"""RealEstate10K: walks through houses with camera poses (arXiv 1805.09817).

PATH/SPLIT/SCENE.txt as published: the first line is the address of a video;
then 19 numbers per frame, a timestamp in microseconds, fx fy cx cy as parts of
the picture's width and height, two zeros, and the 3 x 4 world-to-camera matrix
row by row, OpenCV axes. Frames are IMAGES/SPLIT/SCENE/TIMESTAMP.png or .jpg.
"""

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float

from base.console import progress
from data import pictures, remote, require, splits, transforms
from data.remote import Path
from data.source import BadRecord, digest

KEYS = ('video', 'pose', 'intrinsics')
_SUFFIXES = ('.png', '.jpg', '.jpeg')
_CLOSE = 1e-2  # of a rotation times its transpose to the identity (ours)


@dataclasses.dataclass(frozen=True)
class Re10k:
  """A `data.source.Source`; see `make`."""

  scenes: tuple[str, ...]
  excluded: Mapping[str, int]  # left out, by reason
  texts: Path
  images: Path
  keys: tuple[str, ...]
  frames: int
  height: int
  width: int
  stride: tuple[int, int]
  clips: int
  random: bool

  @property
  def fingerprint(self) -> str:
    """Of the names of the scenes."""
    return digest(self.scenes)

  @property
  def is_fixed(self) -> bool:
    """Whether a record is always the same clip."""
    return not self.random

  def __len__(self) -> int:
    """Number of clips."""
    return len(self.scenes) * self.clips

  def read(self, index: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """One clip, with the keys asked for.

    Raises:
      BadRecord: a frame cannot be read.
    """
    scene = self.scenes[index // self.clips]
    files, cameras = self._frames(scene)
    if self.random:
      numbers = transforms.window(rng, len(files), self.frames, self.stride)
    else:
      numbers = transforms.spread_window(
        len(files), self.frames, self.stride, index % self.clips, self.clips
      )
    record = {'pose': camera_to_world(cameras[numbers])}
    if {'video', 'intrinsics'} & set(self.keys):
      whole = _decoded([files[number] for number in numbers])
      record['video'] = pictures.resize(
        pictures.centred(whole, self.height, self.width),
        self.height,
        self.width,
      )
      record['intrinsics'] = pictures.centred_intrinsics(
        pixel_intrinsics(cameras[numbers[0]], *whole.shape[1:3]),
        whole.shape[1:3],
        self.height,
        self.width,
      )
    return {key: record[key] for key in self.keys}

  def _frames(self, scene: str) -> tuple[list[Path], np.ndarray]:
    rows, _ = _present(self.texts / f'{scene}.txt', self.images / scene)
    try:
      cameras = np.array([numbers for _, numbers in rows], float)
      _check(cameras, [file.stem for file, _ in rows])
    except ValueError as error:
      raise BadRecord(f'{self.texts / scene}.txt: {error}') from error
    return [file for file, _ in rows], cameras


def make(
  split: str,
  *,
  path: str,
  images: str = '',
  keys: Sequence[str],
  frames: int = 16,
  height: int = 224,
  width: int = 224,
  stride: Sequence[int] = (1, 1),
  clips: int = 1,
  train: str = 'train',
  validation: str = '',
  test: str = 'test',
  validation_fraction: int | float = 0.05,
) -> Re10k:
  """Clips of the scenes of a split.

  For training a record is a scene, and a read a random clip of it; otherwise
  records are `clips` clips of each scene, evenly spread over it. Rows whose
  frame is missing are left out, and so is a scene of which fewer than `frames`
  remain: videos vanish from the web. `excluded` counts both.

  Lengths of a scene are in a unit of its own, not in metres: structure from
  motion knows no scale. Poses are camera to world. Pictures are cut to the
  shape of the result, around the centre, and resized; intrinsics (of the
  clip's first frame) are those after that.

  Args:
    split: 'train', 'validation' or 'test'.
    path: the folder with the texts.
    images: the folder with the frames, below `path` or absolute; '' if they
      are beside the texts.
    keys: of the record, among KEYS.
    frames: of a clip.
    height: pixels.
    width: pixels.
    stride: least and greatest distance between frames, in rows. The published
      one is not known.
    clips: of each scene, in the splits that are not for training.
    train: subfolder with this split.
    validation: as `train`; '' (ours, as there is no third one on the web):
      scenes of `train`, by hash, that are then not trained on.
    test: as `train`.
    validation_fraction: of the scenes of `train`, if there is no subfolder
      for validation.

  Raises:
    ValueError: a bad option, a text in another format or no scene.
  """
  require.one_of('re10k', splits.SPLITS, split=split)
  require.keys('re10k', keys, KEYS)
  require.at_least(
    1, 're10k', frames=frames, height=height, width=width, clips=clips
  )
  require.stride('re10k', stride)
  folder = splits.listed_in(
    split, train=train, validation=validation, test=test
  )
  texts = remote.path(path, folder)
  shown = remote.path(path, images, folder)
  files = sorted(texts.glob('*.txt'))
  files = splits.of_list(
    're10k',
    split,
    files,
    [file.stem for file in files],
    validation=validation,
    fraction=validation_fraction,
  )
  scenes, excluded = [], Counter()
  with progress(f're10k: {split}', len(files), 'scene') as bar:
    for text in files:
      rows, missing = _present(text, shown / text.stem)
      excluded['row whose frame is missing'] += missing
      if len(rows) < frames:
        excluded[f'scene with fewer than {frames} frames'] += 1
      else:
        scenes.append(text.stem)
      bar.update(1)
  if not scenes:
    raise ValueError(
      f're10k: no scene of {texts}/*.txt for {split} has {frames} frames in '
      f'{shown}: {dict(excluded)}. Frames must be named '
      'SCENE/TIMESTAMP.png (or .jpg); name the folder of theirs, '
      f'below {path} or absolute, with images='
    )
  return Re10k(
    scenes=tuple(scenes),
    excluded=dict(excluded),
    texts=texts,
    images=shown,
    keys=tuple(keys),
    frames=frames,
    height=height,
    width=width,
    stride=tuple(stride),
    clips=1 if split == 'train' else clips,
    random=split == 'train',
  )


def camera_to_world(
  cameras: Float[np.ndarray, 't 18'],
) -> Float[np.ndarray, 't 4 4']:
  """Poses of rows of a text: the inverse of what is stored."""
  stored = cameras[:, 6:].reshape(-1, 3, 4)
  # What is stored takes the world to the camera; of a rotation the inverse is
  # the transpose.
  turned = stored[..., :3].swapaxes(-1, -2)
  poses = np.tile(np.eye(4), (len(cameras), 1, 1))
  poses[:, :3, :3] = turned
  poses[:, :3, 3:] = -turned @ stored[..., 3:]
  return poses.astype(np.float32)


def pixel_intrinsics(
  camera: Float[np.ndarray, '18'], height: int, width: int
) -> Float[np.ndarray, '3 3']:
  """Intrinsics in pixels of a whole picture; a pixel's centre is at +0.5."""
  # Stored as parts of the picture, so that any copy of the video will do.
  fx, fy, cx, cy = camera[:4] * [width, height, width, height]
  return np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]])


def _present(
  text: Path, images: Path
) -> tuple[list[tuple[Path, list[str]]], int]:
  """(file, 18 numbers) of each row that has a frame; how many have none."""
  files = {}
  if images.is_dir():
    files = {
      file.stem: file
      for file in images.iterdir()
      if file.suffix.lower() in _SUFFIXES
    }
  rows, missing, before = [], 0, -1
  first, *lines = require.text('re10k', text).rstrip().splitlines() or ['']
  if len(first.split()) > 1:
    raise ValueError(
      f're10k: line 1 of {text} is {first[:40]!r}..., expected the address of '
      'the video: copy it again'
    )
  for number, line in enumerate(lines, 2):
    words = line.split()
    if len(words) != 19:
      raise ValueError(
        f're10k: line {number} of {text} has {len(words)} numbers, expected '
        '19: a timestamp, 6 of the camera and 12 of its pose: copy it again'
      )
    timestamp, *numbers = words
    if not timestamp.isdecimal() or int(timestamp) <= before:
      raise ValueError(
        f're10k: line {number} of {text} is of {timestamp} microseconds, '
        f'expected a whole number of more than {before}: copy it again'
      )
    before = int(timestamp)
    if timestamp in files:
      rows.append((files[timestamp], numbers))
    else:
      missing += 1
  return rows, missing


def _check(cameras: Float[np.ndarray, 'n 18'], times: Sequence[str]):
  """Refuses rows of which no camera can be made."""
  good = np.isfinite(cameras).all(1) & (cameras[:, :2] > 0).all(1)
  turns = cameras[:, 6:].reshape(-1, 3, 4)[..., :3]
  turns = np.where(good[:, None, None], turns, 0)
  apart = np.abs(turns @ turns.swapaxes(1, 2) - np.eye(3)).max((1, 2))
  good &= apart < _CLOSE
  if not good.all():
    raise ValueError(
      f'the row of {times[good.argmin()]} is no camera: expected finite '
      'numbers, focal lengths above 0 and a rotation; copy it again'
    )


def _decoded(files: Sequence[Path]) -> np.ndarray:
  try:
    remote.bring(files)
    decoded = [pictures.decode(file.read_bytes()) for file in files]
  except OSError as error:
    raise BadRecord(str(error)) from error
  return pictures.stack(decoded)
