"""The readout objective: what it trains, what it reports, what it costs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from models import objective as objective_lib
from tests.evals import recipes


@pytest.fixture(scope='module')
def case(pretraining):
  """(objective, parameters, batch)."""
  objective = recipes.readout_of(
    objective_lib.make(**pretraining['model']),
    {'depth': {'start': 3.0, 'width': 8, 'heads': 2}},
  )
  rng = np.random.default_rng(0)
  batch = {
    'video': jnp.asarray(rng.integers(0, 256, (4, 4, 16, 24, 3)), jnp.uint8),
    'depth': jnp.asarray(rng.uniform(1, 9, (4, 4, 16, 24, 1)), jnp.float32),
    'row': jnp.arange(4, dtype=jnp.uint32),
  }
  return objective, jax.jit(objective.init)(jax.random.key(0), batch), batch


def _loss(objective):
  return jax.jit(
    jax.value_and_grad(
      lambda *args: objective.loss(*args, jax.random.key(1)), has_aux=True
    )
  )


def test_only_the_head_gets_gradients(case):
  objective, params, batch = case
  (loss, metrics), grads = _loss(objective)(params, batch)
  assert set(objective.scores(metrics)) == {
    f'depth/{name}'
    for name in (
      *('loss', 'abs_rel', 'rmse', 'log_rmse', 'delta1', 'delta2', 'delta3'),
    )
  }
  assert np.isfinite(loss)
  for grad in jax.tree.leaves(grads['backbone']):
    assert not np.asarray(grad).any()
  for path, grad in jax.tree_util.tree_leaves_with_path(grads['heads']):
    # A softmax does not see what all its logits share.
    if 'key' in str(path) and 'bias' in str(path):
      continue
    assert np.asarray(grad).any(), path


def test_loss_of_a_batch_is_the_mean_over_its_halves(case):
  objective, params, batch = case
  batch = {**batch, 'depth': batch['depth'].at[0, 1:].set(0.0)}
  step = _loss(objective)
  (whole, _), _ = step(params, batch)
  halves = [
    step(params, {key: value[rows] for key, value in batch.items()})[0][0]
    for rows in (slice(0, 2), slice(2, 4))
  ]
  assert whole == pytest.approx(np.mean(halves), rel=1e-5)


def test_starts_at_the_given_depth(case):
  objective, params, batch = case
  predicted = jax.jit(objective.predict)(params, batch)['depth']
  assert predicted.shape == (1, 4, 4, 16, 24, 1)
  assert float(predicted.mean()) == pytest.approx(3.0, abs=0.7)


def test_features_are_the_backbones(case):
  objective, params, batch = case
  ours = jax.jit(objective.features)(params, batch['video']).tokens
  features = jax.jit(objective.backbone.features)
  backbone = features(params['backbone'], batch['video'])
  np.testing.assert_array_equal(ours, backbone.tokens)
  assert ours.shape == (4, 2, 6, 16)


def test_flops_by_part(case):
  objective, _, batch = case
  flops = objective.flops(batch)
  # Entry int(4 * 0.95) - 1 = 2 of [tokens, input of block 0, of 1, of 2] is
  # read: one of the three blocks runs.
  clips, tokens, width, mlp = 4, 2 * 2 * 3, 16, 32
  block = 2 * tokens * (4 * width**2 + 2 * width * mlp + 2 * tokens * width)
  embedding = 2 * tokens * (2 * 8 * 8 * 3) * width
  assert flops['backbone'] == clips * (block + embedding)
  # Resized to four steps: twice the tokens.
  tokens, queries, d = 2 * tokens, 2 * 2 * 3, 8
  resize = 2 * 4 * 2 * (2 * 3) * width
  head = 2 * tokens * 2 * width * d + 2 * queries * (
    2 * tokens * d + d**2 + 8 * d**2 + d * 128
  )
  assert flops['depth'] == pytest.approx(3 * clips * (head + resize))
