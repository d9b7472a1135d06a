"""Depth: absolute and relative errors of metric depth, over valid pixels."""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from evals.metrics.sums import Scores, Sums


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
  # Of zeros the terms would be infinite, and infinity times 0 is not 0.
  true = jnp.where(valid, true, 1.0)
  raised = jnp.maximum(predicted, floor)
  ratio = jnp.maximum(raised / true, true / raised)
  terms = {
    'count': jnp.ones_like(true),
    # Of the prediction as it is; what is raised is for ratios and logarithms.
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
