"""Clips of video files with a class each: what ssv2 and kinetics share."""

import dataclasses
import functools
from collections.abc import Mapping, Sequence

import av
import numpy as np
from jaxtyping import Int, UInt8

from data import film, require
from data.remote import Path
from data.source import BadRecord, digest
from data.views import Views
from data.views import make as make_views

KEYS = ('video', 'label', 'video_id')


@dataclasses.dataclass(frozen=True)
class Classified:
  """A `data.source.Source`: all views of the first video, then of the next.

  The probabilities of all records with one video_id can be averaged.
  """

  files: tuple[Path, ...]
  labels: Int[np.ndarray, 'n']  # class of each file
  names: tuple[str, ...]  # of the classes, where they are known
  excluded: Mapping[str, int]  # left out of the list, by reason
  keys: tuple[str, ...]
  views: Views  # of each file

  @property
  def fingerprint(self) -> str:
    """Of the names and classes of the files."""
    return digest([file.name for file in self.files], self.labels)

  @property
  def is_fixed(self) -> bool:
    """Whether a record is always the same clip."""
    return not self.views.random

  def __len__(self) -> int:
    """Number of clips."""
    return len(self.files) * len(self.views)

  @property
  def classes(self) -> int:
    """How many there are, or must be at least, as far as the list tells."""
    return max(len(self.names), int(self.labels.max()) + 1)

  def needs(self, index: int) -> tuple[Path, ...]:
    """The file of a record."""
    return (self.files[index // len(self.views)],)

  def read(self, index: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """One clip, with the keys asked for.

    Raises:
      BadRecord: the file is missing, damaged or not a video.
    """
    which, number = divmod(index, len(self.views))
    record = {
      'label': np.array(self.labels[which], np.int32),
      'video_id': np.array(which, np.int32),
    }
    if 'video' in self.keys:
      file = self.files[which]
      decode = functools.partial(pictures, file)
      try:
        try:
          record['video'] = self.views.read(number, count(file), decode, rng)
        except Fewer as fewer:
          record['video'] = self.views.read(number, fewer.frames, decode, rng)
      except (OSError, BadRecord) as error:
        raise BadRecord(f'{file}: {error}') from error
    return {key: record[key] for key in self.keys}


def make(
  name: str,
  split: str,
  *,
  rows: Sequence[tuple[Path, int]],
  names: Sequence[str],
  excluded: Mapping[str, int],
  keys: Sequence[str],
  **options,
) -> Classified:
  """The source `name`, of (file, class) rows; its `make` has the rest.

  Args:
    name: of the source.
    split: 'train', 'validation' or 'test'.
    rows: of the split.
    names: of the classes, where they are known.
    excluded: see `data.source`.
    keys: of the record, among KEYS.
    **options: of `data.views.make`.

  Raises:
    ValueError: a bad option, or no row.
  """
  views = make_views(name, split, **options)
  require.keys(name, keys, KEYS)
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
    views=views,
  )


class Fewer(BadRecord):
  """A file shows fewer frames than it has packets."""

  def __init__(self, frames: int):
    super().__init__(f'shows {frames} frames only')
    self.frames = frames


def count(file: Path) -> int:
  """Frames of a video file that are shown.

  By its packets, and nothing is decoded, where each shows a frame; packets
  before the start of an edit list show none.

  Raises:
    BadRecord: not a video, or without a frame; damaged, where it is decoded.
  """
  with film.opened(file) as stream:
    try:
      shown = [
        packet.is_keyframe
        for packet in stream.container.demux(stream)
        if packet.size and not packet.is_discard
      ]
    except av.FFmpegError as error:
      raise BadRecord(f'damaged or truncated: {error.strerror}') from error
    if not shown:
      raise BadRecord('no frame')
    # Of what was cut out of a stream, the start shows nothing.
    if shown[0] and not film.is_of_fields(stream):
      return len(shown)
  with film.opened(file) as stream:
    return sum(1 for _ in film.whole(stream))


def pictures(
  file: Path, numbers: Int[np.ndarray, 't']
) -> UInt8[np.ndarray, 't h w 3']:
  """RGB of these frames of a video file, upright, of one size.

  Raises:
    BadRecord: damaged, not a video, or frames of different shapes.
    Fewer: it ends before the last of them.
  """
  wanted, end, shown, total = set(numbers.tolist()), numbers.max(), {}, 0
  with film.opened(file) as stream:
    for number, frame in enumerate(film.whole(stream)):
      total = number + 1
      if number in wanted:
        shown[number] = frame
      if number == end:
        break
    if len(shown) < len(wanted):
      raise Fewer(total)
    size = film.common_size(
      [film.upright_size(stream, shown[number]) for number in sorted(wanted)]
    )
  rendered = {number: film.upright(shown[number], *size) for number in wanted}
  return np.stack([rendered[number] for number in numbers.tolist()])
