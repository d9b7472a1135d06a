"""Splitting one ingested video by time, where there is no other to hold out.

Validation is what comes last. No frame is on both sides: where a record of
training reaches into what is held out, as records overlap, it ends at the
keyframe before. That there is such a split is our choice.
"""

import dataclasses

import numpy as np
from jaxtyping import Int

from data.formats import record, shards
from data.source import BadRecord

_CLOSE = 1e-6  # seconds, by which floats differ


@dataclasses.dataclass(frozen=True)
class Parts:
  """What of a folder is in a split; without begins and ends whole records."""

  rows: Int[np.ndarray, 'n']  # of the index
  begins: Int[np.ndarray, 'n'] | None = None  # the first frame of each,
  ends: Int[np.ndarray, 'n'] | None = None  # and the last + 1


def parts(folder: shards.Shards, split: str, fraction: float) -> Parts:
  """What of the only video of a folder is in a split.

  Args:
    folder: of one video, or of copies of it. All its records are read.
    split: 'train', or what is held out.
    fraction: of the records, to hold out; of a single one, of its groups of
      pictures. At least one, and not all.

  Raises:
    ValueError: a record is damaged.
  """
  total = len(folder.index['video'])
  try:
    found = [record.parse(folder.read(row)) for row in range(total)]
  except BadRecord as error:
    raise ValueError(
      f'{folder.path}: {error}: copy it again, or ingest it again'
    ) from error
  # Seconds of the video; copies of it have the same.
  starts = np.array([float(each.start / each.fps) for each in found])
  times = np.unique(starts)
  if len(times) > 1:
    held = min(max(1, round(fraction * len(times))), len(times) - 1)
    border = times[-held]
  else:
    keys = _keys(found[0])
    held = min(max(1, round(fraction * len(keys))), max(1, len(keys) - 1))
    border = times[0] + float(keys[-held] / found[0].fps)
  chosen = []
  for row, (each, start) in enumerate(zip(found, starts)):
    keys = [*_keys(each), each.frames]
    # Of keyframes and the end, the last one that is not behind the border.
    before = [
      key for key in keys if start + float(key / each.fps) <= border + _CLOSE
    ]
    cut = before[-1] if before else 0
    begin, end = (0, cut) if split == 'train' else (cut, each.frames)
    # What reaches over the border is cut for training alone, but for a single
    # record: validation has others.
    if split != 'train' and cut and len(times) > 1:
      continue
    if begin < end:
      chosen.append((row, begin, end))
  rows, begins, ends = np.array(chosen, np.int64).reshape(-1, 3).T
  return Parts(rows, begins, ends)


def _keys(each: record.Record) -> list[int]:
  """Numbers of the keyframes."""
  return each.packets['frame'][each.packets['key'] == 1].tolist()
