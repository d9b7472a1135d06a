"""Box metrics: overlaps, empty boxes, the query frame, two kinds of mean."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from evals import metrics
from evals.metrics import boxes


def _box(*corners):
  return jnp.asarray(corners, jnp.float32)


@pytest.mark.parametrize(
  ('a', 'b', 'iou', 'giou'),
  [
    ((0, 0, 2, 3), (0, 0, 2, 3), 1, 1),
    ((0, 0, 2, 4), (1, 2, 3, 6), 1 / 7, 1 / 7 - 4 / 18),
    ((0, 0, 1, 1), (0, 3, 1, 4), 0, -1 / 2),
    ((2, 2, 1, 1), (0, 0, 2, 2), 0, 0),  # ends before it begins
    ((1, 1, 1, 1), (1, 1, 1, 1), 0, 0),
  ],
)
def test_overlaps(a, b, iou, giou):
  assert boxes.iou(_box(*a), _box(*b)) == pytest.approx(iou)
  assert boxes.giou(_box(*a), _box(*b)) == pytest.approx(giou, abs=1e-6)
  slope = jax.grad(lambda x: boxes.giou(x, _box(*b)))(_box(*a))
  assert np.isfinite(slope).all()


def test_giou_pulls_boxes_that_are_apart():
  slope = jax.grad(lambda x: boxes.giou(x, _box(0, 3, 1, 4)))(_box(0, 0, 1, 1))
  # Its right side (xmax) should go right.
  assert slope[3] > 0


def test_the_mean_is_of_valid_boxes_without_the_query_frame():
  o, t = 2, 4
  true = jnp.tile(_box(0, 0, 1, 1), (3, o, t, 1))
  # IoU 1/2 in the first clip, 1/4 in the others; nonsense where it is not
  # judged.
  share = jnp.asarray([0.5, 0.25, 0.25])[:, None, None]
  predicted = true.at[..., 2].set(share).at[:, :, 0].set(9.0)
  valid = np.ones((3, o, t), bool)
  valid[0, 1], valid[1, :, 2], valid[2] = False, False, False
  true = jnp.where(valid[..., None], true, jnp.nan)
  sums = metrics.box_sums(predicted, true, jnp.asarray(valid))
  np.testing.assert_array_equal(sums['count'], [3, 4, 0])
  scores = metrics.box_scores(
    metrics.total({k: np.asarray(v) for k, v in sums.items()})
  )
  assert scores['iou'] == pytest.approx((3 / 2 + 4 / 4) / 7)
  assert scores['video_iou'] == pytest.approx((1 / 2 + 1 / 4) / 2)


def test_objects_of_a_clip_and_clips_weigh_the_same():
  """The official mean of Perception Test, worked out by its definition."""
  rng = np.random.default_rng(0)
  true = np.sort(rng.uniform(0, 1, (3, 4, 6, 2, 2)), axis=-2)
  predicted = np.sort(true + rng.normal(0, 0.2, true.shape), axis=-2)
  true, predicted = (
    x.reshape(3, 4, 6, 4).astype(np.float32) for x in (true, predicted)
  )
  valid = rng.random((3, 4, 6)) < 0.5
  valid[0, 1] = np.arange(6) == 0  # an object of the query frame alone
  valid[2] = False  # a clip without any
  overlap = np.asarray(boxes.iou(jnp.asarray(predicted), jnp.asarray(true)))
  clips = []
  for clip in range(3):
    objects = [
      overlap[clip, o, 1:][valid[clip, o, 1:]].mean()
      for o in range(4)
      if valid[clip, o, 1:].any()
    ]
    clips += [np.mean(objects)] if objects else []
  assert len(clips) == 2
  sums = metrics.box_sums(*map(jnp.asarray, (predicted, true, valid)))
  scores = metrics.box_scores(metrics.total(jax.device_get(sums)))
  assert scores['track_iou'] == pytest.approx(np.mean(clips), rel=1e-5)
  assert scores['track_iou'] != pytest.approx(scores['video_iou'], rel=1e-3)
