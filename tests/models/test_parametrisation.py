"""The rules of muP, on the parameters of the objective that has them."""

import jax
import jax.numpy as jnp
import pytest

from models import objective, parametrisation


@pytest.fixture
def shapes(tiny_config):
  """Parameters of a tiny MAE, 32 wide."""
  model = tiny_config(**{'model.dim': 32, 'model.mlp': 64})['model']
  made = objective.make(**model)
  batch = {'video': jax.ShapeDtypeStruct((2, 4, 16, 24, 3), jnp.uint8)}
  return jax.eval_shape(lambda: made.init(jax.random.key(0), batch))


def test_at_the_base_width_nothing_changes(shapes):
  for factors in (parametrisation.rates, parametrisation.starts):
    assert set(jax.tree.leaves(factors(shapes, 32))) == {1.0}


def test_what_reads_a_width_learns_by_its_inverse(shapes):
  found = parametrisation.rates(shapes, 8)
  layers = found['processor']['layers']
  attention, mlp = layers['attention'], layers['mlp']
  kernels = [attention[key] for key in ('query', 'key', 'value', 'out')]
  kernels += [mlp[key] for key in ('dense_in', 'dense_out')] + [found['head']]
  assert {each['kernel'] for each in kernels} == {0.25}
  # Biases, norms, embeddings, and what reads patches: as fast at any width.
  assert {each['bias'] for each in kernels} == {1.0}
  encoder = found['encoder']
  rest = [encoder, layers['attention_norm'], layers['mlp_norm']]
  assert set(jax.tree.leaves([*rest, found['latents']])) == {1.0}


def test_only_the_last_matrix_starts_smaller(shapes):
  found = parametrisation.starts(shapes, 8)
  assert found['head'].pop('kernel') == 0.5  # the root of a quarter
  assert set(jax.tree.leaves(found)) == {1.0}


def test_other_objectives_are_refused():
  params = {'decoder': {'output': {'kernel': jnp.ones((4, 2))}}}
  with pytest.raises(ValueError, match='not known for decoder/output'):
    parametrisation.rates(params, 2)
