"""Clips of video files with a class each: what ssv2 and kinetics share."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

import av
import numpy as np
from jaxtyping import Int, UInt8

from data import film, require, splits, transforms
from data.pictures import resize, spread_part
from data.source import BadRecord, digest

KEYS = ('video', 'label', 'video_id')


@dataclasses.dataclass(frozen=True)
class Classified:
  """A `data.source.Source` of clips x crops records per video.

  They follow one another, all crops of the first clip first. A random clip,
  cut and flip for training; otherwise clips are spread evenly over the video,
  and crops over the longer side of its picture, so that the probabilities of
  all records with one video_id can be averaged.
  """

  files: tuple[Path, ...]
  labels: Int[np.ndarray, 'n']  # class of each file
  names: tuple[str, ...]  # of the classes, where they are known
  excluded: Mapping[str, int]  # left out of the list, by reason
  keys: tuple[str, ...]
  frames: int
  height: int
  width: int
  stride: tuple[int, int]
  clips: int
  crops: int
  random: bool
  scale: tuple[float, float]
  aspect: tuple[float, float]
  flip: float

  @property
  def fingerprint(self) -> str:
    """Of the names and classes of the files."""
    return digest([file.name for file in self.files], self.labels)

  @property
  def is_fixed(self) -> bool:
    """Whether a record is always the same clip."""
    return not self.random

  def __len__(self) -> int:
    """Number of clips."""
    return len(self.files) * self.clips * self.crops

  @property
  def classes(self) -> int:
    """How many there are, or must be at least, as far as the list tells."""
    return max(len(self.names), int(self.labels.max()) + 1)

  def read(self, index: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """One clip, with the keys asked for.

    Raises:
      BadRecord: the file is missing, damaged or not a video.
    """
    which, number = divmod(index, self.clips * self.crops)
    record = {
      'label': np.array(self.labels[which], np.int32),
      'video_id': np.array(which, np.int32),
    }
    if 'video' in self.keys:
      try:
        record['video'] = self._clip(self.files[which], number, rng)
      except (OSError, BadRecord) as error:
        raise BadRecord(f'{self.files[which]}: {error}') from error
    return {key: record[key] for key in self.keys}

  def _clip(
    self, file: Path, number: int, rng: np.random.Generator
  ) -> np.ndarray:
    total = count(file)
    if not self.random:
      clip, crop = divmod(number, self.crops)
      window = transforms.spread_window(
        total, self.frames, self.stride, clip, self.clips
      )
      part = spread_part(
        *(pictures(file, window), self.height, self.width, crop, self.crops)
      )
      return resize(part, self.height, self.width)
    window = transforms.window(rng, total, self.frames, self.stride)
    whole = pictures(file, window)
    box = transforms.random_box(rng, *whole.shape[1:3], self.scale, self.aspect)
    bottom, right = box.top + box.height, box.left + box.width
    part = whole[:, box.top : bottom, box.left : right]
    clip = resize(part, self.height, self.width)
    if transforms.random_flip(rng, self.flip):
      clip = np.ascontiguousarray(clip[:, :, ::-1])
    return clip


def make(
  name: str,
  split: str,
  *,
  rows: Sequence[tuple[Path, int]],
  names: Sequence[str],
  excluded: Mapping[str, int],
  keys: Sequence[str],
  frames: int,
  height: int,
  width: int,
  stride: Sequence[int],
  clips: int,
  crops: int,
  scale: Sequence[int | float],
  aspect: Sequence[int | float],
  flip: int | float,
) -> Classified:
  """The source `name`, of (file, class) rows; its `make` has the rest.

  Raises:
    ValueError: a bad option, or no row.
  """
  require.one_of(name, splits.SPLITS, split=split)
  require.keys(name, keys, KEYS)
  require.at_least(
    1, name, frames=frames, height=height, width=width, clips=clips
  )
  # As published results are: one view, or three of each clip.
  if crops not in (1, 3):
    raise ValueError(
      f'{name}: crops={crops}: 1 (the centre) or 3 (both ends and the centre)?'
    )
  require.stride(name, stride)
  require.ordered(name, most=1, scale=scale)
  require.ordered(name, aspect=aspect)
  if not rows:
    raise ValueError(
      f'{name}: the {split} split has no video on disk: {dict(excluded)}. '
      'Check where the list and the videos are.'
    )
  return Classified(
    files=tuple(file for file, _ in rows),
    labels=np.array([label for _, label in rows], np.int32),
    names=tuple(names),
    excluded=dict(excluded),
    keys=tuple(keys),
    frames=frames,
    height=height,
    width=width,
    stride=tuple(stride),
    clips=1 if split == 'train' else clips,
    crops=1 if split == 'train' else crops,
    random=split == 'train',
    scale=tuple(map(float, scale)),
    aspect=tuple(map(float, aspect)),
    flip=float(flip),
  )


def count(file: Path) -> int:
  """Frames of a video file that are shown, by its packets: nothing is decoded.

  Packets before the start of an edit list are decoded, and not shown.

  Raises:
    BadRecord: not a video, or without a frame.
  """
  with film.opened(file) as stream:
    try:
      total = sum(
        1
        for packet in stream.container.demux(stream)
        if packet.size and not packet.is_discard
      )
    except av.FFmpegError as error:
      raise BadRecord(f'damaged or truncated: {error.strerror}') from error
  if not total:
    raise BadRecord('no frame')
  return total


def pictures(
  file: Path, numbers: Int[np.ndarray, 't']
) -> UInt8[np.ndarray, 't h w 3']:
  """RGB of these frames of a video file, upright, in the size they have.

  The last frame stands for those that the file announces, but does not show
  (packets of some codecs have none).

  Raises:
    BadRecord: damaged, or not a video.
  """
  wanted, end, shown = set(numbers.tolist()), numbers.max(), {}
  with film.opened(file) as stream:
    for number, frame in enumerate(film.whole(stream)):
      last = frame
      if number in wanted:
        shown[number] = frame
      if number == end:
        break
    size = film.upright_size(stream, last)
  rendered = {
    number: film.upright(shown.get(number, last), *size) for number in wanted
  }
  return np.stack([rendered[number] for number in numbers.tolist()])
