import jax
import numpy as np
import pytest

from launch import recipe
from train import mesh as mesh_lib


def start(config):
  """Parameters before the first update, of a recipe."""
  program = recipe.program(config, mesh_lib.make(**config['mesh']))
  return jax.jit(program.init)(jax.random.key(0))


def test_a_wide_model_starts_as_mup_has_it(tiny_config):
  plain = start(tiny_config())
  mup = start(
    tiny_config(**{'optim.parametrisation': 'mup', 'optim.base_width': 4})
  )
  np.testing.assert_allclose(
    mup['head'].pop('kernel'), plain['head'].pop('kernel') / 2, rtol=1e-6
  )
  jax.tree.map(np.testing.assert_array_equal, mup, plain)


def test_mup_of_an_objective_without_it_is_refused_before_the_first_step(
  tiny_config,
):
  from configs import moog

  config = moog.get_config('data=world').to_dict()
  config['optim'] |= {'parametrisation': 'mup', 'base_width': 64}
  config['mesh'] = tiny_config()['mesh']
  with pytest.raises(ValueError, match='is not known for'):
    start(config)
