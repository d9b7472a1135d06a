"""The depth task: head of the clip's shape, losses, valid range, pictures."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from evals import task as task_lib
from evals.tasks import depth
from tests.evals import recipes

HEAD = {'width': 16, 'heads': 2, 'query_std': 0.02}


def _batch(b=2, t=4, h=16, w=24):
  rng = np.random.default_rng(0)
  return {
    'video': jnp.asarray(rng.integers(0, 256, (b, t, h, w, 3)), jnp.uint8),
    'depth': jnp.asarray(rng.uniform(1, 9, (b, t, h, w, 1)), jnp.float32),
  }


def test_head_of_the_published_clip():
  head = recipes.task('depth', **HEAD).head((16, 224, 224))
  assert (head.queries, head.outputs) == (6272, 128)


def test_each_query_predicts_its_own_patch():
  batch = _batch()
  task = recipes.task('depth', **HEAD)
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
  (loss,) = recipes.task('depth', loss=name).loss(predicted, batch)
  assert loss == pytest.approx(want)


def test_only_the_valid_range_counts_and_its_gradient_is_finite():
  batch = _batch()
  for value, x in ((0.0, 0), (1e-3, 1), (10.01, 2), (np.nan, 3)):
    batch['depth'] = batch['depth'].at[0, :, :, x].set(value)
  batch['depth'] = batch['depth'].at[0, :, :, 4].set(10.0)
  batch['depth'] = batch['depth'].at[1].set(0.0)
  predicted = jnp.full_like(batch['depth'], 2.0)
  for name in depth.LOSSES:
    task = recipes.task('depth', loss=name)
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
  ((name, clips),) = (
    recipes.task('depth').pictures(batch['depth'], batch).items()
  )
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
  task = recipes.task('depth')
  facts = jax.tree.map(lambda x: x.sum(0), task.facts(batch))
  answer = task.trivial(facts, batch)
  assert answer.shape == batch['depth'].shape
  np.testing.assert_allclose(answer, 3.5, rtol=1e-6)


def test_clear_errors():
  with pytest.raises(ValueError, match=r"'depht': .* did you mean 'depth'"):
    task_lib.make('depht')
  with pytest.raises(ValueError, match='expected one of l2, huber, relative'):
    recipes.task('depth', loss='l3')
  with pytest.raises(ValueError, match='0 < low < high'):
    recipes.task('depth', valid_range=(5.0, 1.0))
  with pytest.raises(
    ValueError, match=r'must divide the clip .*\(16, 20, 24\)'
  ):
    recipes.task('depth').head((16, 20, 24))


DENSE = {
  **{'readout': 'dense', 'layers': 1, 'heads': 2, 'head_dim': 4, 'mlp': 8},
  **{'subsample': 1, 'eval_subsample': 1},
}


def _dense(**options):
  """(task, loss of (params, batch, key), params, a batch with few valid)."""
  task = recipes.task('depth', **DENSE | options)
  batch = {**_batch(), 'row': jnp.arange(2, dtype=jnp.uint32)}
  batch['depth'] = batch['depth'].at[:, :, :, ::3].set(0.0)
  head = task.head((4, 16, 24))
  tokens = jax.random.normal(jax.random.key(1), (2, 4, 5, 6))
  params = jax.jit(head.init)(jax.random.key(0), tokens, None)
  # Heads that have not learned answer all pixels alike.
  params = jax.tree.map(lambda x: 2 * x + 0.1, params)

  def answer(params, batch):
    outputs = head.apply(params, tokens, task.queries(batch))
    return task.predict(outputs, batch)

  return task, jax.jit(answer), params, batch


def test_the_loss_is_of_the_pixels_drawn_and_their_valid_depths():
  task, answer, params, batch = _dense(subsample=4, eval_subsample=8)
  every = np.asarray(answer(params, batch))
  assert every.shape == (2, 4, 16, 24, 1)
  drawn = task.drawn(batch, jax.random.key(3), train=True)
  some = answer(params, drawn)
  assert some.shape == drawn['depth'].shape == (2, 4, 4, 6, 1)
  rows, columns = (np.asarray(x) for x in drawn['depth_pixels'])
  assert len(np.unique(rows[..., 0])) > 1
  picked = np.zeros((2, 4, 16, 24, 1), bool)
  for b in range(2):
    for t in range(4):
      cross = np.ix_(rows[b, t], columns[b, t])
      picked[b, t][cross] = True
      np.testing.assert_allclose(some[b, t], every[b, t][cross], atol=1e-5)
      true = np.asarray(batch['depth'])[b, t][cross]
      np.testing.assert_array_equal(drawn['depth'][b, t], true)
  only = {**batch, 'depth': jnp.where(picked, batch['depth'], 0)}
  valid = np.asarray(task.valid(only))
  assert 0 < valid.sum() < picked.sum()

  def few(params):
    return jnp.sum(task.loss(answer(params, drawn), drawn))

  def masked(params):
    return jnp.sum(task.loss(answer(params, only), only))

  got, want = (jax.jit(jax.value_and_grad(f))(params) for f in (few, masked))
  np.testing.assert_allclose(got[0], want[0], rtol=1e-4)
  jax.tree.map(
    lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-3, atol=1e-3),
    *(got[1], want[1]),
  )
  # Another step draws others; in evaluation they are always the same.
  for train in (True, False):
    again, other = (
      task.drawn(batch, jax.random.key(key), train)['depth_pixels'][0]
      for key in (3, 4)
    )
    assert (np.asarray(again) != np.asarray(other)).any() == train
  # A row's pixels are its own, whatever the micro-batch.
  second = {key: value[1:] for key, value in batch.items()}
  alone = task.drawn(second, jax.random.key(3), train=True)
  np.testing.assert_array_equal(alone['depth_pixels'][0], rows[1:])


def test_every_pixel_counts_with_a_factor_of_one():
  task, answer, params, batch = _dense()
  drawn = task.drawn(batch, jax.random.key(3), train=True)
  np.testing.assert_array_equal(
    task.loss(answer(params, drawn), drawn),
    task.loss(answer(params, batch), batch),
  )


def test_pixels_that_cannot_be_drawn():
  with pytest.raises(ValueError, match='unless that is dense'):
    recipes.task('depth', subsample=2)
  with pytest.raises(ValueError, match='must be 1 or more'):
    recipes.task('depth', **DENSE | {'eval_subsample': 0})
  with pytest.raises(ValueError, match=r'must divide height .*\(16, 24\)'):
    recipes.task('depth', **DENSE | {'subsample': 5}).head((4, 16, 24))
