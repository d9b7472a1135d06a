"""Boxes: intersection over union of an object's box in every frame."""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from evals.metrics.sums import Scores, Sums, means


def box_sums(
  predicted: Float[Array, 'b o t 4'],
  true: Float[Array, 'b o t 4'],
  valid: Bool[Array, 'b o t'],
  *,
  query_frame: int = 0,
) -> Sums:
  """The sums over the valid boxes of each clip, without the query frame.

  Args:
    predicted: (ymin, xmin, ymax, xmax), in any unit.
    true: as `predicted`; may be anything where it is not valid.
    valid: which boxes count.
    query_frame: where the boxes were given: it does not count.

  Returns:
    count, iou; and videos (1 if the clip has a box that counts), video_iou
    (the clip's mean), track_iou (its mean of its objects' means), each [b].
  """
  judged = valid & (jnp.arange(true.shape[2]) != query_frame)
  frames = jnp.sum(judged, axis=2, dtype=jnp.float32)
  # Padding may hold anything, NaN too.
  each = jnp.where(judged, iou(predicted, true), 0)
  tracks = jnp.sum(each, axis=2) / jnp.maximum(frames, 1)
  objects = jnp.sum(frames > 0, axis=1)
  count, overlap = jnp.sum(frames, axis=1), jnp.sum(each, axis=(1, 2))
  return {
    'count': count,
    'iou': overlap,
    'videos': (count > 0).astype(jnp.float32),
    'video_iou': overlap / jnp.maximum(count, 1),
    'track_iou': jnp.sum(tracks, axis=1) / jnp.maximum(objects, 1),
  }


def box_scores(sums: Sums) -> Scores:
  """Mean overlaps.

  Returns:
    iou: all boxes of all frames weigh the same, as in the published protocol.
    video_iou: all clips weigh the same.
    track_iou: so do all objects of a clip, as in the official code of
      Perception Test (which rounds boxes to pixels first).
  """
  boxes = {'count': sums['count'], 'iou': sums['iou']}
  clips = {
    'count': sums['videos'],
    **{name: sums[name] for name in ('video_iou', 'track_iou')},
  }
  return means(boxes) | means(clips)


def iou(a: Float[Array, '*n 4'], b: Float[Array, '*n 4']) -> Float[Array, '*n']:
  """Intersection over union of (ymin, xmin, ymax, xmax); 0 of empty boxes.

  A box whose end is before its beginning is empty.
  """
  inside, union = _areas(a, b)
  return inside / jnp.where(union > 0, union, 1)


def giou(
  a: Float[Array, '*n 4'], b: Float[Array, '*n 4']
) -> Float[Array, '*n']:
  """Generalised IoU, in [-1, 1] (arXiv 1902.09630): IoU less the share of the
  common hull that neither box covers; so boxes apart have a gradient.
  """
  inside, union = _areas(a, b)
  hull = _area(
    jnp.minimum(a[..., :2], b[..., :2]), jnp.maximum(a[..., 2:], b[..., 2:])
  )
  share = (hull - union) / jnp.where(hull > 0, hull, 1)
  return inside / jnp.where(union > 0, union, 1) - share


def _areas(a, b):
  """Of the intersection and of the union."""
  inside = _area(
    jnp.maximum(a[..., :2], b[..., :2]), jnp.minimum(a[..., 2:], b[..., 2:])
  )
  both = _area(a[..., :2], a[..., 2:]) + _area(b[..., :2], b[..., 2:])
  return inside, both - inside


def _area(low, high):
  # Each side is clamped: two negative ones would make a positive area.
  return jnp.prod(jnp.maximum(high - low, 0), axis=-1)
