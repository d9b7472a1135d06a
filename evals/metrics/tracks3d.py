"""Point tracks in metres: the metrics of TAPVid-3D (arXiv 2407.05921).

As of tracks in pixels, but a point is near where it is within so many pixels of
the ray through it, at its depth. All frames are judged, that of the query too.
"""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from base.names import choose
from evals.metrics.sums import Sums
from evals.metrics.tracks import SIZE, THRESHOLDS, shares

SCALINGS = ('median', 'none')
FOCALS = ('kauldron', 'tapnet')
_LEAST = 1e-12  # of a squared length whose root is taken


def track3d_sums(
  predicted: Float[Array, 'b q t 3'],
  predicted_visible: Bool[Array, 'b q t'],
  true: Float[Array, 'b q t 3'],
  true_visible: Bool[Array, 'b q t'],
  *,
  valid: Bool[Array, 'b q'],
  focal: Float[Array, 'b'],
  scaling: str = 'median',
  unseen: str = 'no_value',
) -> Sums:
  """The scores of each clip, and which of them it has; see `track_sums`.

  Args:
    predicted: (x, y, z) in the axes of each frame's camera, in metres or, with
      scaling='median', in any unit.
    predicted_visible: neither occluded nor outside the picture.
    true: as `predicted`; may be anything where a point is not visible.
    true_visible: as `predicted_visible`.
    valid: which queries count; the others are padding.
    focal: of the camera, in pixels of a picture of 256 x 256: `focal_length`.
    scaling: 'median' scales a clip's predictions by the ratio of the medians of
      true and predicted distances from the camera, over points that are visible
      in both, as published; 'none': not.
    unseen: as of `track_sums`.

  Raises:
    ValueError: another word for `scaling`.
  """
  choose('scaling of tracks', scaling, SCALINGS)
  true_visible &= valid[..., None]
  both = true_visible & predicted_visible & valid[..., None]
  if scaling == 'median':
    factor = _median(true, both) / _median(predicted, both)
    predicted = predicted * factor[:, None, None, None]
  distance = jnp.sum(jnp.square(predicted - true), axis=-1)
  # Pixels as metres, at the depth of the point.
  pixel = true[..., 2] / focal[:, None, None]
  near = {n: distance < jnp.square(n * pixel) for n in THRESHOLDS}
  judged = jnp.broadcast_to(valid[..., None], true_visible.shape)
  return shares(near, predicted_visible, true_visible, judged, unseen)


def focal_length(
  lens: Float[Array, 'b 4'], convention: str = 'kauldron'
) -> Float[Array, 'b']:
  """Of a camera, in pixels of the picture that scores are of.

  Args:
    lens: fx fy cx cy as parts of the width and height.
    convention: 'kauldron': of the picture resized to 256 x 256, the geometric
      mean of both axes; 'tapnet': of the picture whose short side is 256, which
      for square pictures is the same.

  Raises:
    ValueError: another word for `convention`.
  """
  choose('convention of the focal length', convention, FOCALS)
  x, y = SIZE * lens[:, 0], SIZE * lens[:, 1]
  # Of square pixels the longer part is that of the shorter side.
  return jnp.sqrt(x * y) if convention == 'kauldron' else jnp.maximum(x, y)


def _median(
  points: Float[Array, 'b q t 3'], where: Bool[Array, 'b q t']
) -> Float[Array, 'b']:
  """Of the distances from the camera; NaN of none, which is near nothing."""
  square = jnp.maximum(jnp.sum(jnp.square(points), axis=-1), _LEAST)
  return jnp.nanmedian(jnp.where(where, jnp.sqrt(square), jnp.nan), axis=(1, 2))
