"""Depth: absolute and relative errors of metric depth, over valid pixels."""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from evals.metrics.sums import Scores, Sums, means

AVERAGES = ('pixels', 'images')


def depth_sums(
  predicted: Float[Array, 'b t h w 1'],
  true: Float[Array, 'b t h w 1'],
  valid: Bool[Array, 'b t h w 1'],
  *,
  floor: float = 1e-3,
  ceiling: float | None = None,
  average: str = 'pixels',
) -> Sums:
  """The sums over the valid pixels of each clip that depth scores need.

  Args:
    predicted: metres; no scale or shift is fitted.
    true: metres.
    valid: which pixels count; `true` may be anything elsewhere.
    floor: metres; smaller predictions are raised to it where a logarithm or
      a ratio is taken.
    ceiling: metres; if given, predictions are first brought into [floor,
      ceiling], as in monodepth2; None: they are taken as they are.
    average: what weighs the same: 'pixels', as in kauldron; or 'images': each
      score is of a frame, and then a mean over frames, as in monodepth2.

  Returns:
    count, of pixels or of frames with any; abs_rel, delta1, delta2, delta3;
    and square and square_log of pixels, or rmse and log_rmse of frames; each
    [b].
  """
  if ceiling is not None:
    predicted = jnp.clip(predicted, floor, ceiling)
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
  frames = {
    name: jnp.sum(term, axis=(2, 3, 4), where=valid, dtype=jnp.float32)
    for name, term in terms.items()
  }
  if average == 'images':
    there = frames['count'] > 0
    frames = _of_pixels(frames) | {'count': there.astype(jnp.float32)}
  return {name: jnp.sum(x, axis=1) for name, x in frames.items()}


def depth_scores(sums: Sums) -> Scores:
  """Depth scores of summed sums; arrays of them give arrays of scores.

  All valid pixels of the test set weigh the same, whatever their clip, or all
  its frames, as `depth_sums` was told. Without any, scores are 0.

  Returns:
    abs_rel: mean |p - g| / g.
    rmse: metres, and log_rmse: of natural logarithms.
    delta1, delta2, delta3: share of pixels with max(p/g, g/p) < 1.25^k.
  """
  return means(sums) if 'rmse' in sums else _of_pixels(sums)


def _of_pixels(sums: Sums) -> Scores:
  mean = means(sums)
  for root, square in (('rmse', 'square'), ('log_rmse', 'square_log')):
    mean[root] = mean.pop(square) ** 0.5
  names = ('abs_rel', 'rmse', 'log_rmse', 'delta1', 'delta2', 'delta3')
  return {name: mean[name] for name in names}
