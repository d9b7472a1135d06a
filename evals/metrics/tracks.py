"""Point tracks: the metrics of TAP-Vid (arXiv 2211.03726)."""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from evals.metrics.sums import Scores, Sums, means

# As published, and so is the size.
THRESHOLDS = (1, 2, 4, 8, 16)  # pixels of a picture of SIZE x SIZE
SIZE = 256
MODES = ('first', 'strided')


def track_sums(
  predicted: Float[Array, 'b q t 2'],
  predicted_visible: Bool[Array, 'b q t'],
  true: Float[Array, 'b q t 2'],
  true_visible: Bool[Array, 'b q t'],
  *,
  valid: Bool[Array, 'b q'],
  query_frame: Int[Array, 'b q'],
  mode: str = 'first',
) -> Sums:
  """The scores of each clip, and whether it has any.

  Scores are ratios within a clip and then means over clips, so a clip with
  few points weighs as much as one with many. A clip in which no point is
  visible after its query has no ratio: its count and scores are 0.

  Official numbers of Perception Test come from code whose 'first' is in fact
  'strided'.

  Args:
    predicted: (x, y) in [0, 1], raster; axes are scaled to 256 separately,
      as published, whatever the shape of the picture.
    predicted_visible: neither occluded nor outside the picture.
    true: as `predicted`; may be anything where a point is not visible.
    true_visible: as `predicted_visible`.
    valid: which queries count; the others are padding.
    query_frame: where each point was given.
    mode: 'first' judges the frames after the query, 'strided' all but it.

  Returns:
    Each [b], see `track_scores`; and count.

  Raises:
    ValueError: an unknown mode.
  """
  if mode not in MODES:
    raise ValueError(f'mode={mode!r}: expected one of {", ".join(MODES)}')
  frame, query = jnp.arange(true.shape[2]), query_frame[..., None]
  judged = frame > query if mode == 'first' else frame != query
  judged &= valid[..., None]
  seen = judged & true_visible
  labels = _count(seen)
  counted = labels > 0

  def ratio(part, whole):
    # Within a clip, as published: sums over clips would let long ones win.
    return jnp.where(counted, part / jnp.maximum(whole, 1), 0)

  square = jnp.sum(jnp.square(SIZE * (predicted - true)), axis=-1)
  jaccard, position = {}, {}
  for pixels in THRESHOLDS:
    # Less than, not at most, as published.
    hit = seen & (square < pixels**2)
    # Also where the true point is hidden: it is not in `hit`.
    wrong = _count(judged & predicted_visible & ~hit)
    right = _count(hit & predicted_visible)
    jaccard[f'jaccard_{pixels}'] = ratio(right, labels + wrong)
    position[f'position_{pixels}'] = ratio(_count(hit), labels)
  agreed = _count(judged & (predicted_visible == true_visible))
  return {
    'count': counted.astype(jnp.float32),
    'average_jaccard': sum(jaccard.values()) / len(THRESHOLDS),
    'position_accuracy': sum(position.values()) / len(THRESHOLDS),
    'occlusion_accuracy': ratio(agreed, _count(judged)),
    **jaccard,
    **position,
  }


def track_scores(sums: Sums) -> Scores:
  """Means over clips of their scores.

  Returns:
    average_jaccard: mean of jaccard_1 to jaccard_16: points within so many
      pixels that are rightly called visible, over these, visible points that
      are not, and points wrongly called visible there.
    position_accuracy: mean of position_1 to position_16: share of the visible
      points that are within so many pixels, whatever they are called.
    occlusion_accuracy: share of points rightly called visible or not.
  """
  return means(sums)


def _count(mask: Bool[Array, 'b q t']) -> Float[Array, 'b']:
  return jnp.sum(mask, axis=(1, 2), dtype=jnp.float32)
