"""Metrics as sums per clip, and what the sums say of a whole test set.

A metric is two pure functions: one turns predictions into a few sums for each
clip, on device; the other turns sums, added over any set of clips, into
scores. So clips may come in any batches and from any host, a padded row is
dropped before it is added, and an interval is a resampling of the sums.
"""

from collections.abc import Callable, Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

Sums = dict[str, Any]  # name -> sum over pixels, of one clip or of many
Scores = dict[str, Any]  # name -> score


def depth_sums(
  predicted: Float[Array, 'b t h w 1'],
  true: Float[Array, 'b t h w 1'],
  valid: Bool[Array, 'b t h w 1'],
  *,
  floor: float = 1e-3,
) -> Sums:
  """The sums over the valid pixels of each clip that depth scores need.

  Args:
    predicted: metres; no scale or shift is fitted.
    true: metres.
    valid: which pixels count; `true` may be anything elsewhere.
    floor: metres; smaller predictions are raised to it where a logarithm or
      a ratio is taken.

  Returns:
    count, abs_rel, square, square_log, delta1, delta2, delta3, each [b].
  """
  true = jnp.where(valid, true, 1.0)
  raised = jnp.maximum(predicted, floor)
  ratio = jnp.maximum(raised / true, true / raised)
  terms = {
    'count': jnp.ones_like(true),
    'abs_rel': jnp.abs(predicted - true) / true,
    'square': jnp.square(predicted - true),
    'square_log': jnp.square(jnp.log(raised) - jnp.log(true)),
    'delta1': ratio < 1.25,
    'delta2': ratio < 1.25**2,
    'delta3': ratio < 1.25**3,
  }
  return {
    name: jnp.sum(term, axis=(1, 2, 3, 4), where=valid, dtype=jnp.float32)
    for name, term in terms.items()
  }


def depth_scores(sums: Sums) -> Scores:
  """Depth scores of summed sums; arrays of them give arrays of scores.

  All valid pixels of the test set weigh the same, whatever their clip, as in
  the evaluation code of the field (kauldron). Without any, scores are 0.

  Returns:
    abs_rel: mean |p - g| / g.
    rmse: metres, and log_rmse: of natural logarithms.
    delta1, delta2, delta3: share of pixels with max(p/g, g/p) < 1.25^k.
  """
  count = sums['count'] + (sums['count'] == 0)
  return {
    'abs_rel': sums['abs_rel'] / count,
    'rmse': (sums['square'] / count) ** 0.5,
    'log_rmse': (sums['square_log'] / count) ** 0.5,
    'delta1': sums['delta1'] / count,
    'delta2': sums['delta2'] / count,
    'delta3': sums['delta3'] / count,
  }


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
