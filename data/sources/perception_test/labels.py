"""Tracks and boxes of one video of the Perception Test."""

import dataclasses
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

_FRAMES = 10**6  # more than any video has


class _Row(NamedTuple):
  """One track: where it is annotated, as what, and whether it is seen."""

  frame: Int[np.ndarray, 'm']
  value: Float[np.ndarray, 'm c']
  seen: Bool[np.ndarray, 'm']


@dataclasses.dataclass(frozen=True)
class Labels:
  """What is annotated of one video: m (row, frame) pairs of n rows."""

  rows: int
  row: Int[np.ndarray, 'm']
  frame: Int[np.ndarray, 'm']
  value: Float[np.ndarray, 'm c']
  seen: Bool[np.ndarray, 'm']

  def at(
    self, frames: Int[np.ndarray, 't']
  ) -> tuple[Float[np.ndarray, 'n t c'], Bool[np.ndarray, 'n t']]:
    """Of the rows seen in the first of `frames`, which must increase."""
    values = np.zeros((self.rows, len(frames), self.value.shape[1]), np.float32)
    seen = np.zeros((self.rows, len(frames)), bool)
    place = np.searchsorted(frames, self.frame)
    hit = np.isin(self.frame, frames)
    values[self.row[hit], place[hit]] = self.value[hit]
    seen[self.row[hit], place[hit]] = self.seen[hit]
    queries = seen[:, 0]
    return values[queries], seen[queries]

  def seen_in(self, frames: Int[np.ndarray, 's']) -> Int[np.ndarray, 's']:
    """How many rows are seen in each of these frames."""
    counts = np.bincount(self.frame[self.seen], minlength=frames.max() + 1)
    return counts[frames]

  def starts(
    self, total: int, frames: int, stride: int
  ) -> Bool[np.ndarray, '{total}']:
    """Where a clip may start: a row is seen there, and again in the clip."""
    seen = np.zeros((self.rows, total), bool)
    shown = self.frame < total  # a box may be of the second that is cut off
    seen[self.row[shown], self.frame[shown]] = self.seen[shown]
    again = np.zeros_like(seen)
    for step in range(stride, min(total, stride * frames), stride):
      again[:, :-step] |= seen[:, step:]
    return (seen & again).any(0)


def _point(track: dict[str, Any], _: bool) -> _Row:
  """Points are stored [2 n], ys before xs; the published text has [n 2]."""
  stored = np.array(track['points'], np.float32)
  if stored.shape != (2, len(track['frame_ids'])):
    raise ValueError(
      f'points of shape {stored.shape}, expected (2, '
      f'{len(track["frame_ids"])}): ys and xs of each frame'
    )
  return _row(track, stored[::-1].T, np.ones(stored.shape[1], bool), 2)


def _box(track: dict[str, Any], is_cup_game: bool) -> _Row:
  """Boxes are stored as x1 y1 x2 y2; `is_masked` counts in games of cups."""
  value = np.array(track['bounding_boxes'], np.float32)[:, [1, 0, 3, 2]]
  seen = np.ones(len(value), bool)
  if is_cup_game:
    seen = np.array(track['is_masked']) != 1
  return _row(track, value, seen, 4)


def _row(track, value, seen, width: int) -> _Row:
  """One track that has been checked."""
  length = len(track['frame_ids'])
  frame = np.array(track['frame_ids'], np.int32)
  if frame.size and not 0 <= frame.min() <= frame.max() < _FRAMES:
    raise ValueError(f'frame_ids {frame.min()} to {frame.max()}')
  if value.shape != (length, width) or seen.shape != (length,):
    raise ValueError(
      f'{length} frame_ids, and values of shape {value.shape}, shown '
      f'{seen.shape}'
    )
  if not np.isfinite(value).all():
    raise ValueError('values that are not finite')
  return _Row(frame, value, seen)


# Of what is asked for: the list of an entry that has it, how to read one of it,
# and how many numbers it has in a frame.
READERS = {
  'tracks': ('point_tracking', _point, 2),
  'boxes': ('object_tracking', _box, 4),
}


def read(name: str, entry: dict[str, Any]) -> tuple[Labels, list[str]]:
  """What is annotated of `name` (READERS), and why tracks were left out.

  Entries of the public test split do not say whether they are games of cups:
  then they are not taken for one.
  """
  where, one, width = READERS[name]
  is_cup_game = bool(entry['metadata'].get('is_cup_game', False))
  rows, faults = [], []
  for track in entry.get(where, ()):
    try:
      rows.append(one(track, is_cup_game))
    except (LookupError, TypeError, ValueError, OverflowError) as error:
      faults.append(
        f'no {error}' if isinstance(error, KeyError) else str(error)
      )
  lengths = [len(row.frame) for row in rows]
  found = Labels(
    rows=len(rows),
    row=np.repeat(np.arange(len(rows), dtype=np.int32), lengths),
    frame=np.concatenate([np.zeros(0, np.int32), *(r.frame for r in rows)]),
    value=np.concatenate(
      [np.zeros((0, width), np.float32), *(r.value for r in rows)]
    ),
    seen=np.concatenate([np.zeros(0, bool), *(r.seen for r in rows)]),
  )
  return found, faults
