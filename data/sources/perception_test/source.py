"""Perception Test: point tracks and object boxes of filmed scenes.

Patraucean et al., arXiv 2305.13786. Annotations are one JSON dict by video;
videos are mp4 of about 30 frames in a second. Points are annotated in each
frame where they are seen, boxes once a second.
"""

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Int

from base import jsons
from base.console import say
from data import remote, require, splits
from data.remote import Path
from data.source import BadRecord, digest, pad_rows
from data.sources.perception_test.frames import Told, decode
from data.sources.perception_test.labels import READERS, Labels, read

KEYS = ('video', 'tracks', 'tracks_visible', 'boxes', 'boxes_visible')
# Frames times rows of a video, at most: far more than published ones have.
_CELLS = 2**26
_NO_CLIP = 'video without such a clip'
_ROW = {'tracks': 'track', 'boxes': 'box'}


@dataclasses.dataclass(frozen=True)
class Video:
  """One video with the labels that are asked for."""

  file: Path
  told: Told
  starts: Int[np.ndarray, 's']  # frames where a clip may start
  labels: Mapping[str, Labels]  # tracks, boxes


@dataclasses.dataclass(frozen=True)
class PerceptionTest:
  """A `data.source.Source`. See `make`."""

  videos: tuple[Video, ...]
  excluded: Mapping[str, int]  # left out, by reason
  keys: tuple[str, ...]
  random: bool
  frames: int
  height: int
  width: int
  stride: int
  rows: Mapping[str, int]  # tracks, boxes

  @property
  def is_fixed(self) -> bool:
    """Whether a record is always the same clip."""
    return not self.random

  @property
  def fingerprint(self) -> str:
    """Of the names of the videos and where clips start."""
    return digest(
      [video.file.name for video in self.videos],
      *(video.starts for video in self.videos),
    )

  def __len__(self) -> int:
    """Number of records."""
    return len(self.videos)

  def needs(self, index: int) -> tuple[Path, ...]:
    """The file of a video."""
    return (self.videos[index].file,)

  def read(self, index: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """One clip of a video.

    Raises:
      BadRecord: the video is damaged, or shorter than the annotations say.
    """
    found = self.videos[index]
    start = rng.choice(found.starts) if self.random else found.starts[0]
    frames = start + self.stride * np.arange(self.frames)
    clip = {}
    for name, labels in found.labels.items():
      padded = pad_rows(*labels.at(frames), self.rows[name])
      clip[name], clip[f'{name}_visible'] = padded
    if 'video' in self.keys:
      try:
        size = self.height, self.width
        clip['video'] = decode(found.file, found.told, frames, *size)
      except (BadRecord, OSError) as error:
        raise BadRecord(f'{found.file}: {error}') from error
    return {key: clip[key] for key in self.keys}


def make(
  split: str,
  *,
  path: str,
  annotations: str = 'all_{split}.json',
  videos: str = 'videos',
  keys: Sequence[str],
  frames: int = 16,
  height: int = 224,
  width: int = 224,
  stride: int = 2,
  points: int = 64,
  objects: int = 25,
  train: str = 'train',
  validation: str = 'valid',
  test: str = 'test',
  validation_fraction: int | float = 0.05,
) -> PerceptionTest:
  """Clips of the annotated videos of a split, one for each video.

  The keys decide the task: with tracks the videos that have point tracks (few)
  are taken, with boxes those with object tracks, with both those with both. A
  clip starts where something is annotated that is annotated again later in the
  clip: in training at any such frame, otherwise at the first. What is not seen
  in the frame where the clip starts is left out, as are rows beyond `points`
  or `objects` (in training, `excluded` counts those of each video's fullest
  clip). Frames without an annotation are not visible; neither is an
  object that is masked (hidden in a game of cups).

  Listed videos are left out if they are not on disk, lack the labels, or have
  no such clip, and tracks that are not as published: `excluded` counts them.

  Args:
    split: 'train', 'validation' or 'test'.
    path: the folder with the annotations.
    annotations: the JSON file, below `path` or absolute; {split} is the data
      set's own name of it: train, valid or test. Entries of another split are
      left out. Of points alone there is point_tracking_{split}.json.
    videos: the folder with the videos, below `path` or absolute.
    keys: of the record (KEYS).
    frames, height, width, points: as of `data.sources.tapvid.make`.
    stride: distance between frames, of 30 in a second. With 30 (or 15) boxes
      are annotated in each (or each other) frame of the clip.
    objects: rows of boxes.
    train: the data set's own name of this split.
    validation: as `train`; '' (ours): videos of `train`, by hash, that are
      then not trained on.
    test: as `train`; 'valid' for who has no labels of 'test'.
    validation_fraction: of the videos of `train`, if there is no split for
      validation.

  Raises:
    ValueError: a bad option, annotations in another format, or no video.
  """
  require.one_of('perception_test', splits.SPLITS, split=split)
  require.keys('perception_test', keys, KEYS)
  require.at_least(
    1,
    'perception_test',
    frames=frames,
    height=height,
    width=width,
    stride=stride,
    points=points,
    objects=objects,
  )
  wanted = [name for name in READERS if {name, f'{name}_visible'} & {*keys}]
  listed = splits.listed_in(
    split, train=train, validation=validation, test=test
  )
  file = remote.path(path, annotations.format(split=listed))
  folder = remote.path(path, videos)
  rows = {'tracks': points, 'boxes': objects}
  found, excluded, others, odd = [], Counter(), Counter(), ''
  for name, entry in _load(file).items():
    try:
      if entry['metadata']['split'] != listed:
        others[str(entry['metadata']['split'])] += 1
        continue
      described = file, folder, entry
      made, faults = _video(*described, wanted, frames, stride)
    except (LookupError, TypeError, ValueError, OverflowError) as error:
      raise ValueError(
        f'perception_test: {name} in {file} is not as published: {error!r}'
      ) from error
    for what, fault in faults:
      odd = odd or f'{name} in {file} is not as published: {fault}'
      excluded[f'{_ROW[what]} not as published'] += 1
    reason = _reason(made, wanted)
    if reason:
      excluded[reason] += 1
      continue
    found.append(made)
    starts = made.starts if split == 'train' else made.starts[:1]
    for what, each in made.labels.items():
      beyond = int(each.seen_in(starts).max()) - rows[what]
      if beyond > 0:
        excluded[f'{_ROW[what]} beyond the first {rows[what]}'] += beyond
  if odd and found:
    say(f'perception_test: left out: a track of {odd}')
  elif odd:
    raise ValueError(
      f'perception_test: {odd}; no video is left: {dict(excluded)}'
    )
  if not found and not excluded:
    _refuse_others(split, listed, file, others)
  if not found:
    # What a longer stride cannot mend is not told to have one.
    is_apart = 'boxes' in wanted and excluded[_NO_CLIP]
    raise ValueError(
      f'perception_test: no video of {split!r} in {file} is left with '
      f'keys={tuple(keys)}, frames={frames} and stride={stride}: '
      f'{dict(excluded)}. '
      + (
        'Boxes are annotated in each 30th frame: give them stride=15 or 30.'
        if is_apart
        else f'Videos are looked for in {folder}: name another folder with '
        'videos=, ask for other keys, or for shorter clips.'
      )
    )
  found = splits.of_list(
    'perception_test',
    split,
    found,
    [video.file.stem for video in found],
    validation=validation,
    fraction=validation_fraction,
  )
  return PerceptionTest(
    videos=tuple(found),
    excluded=dict(excluded),
    keys=tuple(keys),
    random=split == 'train',
    frames=frames,
    height=height,
    width=width,
    stride=stride,
    rows=rows,
  )


def _refuse_others(
  split: str, listed: str, file: Path, others: Mapping[str, int]
):
  """Says of annotations without an entry of a split whose they are."""
  if not others:
    raise ValueError(
      f'perception_test: {file} has no entry: copy it again, or name other '
      'annotations with annotations='
    )
  counts = ', '.join(f'{n} of {name!r}' for name, n in others.items())
  raise ValueError(
    f'perception_test: no entry of {file} is of {listed!r}, which split '
    f'{split!r} reads: it has {counts}. Name the annotations of {listed!r} '
    f'with annotations=, or read another split as {split!r}, with '
    + ' or '.join(f'{split}={name}' for name in sorted(others))
  )


def _load(file: Path) -> dict[str, Any]:
  if not file.is_file():
    raise ValueError(
      f'perception_test: {file} is missing. Put the annotations there, or name '
      'others with annotations='
    )
  return jsons.read(file, dict, 'copy it again')


def _video(
  annotations: Path,
  folder: Path,
  entry: dict,
  wanted: Sequence[str],
  frames: int,
  stride: int,
) -> tuple[Video, list[tuple[str, str]]]:
  """What is asked for of one entry of the annotations, and its odd tracks."""
  metadata = entry['metadata']
  total, rate = int(metadata['num_frames']), float(metadata['frame_rate'])
  if not 0 < rate < np.inf:
    raise ValueError(f'frame_rate is {rate}')
  labels, faults = {}, []
  for name in wanted:
    labels[name], why = read(name, entry)
    faults += [(name, each) for each in why]
  rows = max((each.rows for each in labels.values()), default=0)
  if total * max(1, rows) > _CELLS:
    raise ValueError(
      f'{total} frames with {rows} rows are more than a video has'
    )
  allowed = np.arange(total) + stride * (frames - 1) < total
  for each in labels.values():
    allowed &= each.starts(total, frames, stride)
  name = f'{metadata["video_id"]}.mp4'
  file = require.below('perception_test', folder, name, annotations)
  starts = np.flatnonzero(allowed).astype(np.int32)
  return Video(file, Told(total, rate), starts, labels), faults


def _reason(found: Video, wanted: Sequence[str]) -> str:
  """Why the video is left out; empty if it is not."""
  if not found.file.is_file():
    return f'video not in {found.file.parent}'
  for name in wanted:
    if not found.labels[name].rows:
      return f'video without {name}'
  return '' if len(found.starts) else _NO_CLIP
