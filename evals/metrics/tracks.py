"""Point tracks: the metrics of TAP-Vid (arXiv 2211.03726)."""

from collections.abc import Mapping

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from evals.metrics.sums import Scores, Sums, means

# As published, and so is the size.
THRESHOLDS = (1, 2, 4, 8, 16)  # pixels of a picture of SIZE x SIZE
SIZE = 256
MODES = ('first', 'strided')
UNSEEN = ('no_value', 'zero')
# What the scores with this first word are means over.
_OVER = {
  **{'average': 'with_jaccard', 'jaccard': 'with_jaccard'},
  **{'position': 'with_position', 'occlusion': 'count'},
}


def track_sums(
  predicted: Float[Array, 'b q t 2'],
  predicted_visible: Bool[Array, 'b q t'],
  true: Float[Array, 'b q t 2'],
  true_visible: Bool[Array, 'b q t'],
  *,
  valid: Bool[Array, 'b q'],
  query_frame: Int[Array, 'b q'],
  mode: str = 'first',
  unseen: str = 'no_value',
) -> Sums:
  """The scores of each clip, and which of them it has.

  Scores are ratios within a clip and then means over clips, so a clip with
  few points weighs as much as one with many. In a clip in which no point is
  visible after its query, occlusion accuracy counts like any other; Jaccard is
  0 if a point is called visible; the place has no value.

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
    unseen: a ratio of nothing to nothing: 'no_value' leaves it out of the mean
      over clips, as TAP-Vid's code has it; with 'zero' it is 0, as in kauldron,
      which adds a little to each denominator.

  Returns:
    Each [b], see `track_scores`; count: 1 if a frame is judged, which is what
    occlusion accuracy is a mean over; with_jaccard and with_position: the same
    of the other scores.

  Raises:
    ValueError: an unknown mode, or another word for `unseen`.
  """
  if mode not in MODES:
    raise ValueError(f'mode={mode!r}: expected one of {", ".join(MODES)}')
  if unseen not in UNSEEN:
    raise ValueError(f'unseen={unseen!r}: expected one of {", ".join(UNSEEN)}')
  frame, query = jnp.arange(true.shape[2]), query_frame[..., None]
  judged = frame > query if mode == 'first' else frame != query
  judged &= valid[..., None]
  square = jnp.sum(jnp.square(SIZE * (predicted - true)), axis=-1)
  # Less than, not at most, as published.
  near = {pixels: square < pixels**2 for pixels in THRESHOLDS}
  return shares(near, predicted_visible, true_visible, judged, unseen)


def shares(
  near: Mapping[int, Bool[Array, 'b q t']],
  predicted_visible: Bool[Array, 'b q t'],
  true_visible: Bool[Array, 'b q t'],
  judged: Bool[Array, 'b q t'],
  unseen: str,
) -> Sums:
  """What `track_sums` returns, of any distance.

  Args:
    near: by each threshold, which predictions are within it.
    predicted_visible: see there.
    true_visible: see there.
    judged: which points of which frames count.
    unseen: see there.
  """
  seen = judged & true_visible
  labels, frames = _count(seen), _count(judged)

  def ratio(part, whole):
    # Within a clip, as published: sums over clips would let long ones win.
    return jnp.where(whole > 0, part / jnp.maximum(whole, 1), 0)

  jaccard, position = {}, {}
  for pixels in THRESHOLDS:
    hit = seen & near[pixels]
    # Also where the true point is hidden: it is not in `hit`.
    wrong = _count(judged & predicted_visible & ~hit)
    right = _count(hit & predicted_visible)
    jaccard[f'jaccard_{pixels}'] = ratio(right, labels + wrong)
    position[f'position_{pixels}'] = ratio(_count(hit), labels)
  agreed = _count(judged & (predicted_visible == true_visible))
  counted = frames > 0
  with_position = counted if unseen == 'zero' else labels > 0
  # Where nothing is visible, whatever is called so is wrong at any distance.
  called = _count(judged & predicted_visible) > 0
  return {
    'count': counted.astype(jnp.float32),
    'with_jaccard': (with_position | called).astype(jnp.float32),
    'with_position': with_position.astype(jnp.float32),
    'average_jaccard': sum(jaccard.values()) / len(THRESHOLDS),
    'position_accuracy': sum(position.values()) / len(THRESHOLDS),
    'occlusion_accuracy': ratio(agreed, frames),
    **jaccard,
    **position,
  }


def track_scores(sums: Sums) -> Scores:
  """Means of each score over the clips that have it.

  Returns:
    average_jaccard: mean of jaccard_1 to jaccard_16: points within so many
      pixels that are rightly called visible, over these, visible points that
      are not, and points wrongly called visible there.
    position_accuracy: mean of position_1 to position_16: share of the visible
      points that are within so many pixels, whatever they are called.
    occlusion_accuracy: share of points rightly called visible or not.
  """
  scores = {}
  for name, x in sums.items():
    first = name.partition('_')[0]
    if first in _OVER:
      scores |= means({'count': sums[_OVER[first]], name: x})
  return scores


def _count(mask: Bool[Array, 'b q t']) -> Float[Array, 'b']:
  return jnp.sum(mask, axis=(1, 2), dtype=jnp.float32)
