"""The box task: layout, losses, padding, still boxes, pictures."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from evals import metrics
from tests.evals import recipes


def _batch(b=2, o=3, t=5, h=16, w=24):
  rng = np.random.default_rng(0)
  corners = np.sort(rng.uniform(0, 1, (b, o, t, 2, 2)), axis=-2)
  visible = rng.random((b, o, t)) < 0.7
  visible[:, :, :2] = True
  visible[:, -1] = False  # padding
  found = corners.reshape(b, o, t, 4) * visible[..., None]
  return {
    'video': jnp.asarray(rng.integers(0, 256, (b, t, h, w, 3)), jnp.uint8),
    'boxes': jnp.asarray(found, jnp.float32),
    'boxes_visible': jnp.asarray(visible),
  }


def _scores(task, predicted, batch):
  sums = jax.device_get(task.sums(predicted, batch))
  return task.scores(metrics.total(sums))


def test_head_of_the_published_clip():
  head = recipes.task('boxes').head((16, 224, 224))
  assert (head.width, head.heads, head.outputs) == (1024, 4, 64)
  tokens, asked = jnp.zeros((1, 16, 9, 512)), jnp.zeros((1, 3, 4))
  shapes = jax.eval_shape(head.init, jax.random.key(0), tokens, asked)
  count = sum(x.size for x in jax.tree.leaves(shapes))
  assert count == 11_424_832  # the published MooG head
  with pytest.raises(ValueError, match='two frames or more'):
    recipes.task('boxes').head((1, 224, 224))


@pytest.mark.parametrize('residual', [False, True])
def test_outputs_are_frames_by_coordinates(residual):
  batch, task = _batch(), recipes.task('boxes', residual=residual)
  outputs = jnp.zeros((2, 3, 20)).at[1, 0, 2 * 4 + 3].set(2.0)
  predicted = task.predict(outputs, batch)
  start = task.queries(batch)[:, :, None] if residual else 0
  moved = np.asarray(predicted - start)
  np.testing.assert_array_equal(
    np.argwhere(np.abs(moved) > 1e-6), [[1, 0, 2, 3]]
  )
  assert moved.sum() == pytest.approx(0.2 if residual else 2, rel=1e-5)


@pytest.mark.parametrize(
  ('name', 'want'), [('smooth_l1', 1 / 32), ('l1', 0.125), ('l2', 1 / 16)]
)
def test_loss(name, want):
  batch = _batch(b=1)
  batch['boxes'] = jnp.broadcast_to(
    jnp.asarray([0.0, 0, 1, 1]), batch['boxes'].shape
  )
  # Half of the box: one coordinate of four is 0.5 off; IoU and GIoU are 0.5.
  predicted = batch['boxes'].at[..., 3].set(0.5)
  (loss,) = recipes.task('boxes', loss=name, giou_weight=0.0).loss(
    predicted, batch
  )
  assert loss == pytest.approx(want)
  (loss,) = recipes.task('boxes', loss=name).loss(predicted, batch)
  assert loss == pytest.approx(want + 0.5 * 0.5)


def test_only_visible_boxes_of_asked_objects_after_frame_0_count():
  batch, task = _batch(b=3), recipes.task('boxes', residual=True)
  visible = batch['boxes_visible'].at[1, 1, 0].set(False)
  visible = visible.at[2, :, 1:].set(False)
  batch['boxes_visible'] = visible
  batch['boxes'] = jnp.where(visible[..., None], batch['boxes'], jnp.nan)
  assert np.isfinite(task.queries(batch)).all()

  def loss(outputs):
    return task.loss(task.predict(outputs, batch), batch)

  outputs = jnp.zeros((3, 3, 20))
  assert loss(outputs)[2] == 0
  slope = np.asarray(jax.grad(lambda x: loss(x).sum())(outputs))
  assert np.isfinite(slope).all()
  taught = slope.reshape(3, 3, 5, 4).any(-1)
  want = np.array(visible & visible[:, :, :1])
  want[:, :, 0] = False
  np.testing.assert_array_equal(taught, want)
  sums = task.sums(task.predict(outputs, batch), batch)
  np.testing.assert_array_equal(sums['count'], want.sum((1, 2)))


def test_the_truth_is_perfect_and_still_boxes_are_the_trivial_answer():
  batch, task = _batch(), recipes.task('boxes')
  assert set(_scores(task, batch['boxes'], batch).values()) == {1}
  still = task.trivial(task.facts(batch), batch)
  np.testing.assert_array_equal(still[:, :, 3], batch['boxes'][:, :, 0])
  assert 0 < _scores(task, still, batch)['iou'] < 0.9


def test_pictures_show_answer_over_truth():
  batch, task = jax.device_get(_batch()), recipes.task('boxes')
  ((name, clips),) = task.pictures(batch['boxes'], batch).items()
  assert name == 'boxes'
  assert clips.dtype == np.uint8
  assert clips.shape == (2, 5, 2 * 8 * 16, 8 * 24, 3)
  answer, truth = np.split(clips, 2, axis=2)
  np.testing.assert_array_equal(answer, truth)
  assert (truth != batch['video'].repeat(8, 2).repeat(8, 3)).any()


def test_clear_errors():
  with pytest.raises(ValueError, match='expected one of smooth_l1, l1, l2'):
    recipes.task('boxes', loss='giou')
