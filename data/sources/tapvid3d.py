"""TAPVid-3D: tracks of points in metres, of driving, rooms and people.

Koppula et al., arXiv 2407.05921 (from Waymo Open, Aria Digital Twin and
Panoptic Studio), as its scripts write it: an npz per video.

| array | shape | holds |
|---|---|---|
| images_jpeg_bytes | t | JPEGs |
| tracks_XYZ | t n 3 | metres, in the axes of each frame's camera (z forward) |
| visibility | t n | neither occluded nor outside the picture |
| queries_xyt | n 3 | pixels, and the frame in which a point is given |
| fx_fy_cx_cy | 4 | of the camera, pixels |
"""

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float, Int

from base import npz
from base.console import progress
from data import pictures, remote, require
from data.remote import Path
from data.source import BadRecord, digest, pad_rows

KEYS = (
  'video',
  'tracks',
  'tracks_visible',
  'tracks_3d',
  'query_frames',
  'intrinsics',
  'lens',
)
QUERIES = ('frame0', 'given')
_PICTURES = 'images_jpeg_bytes'
_LABELS = ('tracks_XYZ', 'visibility', 'queries_xyt', 'fx_fy_cx_cy')
_REMEDY = 'make it again with the scripts of TAPVid-3D'


@dataclasses.dataclass(frozen=True)
class Video:
  """What is asked for of one file."""

  file: Path
  rows: Int[np.ndarray, 'q']  # tracks of the file
  asked: Int[np.ndarray, 'q']  # frame of the clip


@dataclasses.dataclass(frozen=True)
class Tapvid3d:
  """A `data.source.Source`. See `make`."""

  videos: tuple[Video, ...]
  excluded: Mapping[str, int]  # left out, by reason
  keys: tuple[str, ...]
  frames: int
  height: int
  width: int
  stride: int
  points: int
  is_fixed = True

  @property
  def fingerprint(self) -> str:
    """Of the names of the videos and of what is asked for."""
    return digest(
      [video.file.name for video in self.videos],
      *(video.rows for video in self.videos),
    )

  def __len__(self) -> int:
    """Number of records."""
    return len(self.videos)

  def needs(self, index: int) -> tuple[Path, ...]:
    """The file of a video."""
    return (self.videos[index].file,)

  def read(self, index: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """The clip of a video, always the same.

    Raises:
      BadRecord: its file is damaged or gone.
    """
    found, window = self.videos[index], self.stride * np.arange(self.frames)
    try:
      arrays = _read(found.file, (_PICTURES, *_LABELS))
      _check(arrays, arrays[_PICTURES].shape)
      jpegs = [bytes(arrays[_PICTURES][n]) for n in window]
      decoded = [pictures.decode(jpeg) for jpeg in jpegs]
    except (ValueError, OSError, IndexError, TypeError) as error:
      raise BadRecord(f'{found.file}: {error}') from error
    whole = pictures.stack(decoded)
    place = arrays['tracks_XYZ'][window][:, found.rows].swapaxes(0, 1)
    seen = _visible(arrays)[window][:, found.rows].T
    size = np.array([whole.shape[2], whole.shape[1]], float)
    lens = arrays['fx_fy_cx_cy'].reshape(2, 2) / size
    clip = {'query_frames': np.zeros(self.points, np.int32)}
    clip['query_frames'][: len(found.asked)] = found.asked
    # What is not visible may be behind the camera, or not known at all.
    safe = np.where(seen[..., None], place, [0, 0, 1.0])
    flat = safe[..., :2] / safe[..., 2:] * lens[0] + lens[1]
    flat = np.where(seen[..., None], flat, 0)
    padded = pad_rows(flat, seen, self.points)
    clip['tracks'], clip['tracks_visible'] = padded
    known = np.where(np.isfinite(place).all(-1, keepdims=True), place, 0)
    clip['tracks_3d'], _ = pad_rows(known, seen, self.points)
    clip['intrinsics'] = _intrinsics(lens * [self.width, self.height])
    clip['lens'] = lens.ravel().astype(np.float32)
    clip['video'] = pictures.resize(whole, self.height, self.width)
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
) -> Tapvid3d:
  """The first frames of each video; there is only a test split.

  Intrinsics are those of the resized picture. A track without a query is left
  out, as are queries beyond the first `points`, and a video that is too short
  or of which nothing is left; `excluded` counts them all.

  Args:
    split: 'test'.
    path: a folder with npz files, or with folders of them.
    keys: of the record (KEYS).
    frames, height, width, stride, points: as of `data.sources.tapvid.make`.
    queries: which points are asked for: 'frame0' (ours, for heads that are
      asked in frame 0), those that are visible in the first frame, from there;
      'given', as published: from the frame of the file's query, if that is in
      the clip. For the latter keys must have 'query_frames'.

  Raises:
    ValueError: a bad option, another split, no file, one in another format, or
      no video that is left.
  """
  instead = "tracks in metres, such as 'world'"
  require.only_test('tapvid3d', split, 'TAPVid-3D', instead)
  require.keys('tapvid3d', keys, KEYS)
  require.at_least(
    1,
    'tapvid3d',
    frames=frames,
    height=height,
    width=width,
    stride=stride,
    points=points,
  )
  require.one_of('tapvid3d', QUERIES, queries=queries)
  require.told_frames('tapvid3d', queries, keys, 'tracks_3d', 'points3d')
  window = stride * np.arange(frames)
  videos, excluded = [], Counter()
  files, excluded['file of a folder tmp'] = _files(remote.path(path))
  with progress('tapvid3d', len(files), 'video') as bar:
    for file in files:
      bar.update(1)
      pictures_of_file = _pictures(file)
      arrays = _read(file, _LABELS)
      try:
        _check(arrays, pictures_of_file)
      except ValueError as error:
        raise ValueError(f'tapvid3d: {file} {error}: {_REMEDY}') from error
      if window[-1] >= len(arrays['visibility']):
        excluded[f'video with fewer than {window[-1] + 1} frames'] += 1
        continue
      rows, asked = _queries(arrays, window, queries)
      excluded['track without a query'] += len(arrays['queries_xyt']) - len(
        rows
      )
      excluded[f'track beyond the first {points}'] += max(0, len(rows) - points)
      if len(rows):
        videos.append(Video(file, rows[:points], asked[:points]))
      else:
        excluded['video without a query'] += 1
  excluded = {reason: count for reason, count in excluded.items() if count}
  if not videos:
    raise ValueError(
      f'tapvid3d: no video of {path}/**/*.npz is left with frames={frames} and '
      f'stride={stride}: {excluded}. Give the folder that the scripts of '
      'TAPVid-3D wrote, or ask for shorter clips.'
    )
  return Tapvid3d(
    videos=tuple(videos),
    excluded=excluded,
    keys=tuple(keys),
    frames=frames,
    height=height,
    width=width,
    stride=stride,
    points=points,
  )


def _files(path: Path) -> tuple[list[Path], int]:
  """Those of the benchmark, in order, and how many others there are.

  Its scripts leave what they downloaded in a folder tmp beside what they made:
  annotations without pictures, of the same names.
  """
  found = sorted(path.rglob('*.npz'))
  kept = [each for each in found if 'tmp' not in each.relative_to(path).parts]
  return kept, len(found) - len(kept)


def _read(file: Path, names: Sequence[str]) -> dict[str, np.ndarray]:
  with file.open('rb') as opened:
    return npz.read(opened, str(file), _REMEDY, names)


def _pictures(file: Path) -> tuple[int, ...]:
  """Shape of the array of JPEGs, which is not read; () of none."""
  with file.open('rb') as opened:
    members = npz.members(opened, str(file), _REMEDY)
  return members[_PICTURES].shape if _PICTURES in members else ()


def _check(arrays: Mapping[str, np.ndarray], images: tuple[int, ...]):
  """Refuses arrays that do not fit together, or to `images` pictures."""
  t, n = (
    arrays['visibility'].shape if arrays['visibility'].ndim == 2 else (0, 0)
  )
  if images != (t,):
    raise ValueError(
      f'has {images[0] if images else "no"} JPEGs in {_PICTURES}, expected {t}'
    )
  wanted = {
    **{'tracks_XYZ': (t, n, 3), 'visibility': (t, n)},
    **{'queries_xyt': (n, 3), 'fx_fy_cx_cy': (4,)},
  }
  for name, shape in wanted.items():
    found = arrays[name]
    if found.shape != shape or not t or found.dtype.kind not in 'biuf':
      raise ValueError(
        f'has {name} {found.shape} of {found.dtype}, expected numbers {shape}'
      )
  lens, asked = arrays['fx_fy_cx_cy'], arrays['queries_xyt'][:, 2]
  if not (np.isfinite(lens).all() and min(lens[:2]) > 0):
    raise ValueError(f'has fx_fy_cx_cy {lens}, expected focal lengths above 0')
  if not np.isfinite(asked).all():
    raise ValueError('has queries_xyt without a frame')


def _visible(arrays: Mapping[str, np.ndarray]) -> np.ndarray:
  place = arrays['tracks_XYZ']
  ahead = np.isfinite(place).all(-1) & (place[..., 2] > 0)
  return arrays['visibility'].astype(bool) & ahead


def _queries(
  arrays: Mapping[str, np.ndarray], window: Int[np.ndarray, 't'], queries: str
) -> tuple[Int[np.ndarray, 'q'], Int[np.ndarray, 'q']]:
  """(track, frame of the clip) of what is asked for."""
  visible = _visible(arrays)[window]
  if queries == 'frame0':
    rows = np.flatnonzero(visible[0])
    return rows, np.zeros(len(rows), int)
  asked = np.round(arrays['queries_xyt'][:, 2]).astype(int)
  place = np.minimum(np.searchsorted(window, asked), len(window) - 1)
  there = window[place] == asked
  rows = np.flatnonzero(there & visible[place, np.arange(len(asked))])
  return rows, place[rows]


def _intrinsics(lens: Float[np.ndarray, '2 2']) -> Float[np.ndarray, '3 3']:
  """Of focal lengths and centre, (x, y) each."""
  (fx, fy), (cx, cy) = lens
  return np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]], np.float32)
