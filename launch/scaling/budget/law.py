"""Loss over parameters and clips: the law by which budgets are divided.

loss = floor + a (parameters / n)^-p + b (clips / d)^-q, the form of Hoffmann et
al. (arXiv 2203.15556), with clips in place of tokens.
"""

import dataclasses
import itertools
from collections.abc import Sequence

import numpy as np
from scipy import optimize

# Powers that are tried, 15% apart, and then around the best, 3%; ours.
_POWERS = np.geomspace(0.05, 1.5, 25)
_NEAR = np.geomspace(1 / 1.15, 1.15, 9)
_LEAST = 5  # runs: as many as the law has numbers


@dataclasses.dataclass(frozen=True)
class Run:
  """What training reached.

  Attributes:
    parameters: of the backbone.
    clips: that it was trained on, each as often as it was.
    losses: on validation clips, of each seed.
  """

  parameters: float
  clips: float
  losses: tuple[float, ...]


@dataclasses.dataclass(frozen=True)
class Law:
  """The numbers of the law.

  Attributes:
    floor: loss that nothing goes below.
    by_size: what is above it at the middle of the sizes, for want of size.
    by_clips: and for want of clips, at the middle of these.
    powers: (p, q).
    middle: (parameters, clips) in the middle of the runs.
  """

  floor: float
  by_size: float
  by_clips: float
  powers: tuple[float, float]
  middle: tuple[float, float]

  def at(self, parameters: float, clips: float) -> float:
    """The loss of such a run."""
    p, q = self.powers
    n, d = self.middle
    return (
      self.floor
      + self.by_size * (parameters / n) ** -p
      + self.by_clips * (clips / d) ** -q
    )


def fit(runs: Sequence[Run]) -> Law:
  """The law of least squares with no number below 0, seeds as weights.

  For each pair of powers the rest is a linear problem, so there is no start to
  choose, and no local minimum.

  Raises:
    ValueError: too few runs, or of one size, or of one number of clips.
  """
  if (
    len(runs) < _LEAST
    or len({run.parameters for run in runs}) < 3
    or len({run.clips for run in runs}) < 3
  ):
    raise ValueError(
      f'a law over size and clips needs {_LEAST} runs or more, of three sizes '
      f'and three numbers of clips: got {len(runs)}; `make scaling` trains two '
      'series that have them'
    )
  return _fit(runs, [float(np.mean(run.losses)) for run in runs])


def draws(runs: Sequence[Run], count: int, seed: int = 0) -> list[Law]:
  """Laws of runs as they might have come out, by what seeds differ by.

  Args:
    runs: of which one has two seeds or more.
    count: of laws.
    seed: of the draws.

  Raises:
    ValueError: of none there are two seeds.
  """
  several = [run.losses for run in runs if len(run.losses) > 1]
  if not several:
    raise ValueError(
      'how much runs differ by chance cannot be told: train two seeds of one'
    )
  spread = sum(np.var(x) * len(x) for x in several)
  deviation = np.sqrt(spread / sum(len(x) - 1 for x in several))
  means = np.array([np.mean(run.losses) for run in runs])
  scale = deviation / np.sqrt([len(run.losses) for run in runs])
  drawn = np.random.default_rng(seed).normal(means, scale, (count, len(runs)))
  return [_fit(runs, losses) for losses in drawn]


def _fit(runs: Sequence[Run], losses: Sequence[float]) -> Law:
  sizes, clips = (
    np.array([getattr(run, name) for run in runs], float)
    for name in ('parameters', 'clips')
  )
  n, d = (float(np.exp(np.log(x).mean())) for x in (sizes, clips))
  weights = np.sqrt([len(run.losses) for run in runs])

  def least(first, second):
    best = (np.inf, None)
    for p, q in itertools.product(first, second):
      columns = [np.ones(len(runs)), (sizes / n) ** -p, (clips / d) ** -q]
      matrix = weights[:, None] * np.stack(columns, 1)
      numbers, left = optimize.nnls(matrix, weights * np.array(losses))
      if left < best[0]:
        best = left, Law(*map(float, numbers), (float(p), float(q)), (n, d))
    return best[1]

  p, q = least(_POWERS, _POWERS).powers
  return least(p * _NEAR, q * _NEAR)
