"""What sums per clip say of a whole test set: totals and means."""

from collections.abc import Mapping
from typing import Any

import numpy as np

Sums = dict[str, Any]  # name -> sum over labels, of one clip or of many
Scores = dict[str, Any]  # name -> score


def means(sums: Sums) -> Scores:
  """Each other sum divided by `count`, elementwise; 0 without any count."""
  count = sums['count'] + (sums['count'] == 0)
  return {name: x / count for name, x in sums.items() if name != 'count'}


def total(clips: Mapping[str, np.ndarray]) -> Sums:
  """The sums over all clips, of sums [n] per clip, in float64."""
  return {
    # Of millions of pixels float32 would drop the last.
    name: np.sum(values, axis=0, dtype=np.float64)
    for name, values in clips.items()
  }
