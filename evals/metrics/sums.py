"""What sums per clip say of a whole test set: totals, means, intervals."""

from collections.abc import Callable, Mapping
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
    name: np.sum(values, axis=0, dtype=np.float64)
    for name, values in clips.items()
  }


def bootstrap(
  clips: Mapping[str, np.ndarray],
  scores: Callable[[Sums], Scores],
  *,
  draws: int = 1000,
  level: float = 0.95,
  seed: int = 0,
) -> dict[str, tuple[float, float]]:
  """Percentile interval of each score over resampled clips.

  Clips are the unit, since the pixels of one clip err together.

  Args:
    clips: sums [n] of each of n clips.
    scores: from summed sums to scores, elementwise.
    draws: resampled test sets, each of n clips drawn with replacement.
    level: of the interval.
    seed: of the draws; the same clips give the same interval.
  """
  count = len(next(iter(clips.values())))
  rng = np.random.default_rng(seed)
  times = rng.multinomial(count, np.full(count, 1 / count), size=draws)
  drawn = {
    name: times @ values.astype(np.float64) for name, values in clips.items()
  }
  tails = 50 * (1 - level), 50 * (1 + level)
  return {
    name: tuple(float(end) for end in np.percentile(values, tails))
    for name, values in scores(drawn).items()
  }
