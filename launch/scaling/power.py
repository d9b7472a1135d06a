"""Power laws with an offset, fitted to what runs of several sizes reached."""

import dataclasses
from collections.abc import Sequence

import numpy as np

# Powers that are tried, 2% apart. Below, a law cannot be told from a logarithm;
# above, from a step.
_POWERS = np.geomspace(0.02, 2.0, 233)
_DRAWS = 1000  # of the bootstrap; ours


@dataclasses.dataclass(frozen=True)
class Law:
  """error(size) = floor + scale x (size / unit)^-power.

  Attributes:
    floor: what no size goes below, in units of the error.
    scale: how far above it a model of size `unit` is; negative where wider
      models are worse.
    power: how fast that goes away.
    unit: a size in the middle of those that were fitted.
  """

  floor: float
  scale: float
  power: float
  unit: float

  def at(self, size: float) -> float:
    """The error of a model of that size."""
    return self.floor + self.scale * (size / self.unit) ** -self.power


@dataclasses.dataclass(frozen=True)
class Point:
  """What runs of one size reached.

  Attributes:
    size: parameters, or whatever is scaled.
    errors: of each seed; the smaller the better.
  """

  size: float
  errors: tuple[float, ...]

  @property
  def mean(self) -> float:
    return float(np.mean(self.errors))


@dataclasses.dataclass(frozen=True)
class Forecast:
  """An error that nobody has seen yet.

  Attributes:
    value: by the law that was fitted to all points.
    low: below it one run in twenty is expected, if the law holds.
    high: above it one in twenty.
  """

  value: float
  low: float
  high: float


def fit(points: Sequence[Point]) -> Law:
  """The law of least squares, each size weighted by its number of seeds.

  Raises:
    ValueError: fewer than three sizes, which any law of three numbers meets.
  """
  sizes = sorted({point.size for point in points})
  if len(sizes) < 3 or len(sizes) < len(points):
    raise ValueError(
      f'a power law with an offset needs three sizes or more, each once: got '
      f'{[point.size for point in points]}'
    )
  (law,) = _fit(points, np.array([[point.mean for point in points]]))
  return law


def noise(points: Sequence[Point]) -> float:
  """Standard deviation of a run over seeds, pooled over sizes.

  Where no size has two seeds, what the law leaves over tells it, if there are
  more than three sizes.

  Raises:
    ValueError: neither can.
  """
  several = [point.errors for point in points if len(point.errors) > 1]
  if several:
    spread = sum(np.var(errors) * len(errors) for errors in several)
    return float(np.sqrt(spread / sum(len(errors) - 1 for errors in several)))
  if len(points) < 4:
    raise ValueError(
      'how much runs differ by chance cannot be told of three sizes of one '
      'seed each: train another seed, or another size'
    )
  law = fit(points)
  left = [law.at(point.size) - point.mean for point in points]
  return float(np.sqrt(np.sum(np.square(left)) / (len(points) - 3)))


def forecast(
  points: Sequence[Point], size: float, *, seed: int = 0
) -> Forecast:
  """What one run of another size is expected to reach, with its 90% band.

  By a parametric bootstrap: the points are drawn anew as often as seeds say
  that they differ, the law is fitted to them, and a run's own chance is added.
  The band does not say what happens if there is no such law.

  Args:
    points: of sizes that were run.
    size: of the model.
    seed: of the draws; the same one gives the same numbers.
  """
  draws = _drawn(points, size, seed)
  own = noise(points) * np.random.default_rng(seed + 1).normal(size=len(draws))
  low, high = np.quantile(draws + own, [0.05, 0.95])
  return Forecast(fit(points).at(size), float(low), float(high))


def band(
  points: Sequence[Point], sizes: Sequence[float], *, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
  """Between what the law lies at each size, in 90 of 100 draws; [n], [n]."""
  draws = [_drawn(points, size, seed) for size in sizes]
  low, high = np.quantile(draws, [0.05, 0.95], axis=1)
  return low, high


def _drawn(points: Sequence[Point], size: float, seed: int) -> np.ndarray:
  """The law at a size, of points that are drawn anew [d]."""
  rng = np.random.default_rng(seed)
  means = np.array([point.mean for point in points])
  deviations = noise(points) / _weights(points)
  drawn = rng.normal(means, deviations, (_DRAWS, len(points)))
  return np.array([law.at(size) for law in _fit(points, drawn)])


def _weights(points: Sequence[Point]) -> np.ndarray:
  return np.sqrt([len(point.errors) for point in points])


def _fit(points: Sequence[Point], errors: np.ndarray) -> list[Law]:
  """A law for each row of errors [d n], of points' sizes and weights.

  For each power, floor and scale are a linear problem with an answer in closed
  form: so there is no start to choose, and no local minimum that it leads to.
  """
  sizes = np.array([point.size for point in points], float)
  unit = float(np.exp(np.log(sizes).mean()))
  weights = _weights(points) ** 2
  x = (sizes / unit) ** -_POWERS[:, None]  # [p n]
  mean_x, mean = (
    np.average(each, axis=-1, weights=weights) for each in (x, errors)
  )
  below = errors - mean[:, None]
  # [d p]: of straight lines through (x, errors).
  scale = np.einsum('n,dn,pn->dp', weights, below, x - mean_x[:, None])
  scale /= np.einsum('n,pn->p', weights, (x - mean_x[:, None]) ** 2)
  floor = mean[:, None] - scale * mean_x
  # No error is below 0: then it is the line through 0.
  through = np.einsum('n,dn,pn->dp', weights, errors, x)
  through /= np.einsum('n,pn->p', weights, x**2)
  scale = np.where(floor < 0, through, scale)
  floor = np.maximum(floor, 0)
  left = errors[:, None] - floor[..., None] - scale[..., None] * x
  best = np.einsum('n,dpn->dp', weights, left**2).argmin(1)
  return [
    Law(float(floor[d, p]), float(scale[d, p]), float(_POWERS[p]), unit)
    for d, p in enumerate(best)
  ]
