"""Tracks and boxes of one video of the Perception Test."""

import dataclasses
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

_FRAMES = 10**6  # more than any video has


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


def points(entry: dict[str, Any]) -> Labels:
  """Points are stored [2 n], ys before xs; the published text has [n 2]."""
  tracks = entry['point_tracking']
  values = []
  for track in tracks:
    stored = np.array(track['points'], np.float32)
    if stored.shape != (2, len(track['frame_ids'])):
      raise ValueError(
        f'points of shape {stored.shape}, expected (2, '
        f'{len(track["frame_ids"])}): ys and xs of each frame'
      )
    values.append(stored[::-1].T)
  seen = [np.ones(len(track['frame_ids']), bool) for track in tracks]
  return _labels(tracks, values, seen, 2)


def boxes(entry: dict[str, Any]) -> Labels:
  """Boxes are stored as x1 y1 x2 y2; `is_masked` counts in games of cups."""
  tracks = entry['object_tracking']
  values = [
    np.array(track['bounding_boxes'], np.float32)[:, [1, 0, 3, 2]]
    for track in tracks
  ]
  if entry['metadata']['is_cup_game']:
    seen = [np.array(track['is_masked']) != 1 for track in tracks]
  else:
    seen = [np.ones(len(track['frame_ids']), bool) for track in tracks]
  return _labels(tracks, values, seen, 4)


def _labels(tracks, values, seen, width: int) -> Labels:
  """One `Labels` of all tracks."""
  lengths = [len(track['frame_ids']) for track in tracks]
  frame = [np.array(track['frame_ids'], np.int32) for track in tracks]
  for each, length, value, shown in zip(frame, lengths, values, seen):
    if each.size and not 0 <= each.min() <= each.max() < _FRAMES:
      raise ValueError(f'frame_ids {each.min()} to {each.max()}')
    if value.shape != (length, width) or shown.shape != (length,):
      raise ValueError(
        f'{length} frame_ids, and values of shape {value.shape}, shown '
        f'{shown.shape}'
      )
  return Labels(
    rows=len(tracks),
    row=np.repeat(np.arange(len(tracks), dtype=np.int32), lengths),
    frame=np.concatenate([np.zeros(0, np.int32), *frame]),
    value=np.concatenate([np.zeros((0, width), np.float32), *values]),
    seen=np.concatenate([np.zeros(0, bool), *seen]),
  )


READERS = {'tracks': points, 'boxes': boxes}  # of what is asked for
