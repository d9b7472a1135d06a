"""Intervals of scores: the bootstrap over clips."""

from collections.abc import Callable, Mapping

import numpy as np

from evals.metrics.sums import Scores, Sums

DRAWS, LEVEL = 1000, 0.95
WHAT = f'{LEVEL:.0%}, bootstrap over test clips, {DRAWS} draws'


def bootstrap(
  clips: Mapping[str, np.ndarray],
  scores: Callable[[Sums], Scores],
  *,
  draws: int = DRAWS,
  level: float = LEVEL,
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
  # How often each clip is drawn: scores are of sums, so that a draw is a
  # product with these.
  times = rng.multinomial(count, np.full(count, 1 / count), size=draws)
  drawn = {
    name: times @ values.astype(np.float64) for name, values in clips.items()
  }
  tails = 50 * (1 - level), 50 * (1 + level)
  return {
    name: tuple(float(end) for end in np.percentile(values, tails))
    for name, values in scores(drawn).items()
  }
