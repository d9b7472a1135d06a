"""The pose task: conventions, start, loss, broken poses, pictures."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from evals import metrics
from evals.tasks import pose
from tests.evals import recipes


def _batch(b=2, t=5, h=16, w=24):
  rng = np.random.default_rng(0)
  poses = np.tile(np.eye(4), (b, t, 1, 1))
  poses[..., :3, :3] = np.linalg.qr(rng.normal(size=(b, t, 3, 3)))[0]
  poses[..., :3, :3] *= np.linalg.det(poses[..., :3, :3])[..., None, None]
  poses[..., :3, 3] = rng.normal(size=(b, t, 3))
  return {
    'video': jnp.asarray(rng.integers(0, 256, (b, t, h, w, 3)), jnp.uint8),
    'pose': jnp.asarray(poses, jnp.float32),
  }


def _scores(task, predicted, batch):
  sums = jax.device_get(task.sums(predicted, batch))
  return task.scores(metrics.total(sums))


def test_head():
  head = recipes.task('pose', width=64, heads=4).head((16, 224, 224))
  assert (head.queries, head.outputs, head.width) == (1, 12, 64)
  with pytest.raises(ValueError, match='two frames or more'):
    recipes.task('pose').head((1, 224, 224))


def test_the_truth_takes_points_of_the_last_camera_to_the_first():
  batch = _batch()
  first, last = np.asarray(batch['pose'], float)[:, [0, -1]].swapaxes(0, 1)
  want = np.linalg.inv(first) @ last
  true = recipes.task('pose').true(batch)
  np.testing.assert_allclose(true, want[:, :3], atol=1e-5)
  # A camera that looks along z and goes one metre ahead and one to the right.
  still = jnp.eye(4)
  went = still.at[:3, 3].set(jnp.asarray([1.0, 0, 1.0]))
  np.testing.assert_allclose(
    pose.relative(still, went)[:, 3], [1, 0, 1], atol=1e-6
  )


def test_twelve_numbers_are_a_matrix_by_rows_and_a_translation():
  batch = _batch(b=1)
  outputs = jnp.arange(12.0)[None, None]
  predicted = recipes.task('pose').predict(outputs, batch)
  np.testing.assert_array_equal(
    predicted[0], [[0, 1, 2, 9], [3, 4, 5, 10], [6, 7, 8, 11]]
  )
  near = recipes.task('pose', start='identity', scale=0.1).predict(
    outputs, batch
  )
  np.testing.assert_allclose(
    near[0], np.eye(3, 4) + 0.1 * predicted[0], rtol=1e-6
  )


def test_loss_is_of_the_numbers_and_scores_are_of_the_rotation():
  batch, task = _batch(), recipes.task('pose')
  true = task.true(batch)
  assert not task.loss(true, batch).any()
  loss = task.loss(true.at[0, 1, 2].add(0.6), batch)
  np.testing.assert_allclose(loss, [0.36 / 12, 0], atol=1e-6)
  scores = _scores(task, true.at[..., :3].multiply(2.0), batch)
  assert scores['end_point_error'] == pytest.approx(0, abs=1e-4)
  assert scores['auc_30'] == 1


def test_options_of_the_score_reach_it():
  """An opposite direction: 180 degrees, or none. Ten degrees: 20 of 30 bins."""
  batch = _batch(b=1)
  true = recipes.task('pose').true(batch)
  back = true.at[..., 3].multiply(-1)
  for fold, angle in ((False, 180), (True, 0)):
    scores = _scores(recipes.task('pose', fold=fold), back, batch)
    assert scores['translation_angle'] == pytest.approx(angle, abs=0.1)
  angle = np.radians(10)
  turn = jnp.asarray(
    [
      [np.cos(angle), -np.sin(angle), 0],
      [np.sin(angle), np.cos(angle), 0],
      [0, 0, 1],
    ]
  )
  turned = true.at[..., :3].set(true[..., :3] @ turn)
  for bins, area in ((31, 21 / 31), (30, 20 / 30)):
    scores = _scores(recipes.task('pose', bins=bins), turned, batch)
    assert scores['auc_30'] == pytest.approx(area, abs=1e-3)


def test_a_broken_pose_is_counted_and_teaches_nothing():
  batch, task = _batch(), recipes.task('pose')
  batch['pose'] = batch['pose'].at[1, -1].set(-jnp.inf)
  outputs = jnp.ones((2, 1, 12))

  def loss(outputs):
    return task.loss(task.predict(outputs, batch), batch)

  assert loss(outputs)[1] == 0
  slope = np.asarray(jax.grad(lambda x: loss(x).sum())(outputs))
  assert np.isfinite(slope).all()
  assert slope[0].any()
  assert not slope[1].any()
  sums = task.sums(task.predict(outputs, batch), batch)
  np.testing.assert_array_equal(sums['count'], [1, 0])
  assert all(np.isfinite(values).all() for values in sums.values())
  predicted, clips = jax.device_get((task.predict(outputs, batch), batch))
  task.pictures(predicted, clips)


def test_the_trivial_answer_is_a_camera_at_rest():
  batch, task = _batch(), recipes.task('pose')
  still = task.trivial(task.facts(batch), batch)
  batch['pose'] = jnp.tile(batch['pose'][:, :1], (1, 5, 1, 1))
  scores = _scores(task, still, batch)
  assert scores['end_point_error'] == pytest.approx(0, abs=1e-5)


def test_pictures_plan_both_ways():
  batch, task = _batch(), recipes.task('pose')
  moved = np.eye(4, dtype=np.float32)
  moved[:3, 3] = 1, 0, 1
  batch['pose'] = batch['pose'].at[:, 0].set(jnp.eye(4))
  batch['pose'] = batch['pose'].at[:, -1].set(moved)
  still = jax.device_get(task.trivial({}, batch))
  batch = jax.device_get(batch)
  clips = task.pictures(still, batch)['pose']
  assert clips.dtype == np.uint8
  assert clips.shape == (2, 5, 2 * 8 * 16, 8 * 24, 3)
  plan = clips[0, 0, 8 * 16 :].astype(int)
  # Green goes to the upper right of the middle, the start.
  rows, columns = np.nonzero(plan[..., 1] - plan[..., 0] > 100)
  assert rows.mean() < 8 * 16 / 2
  assert columns.mean() > 8 * 24 / 2
  assert (plan[..., 0] > 200).any()


def test_clear_errors():
  with pytest.raises(ValueError, match='expected one of zero, identity'):
    recipes.task('pose', start='rest')
  with pytest.raises(ValueError, match=r'scale=0.0 must be above 0'):
    recipes.task('pose', scale=0.0)
  with pytest.raises(ValueError, match='bins=0 must be at least 1'):
    recipes.task('pose', bins=0)
