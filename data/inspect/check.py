"""What is wrong with a record, by the table of data/source.py."""

from collections.abc import Mapping

import numpy as np

from data.source import TABLE

_CLOSE = 1e-3  # of a rotation times its transpose to the identity


def faults(record: Mapping[str, np.ndarray]) -> list[str]:
  """Reasons why a record is not as the table says; none if it is.

  Besides types and shapes: depth is finite and not negative, a pose moves
  rigidly, focal lengths are positive, boxes and tracks are finite, boxes in
  order, what is visible lies in the picture, and classes count from 0.
  """
  sizes: dict[str, int] = {}
  found = [_misshapen(key, value, sizes) for key, value in record.items()]
  if any(found):
    return [fault for fault in found if fault]
  return [
    f'{key}: {fault}'
    for key in record
    if key in _RANGES
    for fault in _RANGES[key](record[key], record)
  ]


def _misshapen(key: str, value: np.ndarray, sizes: dict[str, int]) -> str:
  """Why its type or shape is wrong, or ''; `sizes` learns the letters."""
  if key not in TABLE:
    return f'{key}: there is no such key; expected some of {", ".join(TABLE)}'
  dtype, letters = TABLE[key]
  if value.dtype.name != dtype:
    return f'{key}: {value.dtype}, expected {dtype}'
  expected = [
    int(letter) if letter.isdigit() else sizes.get(letter, letter)
    for letter in letters.split()
  ]
  matches = len(expected) == value.ndim and all(
    isinstance(want, str) or want == size
    for want, size in zip(expected, value.shape)
  )
  if not matches:
    return f'{key}: shape {list(value.shape)}, expected [{letters}], {expected}'
  sizes.update(zip(letters.split(), value.shape))
  return ''


def _depth(depth, _):
  if not np.isfinite(depth).all():
    yield 'not finite; 0 is unknown'
  elif depth.min(initial=0) < 0:
    yield f'{depth.min():.3g} m is negative; 0 is unknown'


def _point_map(points, record):
  if not np.isfinite(points).all():
    yield 'not finite; 0 is unknown'
  elif 'point_map_known' in record:
    unknown = points[~record['point_map_known'][..., 0]]
    if unknown.any():
      yield 'not 0 where it is unknown'


def _pose(pose, _):
  if not np.isfinite(pose).all():
    yield 'not finite'
    return
  turn = pose[:, :3, :3].astype(float)
  apart = np.abs(turn @ turn.swapaxes(1, 2) - np.eye(3)).max()
  if apart > _CLOSE:
    yield f'not rigid: rotation times transpose is {apart:.2g} off'
  elif (np.linalg.det(turn) < 0).any():
    yield 'mirrors: the determinant of a rotation is -1'
  if (pose[:, 3] != [0, 0, 0, 1]).any():
    yield 'the last row is not 0 0 0 1'


def _intrinsics(intrinsics, _):
  if not np.isfinite(intrinsics).all():
    yield 'not finite'
  elif min(intrinsics[0, 0], intrinsics[1, 1]) <= 0:
    yield f'focal lengths {np.diag(intrinsics)[:2]} are not positive'
  elif (intrinsics[2] != [0, 0, 1]).any():
    yield 'the last row is not 0 0 1'


def _lens(lens, _):
  if not np.isfinite(lens).all() or min(lens[:2]) <= 0:
    yield f'focal lengths {lens[:2]} are not positive'


def _tracks(tracks, record):
  if not np.isfinite(tracks).all():
    yield 'not finite'
  elif 'tracks_visible' in record:
    yield from _outside(tracks, record['tracks_visible'])


def _tracks_3d(tracks, record):
  if not np.isfinite(tracks).all():
    yield 'not finite'
  elif 'tracks_visible' in record:
    nearest = tracks[record['tracks_visible']][:, 2].min(initial=np.inf)
    if nearest <= 0:
      yield f'a visible point is {nearest:.3g} m before the camera'


def _query_frames(frames, record):
  total = record['tracks'].shape[1] if 'tracks' in record else np.inf
  if frames.min(initial=0) < 0 or frames.max(initial=0) >= total:
    yield f'{frames.min()} to {frames.max()}, expected 0 to {total - 1}'


def _boxes(boxes, record):
  if not np.isfinite(boxes).all():
    yield 'not finite'
    return
  if (boxes[..., :2] > boxes[..., 2:]).any():
    yield 'ymin > ymax or xmin > xmax; the order is ymin xmin ymax xmax'
  if 'boxes_visible' in record:
    yield from _outside(boxes, record['boxes_visible'])


def _outside(places, visible):
  seen = places[visible]
  if len(seen) and not (seen.min() >= 0 and seen.max() <= 1):
    yield (
      f'visible from {seen.min():.3g} to {seen.max():.3g}, expected 0 to 1: '
      'parts of the height and width'
    )


def _number(value, _):
  if value < 0:
    yield f'{int(value)} is negative'


_RANGES = {
  'depth': _depth,
  'point_map': _point_map,
  'pose': _pose,
  'intrinsics': _intrinsics,
  'lens': _lens,
  'tracks': _tracks,
  'tracks_3d': _tracks_3d,
  'query_frames': _query_frames,
  'boxes': _boxes,
  'label': _number,
  'video_id': _number,
}
