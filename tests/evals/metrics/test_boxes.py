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
