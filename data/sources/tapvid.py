"""TAP-Vid: point tracks of DAVIS, Kinetics, RGB-Stacking and RoboTAP.

Doersch et al., arXiv 2211.03726 (RoboTAP: Vecerik et al., arXiv 2308.15975), as
published in pickles:

| data set | files | holds | frames |
|---|---|---|---|
| DAVIS | tapvid_davis.pkl | dict by name | arrays |
| RGB-Stacking | tapvid_rgb_stacking.pkl | list | arrays |
| RoboTAP | robotap_split0.pkl ... | dicts by name | arrays |
| Kinetics | 0000_of_0010.pkl ... | lists | JPEGs |

Each video has points [n t 2], (x, y) in [0, 1], and occluded [n t]. Those of
Kinetics were shifted by half a pixel when the files were made, as
(x * width - 0.5) / width, at 256 pixels by a tenth of one. The published
metric takes them as they are.
"""

import dataclasses
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from data import pictures, remote, require
from data.formats import unpickle
from data.remote import Path
from data.source import BadRecord, digest, pad_rows

KEYS = ('video', 'tracks', 'tracks_visible', 'query_frames')
QUERIES = ('frame0', 'first', 'strided')
_WHERE = {
  'frame0': 'the first frame',
  'first': 'the clip',
  'strided': 'a frame of queries',
}
_STRIDE = 5  # frames between 'strided' queries, as published


@dataclasses.dataclass(frozen=True)
class Video:
  """The clip of one video."""

  name: str
  # Resized; or JPEGs, which are smaller in memory.
  frames: UInt8[np.ndarray, 't h w 3'] | tuple[bytes, ...]
  points: Float[np.ndarray, 'q t 2']  # as in the file
  visible: Bool[np.ndarray, 'q t']
  asked: Int[np.ndarray, 'q']  # frame of the clip


@dataclasses.dataclass(frozen=True)
class Tapvid:
  """A `data.source.Source`. See `make`."""

  videos: tuple[Video, ...]
  excluded: Mapping[str, int]  # left out, by reason
  keys: tuple[str, ...]
  height: int
  width: int
  points: int
  shift_back: bool
  is_fixed = True

  @property
  def fingerprint(self) -> str:
    """Of the names of the videos and of their tracks."""
    return digest(
      [video.name for video in self.videos],
      *(video.points for video in self.videos),
    )

  def __len__(self) -> int:
    """Number of records."""
    return len(self.videos)

  def read(self, index: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """The clip of a video, always the same.

    Raises:
      BadRecord: its JPEGs are damaged.
    """
    video = self.videos[index]
    frames, points = video.frames, video.points
    if isinstance(frames, tuple):
      frames = _decode(video)
      if self.shift_back:
        # Only Kinetics has JPEGs.
        points = points + 0.5 / np.array([frames.shape[2], frames.shape[1]])
      frames = pictures.resize(frames, self.height, self.width)
    tracks, visible = pad_rows(points, video.visible, self.points)
    clip = {'video': frames, 'tracks': tracks, 'tracks_visible': visible}
    clip['query_frames'] = np.zeros(self.points, np.int32)
    clip['query_frames'][: len(video.asked)] = video.asked
    return {key: clip[key] for key in self.keys}


def make(
  split: str,
  *,
  path: str,
  keys: Sequence[str],
  frames: int = 16,
  height: int = 224,
  width: int = 224,
  stride: int = 1,
  points: int = 64,
  queries: str = 'frame0',
  shift_back: bool = False,
) -> Tapvid:
  """The first frames of each video; there is only a test split.

  What is asked for are points of frames of the clip ('query_frames'):

  * 'frame0' (ours, for heads that are asked in frame 0): every track that is
    seen in the first frame, from there.
  * 'first': every track that is seen, from the first frame in which it is.
  * 'strided': every track, in each fifth frame in which it is seen: a row for
    each of those.

  The last two are as published, but of the clip, not of the whole video.
  Tracks without a query are left out, as are queries beyond the first `points`.
  A video is left out if it is too short or nothing is left of it. `excluded`
  counts them all.

  The pickles are read here, once, by a reader that lets them do nothing but
  make arrays. The clips stay in memory: 2.4 MB each at 16 x 224 x 224, or the
  16 JPEGs of Kinetics. While it is read a pickle is in memory as a whole.

  Args:
    split: 'test'.
    path: one of the files, or a folder with all files of one data set. Of
      several data sets one file must be named: they are tests apart. Files are
      parts of one if their names differ in numbers only.
    keys: of the record (KEYS).
    frames: of a clip.
    height: pixels; the whole picture is resized, whatever its shape, as in
      the published protocol (256 x 256).
    width: pixels.
    stride: distance between frames.
    points: rows of tracks.
    queries: 'frame0', 'first' or 'strided'. The last two are for a head that
      is told the frame: keys must have 'query_frames' if they have tracks.
    shift_back: Kinetics' points by half a pixel, to where they are; the
      published numbers are without.

  Raises:
    ValueError: a bad option, another split, files that are missing or not
      TAP-Vid's, or no video that is left.
  """
  instead = "tracks, such as 'world' or 'movi'"
  require.only_test('tapvid', split, 'TAP-Vid', instead)
  require.keys('tapvid', keys, KEYS)
  require.at_least(
    1,
    'tapvid',
    frames=frames,
    height=height,
    width=width,
    stride=stride,
    points=points,
  )
  require.one_of('tapvid', QUERIES, queries=queries)
  require.told_frames('tapvid', queries, keys, 'tracks', 'points')
  window = stride * np.arange(frames)
  videos, excluded = [], Counter()
  for name, example in _examples(_files(remote.path(path))):
    _check(name, example)
    if window[-1] >= len(example['video']):
      excluded[f'video with fewer than {window[-1] + 1} frames'] += 1
      continue
    visible = ~example['occluded'][:, window]
    rows, asked = _queries(visible, queries)
    if not len(rows):
      excluded[f'video without a track seen in {_WHERE[queries]}'] += 1
      continue
    # Strided, one track may have several rows.
    lost = len(visible) - len(np.unique(rows))
    excluded[f'track not seen in {_WHERE[queries]}'] += lost
    what = 'query' if queries == 'strided' else 'track'
    excluded[f'{what} beyond the first {points}'] += max(0, len(rows) - points)
    clip = _clip(name, example, window, rows[:points], asked[:points])
    if not isinstance(clip.frames, tuple):
      resized = pictures.resize(clip.frames, height, width)
      clip = dataclasses.replace(clip, frames=resized)
    videos.append(clip)
  if not videos:
    raise ValueError(
      f'tapvid: no video of {path} is left with frames={frames} and '
      f'stride={stride}: {dict(excluded)}. Ask for shorter clips.'
    )
  return Tapvid(
    videos=tuple(videos),
    excluded={reason: count for reason, count in excluded.items() if count},
    keys=tuple(keys),
    height=height,
    width=width,
    points=points,
    shift_back=shift_back,
  )


def _files(path: Path) -> list[Path]:
  """The pickles, in order; all of those that are numbered 'i of n'."""
  files = [path] if path.is_file() else sorted(path.glob('*.pkl'))
  if not files:
    raise ValueError(
      f'tapvid: {path} is no file, and no folder with *.pkl files. Give the '
      'published file, or a folder with all files of one data set.'
    )
  # Parts of one benchmark are numbered; two benchmarks are two tests.
  benchmarks = {re.sub(r'\d+', '', file.name) for file in files}
  if len(benchmarks) > 1:
    raise ValueError(
      f'tapvid: {path} has files of several benchmarks, '
      f'{", ".join(file.name for file in files)}: expected those of one, whose '
      f'names differ in numbers only; name one, as path={files[0]}, or put '
      'each in a folder of its own'
    )
  numbered = [re.fullmatch(r'\d+_of_(\d+)\.pkl', file.name) for file in files]
  totals = {int(match[1]) for match in numbered if match}
  if path.is_dir() and totals and totals != {len(files)}:
    raise ValueError(
      f'tapvid: {path} has {len(files)} files that are called one of '
      f'{sorted(totals)}: copy those that are missing.'
    )
  return files


def _examples(files: Sequence[Path]) -> Iterator[tuple[str, Any]]:
  """(name, example) of each video; without a name, its place in its file."""
  for file in files:
    data = unpickle.load(file)
    if isinstance(data, Mapping):
      yield from ((str(name), example) for name, example in data.items())
    elif isinstance(data, list):
      for place, example in enumerate(data):
        yield f'{file.stem}/{place}', example
    else:
      raise ValueError(
        f'tapvid: {file} holds a {type(data).__name__}, expected a dict or a '
        'list of videos.'
      )


def _check(name: str, example: Any):
  """Refuses what is not an example of TAP-Vid."""
  keys = {'video', 'points', 'occluded'}
  if not isinstance(example, Mapping) or keys - example.keys():
    raise ValueError(f'tapvid: {name} lacks one of {sorted(keys)}.')
  points, occluded = example['points'], example['occluded']
  n, t = np.shape(occluded) if np.ndim(occluded) == 2 else (-1, -1)
  frames = example['video']
  total = len(frames) if isinstance(frames, list | np.ndarray) else -1
  good = total == t > 0 and np.shape(points) == (n, t, 2)
  good &= getattr(occluded, 'dtype', None) == np.bool_
  good &= getattr(getattr(points, 'dtype', None), 'kind', '') == 'f'
  # Each of them: of a number, bytes() would make as many zeros.
  if good and not all(isinstance(frame, bytes) for frame in frames):
    good &= getattr(frames, 'dtype', None) == np.uint8
    good &= np.ndim(frames) == 4 and np.shape(frames)[-1:] == (3,)
  if not good:
    raise ValueError(
      f'tapvid: {name} has {total} frames, points {np.shape(points)} and '
      f'occluded {np.shape(occluded)}: expected uint8 or JPEG frames [t], '
      'points [n t 2] and occluded [n t] of bool.'
    )
  if not np.isfinite(points[~occluded]).all():
    raise ValueError(
      f'tapvid: {name} has a point that is seen and not finite: get the file '
      'where it is published.'
    )


def _queries(
  visible: Bool[np.ndarray, 'n t'], queries: str
) -> tuple[Int[np.ndarray, 'q'], Int[np.ndarray, 'q']]:
  """(track, frame) of what is asked for, by track or, 'strided', by frame."""
  if queries == 'strided':
    frames, tracks = np.nonzero(visible[:, ::_STRIDE].T)
    return tracks, _STRIDE * frames
  frame = (
    visible.argmax(1) if queries == 'first' else np.zeros(len(visible), int)
  )
  tracks = np.flatnonzero(visible[np.arange(len(visible)), frame])
  return tracks, frame[tracks]


def _clip(
  name: str,
  example: Mapping[str, Any],
  window: Int[np.ndarray, 't'],
  rows: Int[np.ndarray, 'q'],
  asked: Int[np.ndarray, 'q'],
) -> Video:
  """The frames of the window, and the tracks `rows` in them."""
  frames = example['video']
  if isinstance(frames[0], bytes):
    frames = tuple(bytes(frames[number]) for number in window)
  else:
    frames = frames[window]
  visible = ~example['occluded'][rows][:, window]
  points = example['points'][rows][:, window]
  # What is not seen may be no number, in files of others.
  points = np.where(np.isfinite(points), points, 0)
  return Video(name, frames, points, visible, asked)


def _decode(video: Video) -> UInt8[np.ndarray, 't h w 3']:
  """JPEGs of one size."""
  try:
    return np.stack([pictures.decode(coded) for coded in video.frames])
  except ValueError as error:
    raise BadRecord(f'{video.name}: {error}') from error
