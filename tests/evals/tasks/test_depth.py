"""The depth task: head of the clip's shape, losses, valid range, pictures."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from evals import task as task_lib
from evals.tasks import depth


def _batch(b=2, t=4, h=16, w=24):
  rng = np.random.default_rng(0)
  return {
    'video': jnp.asarray(rng.integers(0, 256, (b, t, h, w, 3)), jnp.uint8),
    'depth': jnp.asarray(rng.uniform(1, 9, (b, t, h, w, 1)), jnp.float32),
  }


def test_head_of_the_published_clip():
  head = depth.make().head((16, 224, 224))
  assert (head.queries, head.outputs) == (6272, 128)


def test_each_query_predicts_its_own_patch():
  batch = _batch()
  task = depth.make()
  head = task.head(batch['video'].shape[1:4])
  outputs = jnp.zeros((2, head.queries, head.outputs))
  # The grid of queries is 2 x 2 x 3; number 5 is (0, 1, 2). Its output 9 is
  # frame 0, row 1, column 1 of the patch.
  outputs = outputs.at[1, 5, 9].set(7.0)
  predicted = task.predict(outputs, batch)
  assert predicted.shape == batch['depth'].shape
  np.testing.assert_array_equal(
    np.argwhere(np.asarray(predicted)), [[1, 0, 9, 17, 0]]
  )


@pytest.mark.parametrize(
  ('name', 'want'), [('l2', 2.25), ('huber', 1.0), ('relative', 0.5)]
)
def test_losses(name, want):
  batch = _batch(b=1)
  batch['depth'] = jnp.full_like(batch['depth'], 3.0)
  predicted = jnp.full_like(batch['depth'], 4.5)
  (loss,) = depth.make(loss=name).loss(predicted, batch)
  assert loss == pytest.approx(want)


def test_only_the_valid_range_counts_and_its_gradient_is_finite():
  batch = _batch()
  for value, x in ((0.0, 0), (1e-3, 1), (10.01, 2), (np.nan, 3)):
    batch['depth'] = batch['depth'].at[0, :, :, x].set(value)
  batch['depth'] = batch['depth'].at[0, :, :, 4].set(10.0)
  batch['depth'] = batch['depth'].at[1].set(0.0)
  predicted = jnp.full_like(batch['depth'], 2.0)
  for name in depth.LOSSES:
    task = depth.make(loss=name)
    sums = task.sums(predicted, batch)
    np.testing.assert_array_equal(sums['count'], [4 * 16 * 20, 0])
    loss = task.loss(predicted, batch)
    assert np.isfinite(loss[0])
    assert loss[1] == 0
    gradient = jax.grad(lambda x, task=task: task.loss(x, batch).sum())(
      predicted
    )
    assert np.isfinite(gradient).all()
    assert not np.asarray(gradient[0, :, :, :4]).any()


def test_pictures_show_video_answer_and_truth_on_one_scale():
  batch = {name: np.array(x) for name, x in _batch().items()}
  batch['depth'][1] = 0.0
  ((name, clips),) = depth.make().pictures(batch['depth'], batch).items()
  video, predicted, true = np.split(clips, 3, axis=2)
  assert name == 'depth'
  np.testing.assert_array_equal(video, batch['video'])
  np.testing.assert_array_equal(predicted[0], true[0])
  assert np.ptp(true[0]) > 100
  assert not true[1].any()


def test_the_trivial_answer_is_the_mean_over_valid_training_pixels():
  batch = _batch()
  batch['depth'] = batch['depth'].at[0].set(0.0).at[1].set(3.0)
  batch['depth'] = batch['depth'].at[1, 0].set(5.0)
  task = depth.make()
  facts = jax.tree.map(lambda x: x.sum(0), task.facts(batch))
  answer = task.trivial(facts, batch)
  assert answer.shape == batch['depth'].shape
  np.testing.assert_allclose(answer, 3.5, rtol=1e-6)


def test_clear_errors():
  with pytest.raises(ValueError, match=r"'depht' .* did you mean 'depth'"):
    task_lib.make('depht')
  with pytest.raises(ValueError, match='expected one of l2, huber, relative'):
    task_lib.make('depth', loss='l3')
  with pytest.raises(ValueError, match='0 < low < high'):
    depth.make(valid_range=(5.0, 1.0))
  with pytest.raises(
    ValueError, match=r'must divide the clip .*\(16, 20, 24\)'
  ):
    depth.make().head((16, 20, 24))
