"""Camera pose: errors of relative poses [R | t]."""

import itertools

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from evals.metrics.sums import Scores, Sums, means

# Corners of the box in front of the camera that end-point errors are of.
# As in kauldron: metres, where the poses are.
CORNERS = np.array(list(itertools.product((-5, 5), (-5, 5), (0, 10))), float)
DEGREES = (5, 15, 30)
STILL = ('counted', 'left_out')
_STILL = 1e-6  # length below which a translation has no direction


def pose_sums(
  predicted: Float[Array, 'b p 3 4'],
  true: Float[Array, 'b p 3 4'],
  *,
  bins: int = 31,
  fold: bool = False,
  still: str = 'counted',
) -> Sums:
  """The sums over the pairs of frames of each clip.

  Args:
    predicted: [R | t]; R need not be a rotation: the nearest one is scored.
    true: [R | t]. A pair that is not finite does not count.
    bins: of `auc`: 31 as in kauldron and PyTorch code, 30 as in NumPy code.
    fold: see `direction_angle`.
    still: pairs without a translation have no direction. With 'counted' they
      are 90 degrees off, as in kauldron; with 'left_out' scores that need a
      direction are not of them.

  Returns:
    count and moving (pairs whose direction counts), and sums of the scores,
    each [b].
  """
  # ScanNet has poses of -inf where tracking was lost.
  valid = jnp.isfinite(true).all((2, 3))
  true = jnp.where(valid[..., None, None], true, jnp.eye(3, 4))
  predicted = jnp.concatenate(
    [nearest_rotation(predicted[..., :3]), predicted[..., 3:]], axis=-1
  )
  turn = rotation_angle(predicted[..., :3], true[..., :3])
  heading = direction_angle(predicted[..., 3], true[..., 3], fold=fold)
  moving = valid
  if still == 'left_out':
    moving &= jnp.linalg.norm(true[..., 3], axis=-1) > _STILL

  def add(terms, where):
    return {
      name: jnp.sum(term, axis=1, where=where, dtype=jnp.float32)
      for name, term in terms.items()
    }

  of_all = {
    'count': jnp.ones_like(turn),
    'end_point_error': end_point_error(predicted, true),
    'rotation_angle': turn,
    **{f'rra_{limit}': turn < limit for limit in DEGREES},
  }
  of_moving = {
    'moving': jnp.ones_like(turn),
    'translation_angle': heading,
    **{f'rta_{limit}': heading < limit for limit in DEGREES},
    'auc_30': auc(jnp.maximum(turn, heading), bins=bins),
  }
  return add(of_all, valid) | add(of_moving, moving)


def pose_scores(sums: Sums) -> Scores:
  """Means over pairs; of a direction, over those whose direction counts.

  Returns:
    end_point_error: see there; in the unit of the translations.
    rotation_angle, translation_angle: degrees.
    rra_5, rra_15, rra_30; rta_...: share of pairs whose rotation (direction
      of translation) is less than so many degrees off.
    auc_30: mean of `auc` of the larger of both angles.
  """
  directed = {
    name: x
    for name, x in sums.items()
    if name == 'auc_30' or name.startswith(('rta_', 'translation_'))
  }
  rest = {
    name: x
    for name, x in sums.items()
    if name not in directed and name != 'moving'
  }
  return means(rest) | means({'count': sums['moving'], **directed})


def nearest_rotation(
  matrix: Float[Array, '*n 3 3'],
) -> Float[Array, '*n 3 3']:
  """The rotation nearest to each matrix (least squares), never a mirror."""
  u, _, vt = jnp.linalg.svd(matrix)
  # Without it the nearest orthogonal matrix may be a mirror.
  sign = jnp.sign(jnp.linalg.det(_product(u, vt)))
  return _product(u.at[..., 2].multiply(sign[..., None]), vt)


def end_point_error(
  predicted: Float[Array, '*n 3 4'], true: Float[Array, '*n 3 4']
) -> Float[Array, '*n']:
  """Mean distance of 8 points moved by the predicted and by the true pose.

  The points are the corners of x, y in [-5, 5], z in [0, 10], as in kauldron:
  arXiv 1703.05593, equation 2, in 3D. Scale counts.
  """
  points = jnp.asarray(np.c_[CORNERS, np.ones(8)], jnp.float32)
  apart = _product(predicted - true, points.T)
  return jnp.mean(jnp.linalg.norm(apart, axis=-2), axis=-1)


def rotation_angle(
  a: Float[Array, '*n 3 3'], b: Float[Array, '*n 3 3']
) -> Float[Array, '*n']:
  """Degrees between rotations; exact in float32 for small ones too."""
  turn = _product(a, jnp.swapaxes(b, -1, -2))
  skew = turn - jnp.swapaxes(turn, -1, -2)
  axis = jnp.stack([skew[..., 2, 1], skew[..., 0, 2], skew[..., 1, 0]], -1)
  trace = jnp.trace(turn, axis1=-2, axis2=-1)
  # By the tangent: an arccosine near 1 loses half of its digits.
  return jnp.degrees(jnp.arctan2(jnp.linalg.norm(axis, axis=-1), trace - 1))


def direction_angle(
  a: Float[Array, '*n 3'], b: Float[Array, '*n 3'], *, fold: bool = False
) -> Float[Array, '*n']:
  """Degrees between directions; 90 where there is none, so that standing
  still is no answer.

  Args:
    a: of any length.
    b: of any length.
    fold: take opposite directions for the same, as PoseDiffusion, VGGT and
      Pi3 do; kauldron does not.
  """
  across = jnp.linalg.norm(jnp.cross(a, b), axis=-1)
  along = jnp.sum(a * b, axis=-1)
  angle = jnp.degrees(jnp.arctan2(across, jnp.abs(along) if fold else along))
  lengths = jnp.linalg.norm(jnp.stack([a, b]), axis=-1)
  return jnp.where((lengths > _STILL).all(0), angle, 90.0)


def auc(
  error: Float[Array, '*n'], *, limit: float = 30.0, bins: int = 31
) -> Float[Array, '*n']:
  """Area under the curve of accuracy over threshold, up to `limit` degrees.

  A curve of histogram bins over [0, limit], so that the mean over pairs is
  the area of the curve of all.
  """
  # In bins, not the exact area, as published curves are made.
  place = jnp.minimum(jnp.floor(error * bins / limit), bins - 1)
  return jnp.where(error > limit, 0.0, 1 - place / bins)


def _product(a, b):
  # By default TPUs and GPUs round what they multiply.
  return jnp.matmul(a, b, precision='highest')
