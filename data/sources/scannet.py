"""ScanNet: indoor scans with depth and camera poses (arXiv 1702.04405).

Scenes lie as `.sens` files or as exported folders (`data/formats/scannet.py`):
PATH/SCENE/SCENE.sens or PATH/SCENE/color, PATH may have scans/ between, and
PATH holds the lists of scenes of the splits (Tasks/Benchmark in the code of
ScanNet).
"""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Int

from data import pictures, remote, require, splits, transforms
from data.formats import scannet
from data.remote import Path
from data.source import BadRecord, digest

KEYS = ('video', 'depth', 'pose', 'intrinsics')


@dataclasses.dataclass(frozen=True)
class ScanNet:
  """A `data.source.Source`; see `make`."""

  scans: tuple[Path, ...]
  excluded: Mapping[str, int]  # left out, by reason
  keys: tuple[str, ...]
  frames: int
  height: int
  width: int
  stride: tuple[int, int]
  clips: int
  random: bool

  @property
  def fingerprint(self) -> str:
    """Of the names of the scans."""
    return digest([scan.name for scan in self.scans])

  @property
  def is_fixed(self) -> bool:
    """Whether a record is always the same clip."""
    return not self.random

  def __len__(self) -> int:
    """Number of clips."""
    return len(self.scans) * self.clips

  def needs(self, index: int) -> tuple[Path, ...]:
    """The file of a scan, if it is one."""
    path = self.scans[index // self.clips]
    return (path,) if path.suffix == '.sens' else ()

  def read(self, index: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """One clip, with the keys asked for.

    Raises:
      BadRecord: the scan cannot be read.
    """
    path = self.scans[index // self.clips]
    try:
      scan = scannet.load(path)
      numbers = self._window(len(scan), index % self.clips, rng)
      remote.bring(scan.files(numbers.tolist()))
      frames = [scan.frame(number) for number in numbers.tolist()]
    except OSError as error:
      raise BadRecord(f'{path}: {error}') from error
    record = {}
    if 'video' in self.keys:
      record['video'] = self._video(frames)
    if 'depth' in self.keys:
      depth = pictures.centred(
        np.stack([frame.depth for frame in frames]), self.height, self.width
      )
      record['depth'] = pictures.resize_depth(depth, self.height, self.width)
    if 'pose' in self.keys:
      record['pose'] = np.stack([frame.pose for frame in frames])
    if 'intrinsics' in self.keys:
      record['intrinsics'] = self._intrinsics(scan, frames[0])
    return {key: record[key] for key in self.keys}

  def _window(
    self, total: int, number: int, rng: np.random.Generator
  ) -> Int[np.ndarray, 't']:
    if self.random:
      return transforms.window(rng, total, self.frames, self.stride)
    return transforms.spread_window(
      total, self.frames, self.stride, number, self.clips
    )

  def _video(self, frames: Sequence[scannet.Frame]) -> np.ndarray:
    size = pictures.decode(frames[0].colour).shape[:2]
    reduce = pictures.reduction(size, (self.height, self.width))
    video = pictures.stack(
      [pictures.decode(frame.colour, reduce=reduce) for frame in frames]
    )
    part = pictures.centred(video, self.height, self.width)
    return pictures.resize(part, self.height, self.width)

  def _intrinsics(self, scan, frame: scannet.Frame) -> np.ndarray:
    size = pictures.decode(frame.colour).shape[:2]
    centre = 2 * scan.intrinsics[0, 2] / size[1]
    # Colour is 1296 wide, depth 640: one camera's matrix with the other's
    # pictures is off by two. A lens is off by less than a fifth (ours).
    if not 0.8 < centre < 1.2:
      raise BadRecord(
        f'{scan.path}: the centre of the picture is in column '
        f'{scan.intrinsics[0, 2]:.0f} by its intrinsics, but pictures are '
        f'{size[1]} wide: intrinsics of other pictures'
      )
    return pictures.centred_intrinsics(
      scan.intrinsics, size, self.height, self.width
    )


def make(
  split: str,
  *,
  path: str,
  keys: Sequence[str],
  frames: int = 16,
  height: int = 224,
  width: int = 224,
  stride: Sequence[int] = (5, 5),
  clips: int = 1,
  train: str = 'scannetv2_train.txt',
  validation: str = 'scannetv2_val.txt',
  test: str = 'scannetv2_test.txt',
) -> ScanNet:
  """Clips of the scans of a split.

  For training a record is a scan, and a read a random clip of it; otherwise
  records are `clips` clips of each scan, evenly spread over it. Frames without
  a finite pose are not counted as frames of a scan. Listed scenes that are not
  on disk are left out (`excluded` counts them).

  Colour and depth are cut to the shape of the result, around the centre, and
  resized: colour smoothly, depth to the nearest pixel. Intrinsics are those of
  the colour camera, after that. The depth camera sees about 1% more; as is
  usual, that is left as it is.

  Args:
    split: 'train', 'validation' or 'test'.
    path: the folder.
    keys: of the record, among KEYS.
    frames: of a clip.
    height: pixels.
    width: pixels.
    stride: least and greatest distance between frames, of 30 in a second.
    clips: of each scan, in the splits that are not for training.
    train: list of the scenes of this split, a file below `path` or absolute.
    validation: as `train`.
    test: as `train`.

  Raises:
    ValueError: a bad option, or no scene; with the remedy.
  """
  require.one_of('scannet', splits.SPLITS, split=split)
  require.keys('scannet', keys, KEYS)
  require.at_least(
    1, 'scannet', frames=frames, height=height, width=width, clips=clips
  )
  require.stride('scannet', stride)
  lists = {'train': train, 'validation': validation, 'test': test}
  folder = remote.path(path)
  file = remote.path(folder, lists[split])
  if not file.is_file():
    raise ValueError(
      f'scannet: {file} is missing: copy the lists of scenes (Tasks/Benchmark '
      f'in the code of ScanNet), or name one with {split}=FILE.'
    )
  scenes = require.text('scannet', file).split()
  for scene in scenes:
    require.below('scannet', folder, scene, file)
  found = [_find(folder, scene) for scene in scenes]
  scans = tuple(scan for scan in found if scan)
  if not scans:
    raise ValueError(
      f'scannet: none of the {len(found)} scenes in {file} is in {path}: '
      'expected SCENE/SCENE.sens or SCENE/color there, or in scans/.'
    )
  return ScanNet(
    scans=scans,
    excluded={'scene not on disk': len(found) - len(scans)},
    keys=tuple(keys),
    frames=frames,
    height=height,
    width=width,
    stride=tuple(stride),
    clips=1 if split == 'train' else clips,
    random=split == 'train',
  )


def _find(path: Path, scene: str) -> Path | None:
  for folder in (path, path / 'scans', path / 'scans_test'):
    if (folder / scene / 'color').is_dir():
      return folder / scene
    file = folder / scene / f'{scene}.sens'
    if file.is_file():
      return file
  return None
