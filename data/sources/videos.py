"""Clips of one's own videos, ingested by `python -m data.ingest`."""

import dataclasses
import functools
from collections.abc import Sequence

import av
import numpy as np
from jaxtyping import Int

from data import remote, require, splits, transforms, video
from data.formats import moments, record, shards
from data.formats.record import Record

Number = float | int
KEYS = ('video',)
# For a command that looks at clips and has no recipe, as data.inspect.motion
# has none: nothing is drawn, so that what is seen is what lies there.
WITHOUT_RECIPE = {
  **{'frames': 16, 'height': 224, 'width': 224, 'stride': (1, 1)},
  **{'window': 'middle', 'crop': 'centre', 'flip': 0.0},
  **{'scale': (1.0, 1.0), 'aspect': (1.0, 1.0)},
  **{'validation_fraction': 0.05, 'fingerprint': None},
}


@dataclasses.dataclass(frozen=True)
class Clip:
  """What is shown of a record: drawn before anything is decoded."""

  frames: Int[np.ndarray, 't']
  box: transforms.Box
  flip: bool


@dataclasses.dataclass(frozen=True)
class Videos:
  """A `data.source.Source`; reading is fetch, draw, decode, render."""

  shards: shards.Shards
  split: str
  frames: int
  height: int
  width: int
  stride: tuple[int, int]
  window: str
  crop: str
  scale: tuple[float, float]
  aspect: tuple[float, float]
  flip: float
  validation_fraction: float

  @property
  def fingerprint(self) -> str:
    """Hash of the ingested data."""
    return self.shards.fingerprint

  @property
  def rows(self) -> Int[np.ndarray, 'n']:
    """Rows of the index that are in this split."""
    return self._parts.rows

  @property
  def _parts(self) -> moments.Parts:
    return _parts(self.shards, self.split, self.validation_fraction)

  @property
  def is_fixed(self) -> bool:
    """Whether a record is always the same clip."""
    still = self.window == 'middle' and self.crop == 'centre'
    return still and self.flip in (0, 1)

  def __len__(self) -> int:
    """Number of records."""
    return len(self.rows)

  def read(self, index: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """One clip: {'video': uint8 [t h w 3]}.

    Raises:
      BadRecord: the record cannot be decoded.
    """
    found = self.fetch(index)
    clip = self.draw(found, rng)
    return {'video': self.render(self.decode(found, clip), clip)}

  def needs(self, index: int) -> tuple[remote.Path, ...]:
    """The shard of a record."""
    return (self.shards.file(int(self._parts.rows[index])),)

  def fetch(self, index: int) -> Record:
    """The record, not yet decoded: what of it is in this split."""
    parts = self._parts
    found = record.parse(self.shards.read(int(parts.rows[index])))
    if parts.ends is None:
      return found
    begin, end = int(parts.begins[index]), int(parts.ends[index])
    return record.part(found, begin, end)

  def draw(self, found: Record, rng: np.random.Generator) -> Clip:
    """When, where and which way round."""
    size = found.height, found.width
    if self.window == 'random':
      frames = transforms.random_window(
        rng, found.frames, self.frames, self.stride
      )
    else:
      frames = transforms.middle_window(found.frames, self.frames, self.stride)
    if self.crop == 'random':
      box = transforms.random_box(rng, *size, self.scale, self.aspect)
    else:
      box = transforms.centre_box(*size, self.width / self.height)
    return Clip(frames, box, transforms.random_flip(rng, self.flip))

  def decode(self, found: Record, clip: Clip) -> list[av.VideoFrame]:
    """The clip's frames, as they are stored."""
    return video.decode(found, clip.frames)

  def render(self, frames: Sequence[av.VideoFrame], clip: Clip) -> np.ndarray:
    """uint8 [t h w 3]."""
    return video.render(frames, clip.box, self.height, self.width, clip.flip)


def make(
  split: str,
  *,
  path: str,
  keys: Sequence[str],
  frames: int,
  height: int,
  width: int,
  stride: Sequence[int],
  window: str,
  crop: str,
  scale: Sequence[Number],
  aspect: Sequence[Number],
  flip: Number,
  validation_fraction: Number,
  fingerprint: str | None,
) -> Videos:
  """The clips of a folder made by `python -m data.ingest`.

  `configs/mae.py: source` has a value of every option, and a reason.

  A record is up to some seconds of one video (`data/ingest/recipe.py`); a
  read is one clip of it. Records have the key video.

  All records of one video are in one split, by the hash of its file: copies of
  a file share a split, and videos added later do not move the others. At least
  one video is for validation, if there are two. Of a single one its end is
  (`data/formats/moments.py`). There is no third split: test is validation.

  Args:
    split: 'train', 'validation' or 'test'.
    path: the folder.
    keys: what records must have; there is only 'video'.
    frames: of a clip.
    height: pixels.
    width: pixels.
    stride: least and greatest distance between frames, in stored frames. It
      is made smaller, and then the last frame repeated, where a video is too
      short.
    window: 'random' or 'middle' start and stride.
    crop: 'random' (resized, by `scale` and `aspect`) or 'centre' (the largest
      box of the clip's shape).
    scale: least and greatest area of a random crop, of the picture's.
    aspect: least and greatest width / height of a random crop.
    flip: probability of mirroring left and right.
    validation_fraction: of the videos.
    fingerprint: that the folder must have (its manifest.json), if given.

  Window, crop and flip hold for training. The other splits always give the
  middle window, the centre crop and no flip.

  Raises:
    ValueError: a bad option, bad folder or an empty split; with the remedy.
  """
  require.one_of('videos', splits.SPLITS, split=split)
  require.one_of('videos', ('random', 'middle'), window=window)
  require.one_of('videos', ('random', 'centre'), crop=crop)
  if set(keys) - {'video'}:
    raise ValueError(
      f'videos: keys={tuple(keys)}, but ingested videos have no labels, only '
      "'video'. Take labels from another source, such as 'world'."
    )
  require.at_least(1, 'videos', frames=frames, height=height, width=width)
  require.stride('videos', stride)
  require.ordered('videos', most=1, scale=scale)
  require.ordered('videos', aspect=aspect)
  require.between(
    *(0, 1, 'videos'), flip=flip, validation_fraction=validation_fraction
  )
  trains = split == 'train'
  source = Videos(
    shards=shards.open_shards(remote.path(path), fingerprint),
    split=split,
    frames=frames,
    height=height,
    width=width,
    stride=tuple(stride),
    window=window if trains else 'middle',
    crop=crop if trains else 'centre',
    scale=tuple(map(float, scale)),
    aspect=tuple(map(float, aspect)),
    flip=float(flip) if trains else 0.0,
    validation_fraction=float(validation_fraction),
  )
  if not len(source):
    videos = len(np.unique(source.shards.index['video']))
    raise ValueError(
      f'videos: the {split} split of {path} is empty: it has {videos} videos '
      f'and validation_fraction={validation_fraction}. Change the fraction or '
      'ingest more videos.'
    )
  return source


@functools.lru_cache(maxsize=1024)  # as of indices
def _parts(folder: shards.Shards, split: str, fraction: float) -> moments.Parts:
  videos = folder.index['video']
  if fraction and len(np.unique(videos)) == 1:
    return moments.parts(folder, split, fraction)
  held = splits.held_out(videos, fraction)
  return moments.Parts(np.flatnonzero(held == (split != 'train')))
