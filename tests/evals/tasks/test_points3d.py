"""Points in metres: layout, metres by the lens, hidden points, mean depth."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from evals import metrics
from evals.tasks import points, points3d
from tests.evals import recipes

LENS = np.array([0.9, 1.3, 0.5, 0.4])


def _batch(b=2, q=5, t=6, h=16, w=24):
  rng = np.random.default_rng(0)
  visible = rng.random((b, q, t)) < 0.7
  visible[:, :, 0] = True
  visible[:, -1] = False  # padding
  place = rng.uniform(-0.4, 0.4, (b, q, t, 3)) + np.array([0, 0, 3.0])
  place[:, -1] = 0
  depth = np.where(place[..., 2:] > 0, place[..., 2:], 1)
  flat = place[..., :2] / depth * LENS[:2] + LENS[2:]
  return {
    'video': jnp.asarray(rng.integers(0, 256, (b, t, h, w, 3)), jnp.uint8),
    'tracks': jnp.asarray(flat, jnp.float32),
    'tracks_3d': jnp.asarray(place, jnp.float32),
    'tracks_visible': jnp.asarray(visible),
    'lens': jnp.asarray(np.tile(LENS, (b, 1)), jnp.float32),
  }


def _truth(batch):
  sure = jnp.where(batch['tracks_visible'], 10.0, -10.0)
  flat = points.Tracks(batch['tracks'], sure, sure)
  return points3d.Answer(flat, batch['tracks_3d'][..., 2])


def _scores(task, predicted, batch):
  return task.scores(metrics.total(jax.device_get(task.sums(predicted, batch))))


def test_place_and_depth_make_metres_by_the_lens():
  batch, task = _batch(), recipes.task('points3d')
  assert task.keys == ('tracks', 'tracks_visible', 'tracks_3d', 'lens')
  scores = _scores(task, _truth(batch), batch)
  assert {scores[name] for name in task.headline} == {1}
  wrong = batch | {'lens': batch['lens'] * jnp.asarray([1, 1.3, 1, 1])}
  assert _scores(task, _truth(batch), wrong)['position_1'] < 1
  # In other units it is as good, if not all that is asked for is metres.
  flat, depth = _truth(batch)
  doubled = points3d.Answer(flat, 2 * depth)
  assert _scores(task, doubled, batch)['average_jaccard'] == 1
  metres = recipes.task('points3d', scaling='none')
  assert _scores(metres, doubled, batch)['average_jaccard'] < 0.2
  assert metres.convention.startswith('scaling=none, focal=kauldron')


def test_the_last_output_of_a_frame_is_its_depth():
  batch, task = _batch(), recipes.task('points3d', start=3.0)
  assert task.head((6, 16, 24)).outputs == 2 * 5
  # Point 1, copy 2: frames 4 and 5; of the second, x and depth.
  outputs = jnp.zeros((2, 5 * 3, 10)).at[0, 1 * 3 + 2, 5].set(2.0)
  outputs = outputs.at[0, 1 * 3 + 2, 9].set(-0.5)
  answer = task.predict(outputs, batch)
  assert answer.depth.shape == (2, 5, 6)
  assert np.argwhere(answer.depth != 3).tolist() == [[0, 1, 5]]
  assert answer.depth[0, 1, 5] == 2.5
  moved = np.argwhere(np.abs(answer.tracks.place - 0.5) > 1e-6)
  assert moved.tolist() == [[0, 1, 5, 0]]


def test_hidden_and_padded_points_teach_nothing():
  batch, task = _batch(), recipes.task('points3d', residual=True, start=3.0)
  hidden = ~batch['tracks_visible'][..., None]
  for key in ('tracks', 'tracks_3d'):
    batch[key] = jnp.where(hidden, jnp.nan, batch[key])

  def loss(outputs):
    return task.loss(task.predict(outputs, batch), batch)

  outputs = jnp.zeros((2, 5 * 3, 10))
  assert np.isfinite(loss(outputs)).all()
  slope = np.asarray(jax.grad(lambda x: loss(x).sum())(outputs))
  assert np.isfinite(slope).all()
  depths = slope[..., [4, 9]].reshape(2, 5, 3, 2).reshape(2, 5, 6)
  np.testing.assert_array_equal(depths != 0, batch['tracks_visible'])
  assert np.isfinite(_scores(task, _truth(batch), batch)['average_jaccard'])


def test_loss_has_the_relative_error_of_depth_beside_that_of_points():
  batch, task = _batch(b=1), recipes.task('points3d')
  flat, depth = _truth(batch)
  seen = np.asarray(batch['tracks_visible'][0])
  off = depth + jnp.where(batch['tracks_visible'], 0.3, 9.0)
  more = task.loss(points3d.Answer(flat, off), batch) - task.loss(
    points3d.Answer(flat, depth), batch
  )
  want = (0.3 / np.asarray(depth[0])[seen]).mean()
  assert float(more[0]) == pytest.approx(want, rel=1e-4)


def test_the_trivial_answer_is_the_mean_depth_on_the_ray():
  batch, task = _batch(), recipes.task('points3d')
  facts = jax.tree.map(lambda x: x.sum(0), task.facts(batch))
  answer = task.trivial(facts, batch)
  seen = np.asarray(batch['tracks_visible'])
  mean = np.asarray(batch['tracks_3d'])[..., 2][seen].mean()
  np.testing.assert_allclose(answer.depth, mean, rtol=1e-5)
  np.testing.assert_array_equal(
    answer.tracks.place[:, :4, 5], batch['tracks'][:, :4, 0]
  )
