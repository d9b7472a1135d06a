"""Readouts of clips whose tokens are split over a mesh's axis `sequence`."""

import functools

import jax
import numpy as np
import pytest
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from models import objective as objective_lib
from tests.evals import recipes
from tests.models import recipes as backbones
from train import mesh as mesh_lib

MODEL = {
  **backbones.MAE,
  **{'name': 'mae', 'dim': 16, 'depth': 3, 'mlp': 32, 'heads': 2},
  **{'frames': 8, 'height': 16, 'width': 24, 'patch': (2, 8, 8)},
  **{'output_patch': (4, 8, 8), 'mask_ratio': 0.5},
}
# Of 48 queries for depth each mesh takes its share; that of the class is one.
TASKS = {
  'depth': {'width': 16, 'heads': 2, 'patch': (2, 8, 4), 'start': 3.0},
  'classify': {'width': 16, 'heads': 2, 'classes': 5},
}
MESHES = (
  {'fsdp': 2, 'sequence': 4},
  {'fsdp': 2, 'tensor': 2, 'sequence': 2},
)


def batch_of(clips=4):
  rng = np.random.default_rng(0)
  frames = (clips, 8, 16, 24)
  return {
    'video': rng.integers(0, 256, (*frames, 3), dtype=np.uint8),
    'depth': rng.uniform(1, 5, (*frames, 1)).astype(np.float32),
    'label': rng.integers(0, 5, clips, dtype=np.int32),
  }


def made(**changes):
  backbone = objective_lib.make(**MODEL | changes)
  return recipes.readout_of(backbone, TASKS, finetune=True)


def tuned(objective, params, batch):
  """Features, loss and gradients."""
  tokens = objective.features(params, batch['video']).tokens
  loss = functools.partial(objective.loss, batch=batch, rng=jax.random.key(0))
  (value, _), gradients = jax.value_and_grad(loss, has_aux=True)(params)
  return tokens, value, gradients


@pytest.fixture(scope='module')
def expected():
  """Parameters, and what one device makes of them."""
  objective, batch = made(), batch_of()
  shapes = jax.eval_shape(objective.init, jax.random.key(0), batch)
  rng = np.random.default_rng(1)
  params = jax.tree.map(
    lambda leaf: rng.normal(0, 0.3, leaf.shape).astype(np.float32), shapes
  )
  run = jax.jit(functools.partial(tuned, objective))
  return params, jax.device_get(run(params, batch))


@pytest.mark.parametrize('axes', MESHES, ids=str)
def test_features_loss_and_gradients_are_those_of_one_device(expected, axes):
  params, want = expected
  mesh, batch = mesh_lib.make(**axes), batch_of()
  with mesh_lib.use(mesh):
    places = mesh_lib.params_shardings(mesh, params)
    placed = jax.device_put(params, places)
    batch = jax.device_put(batch, mesh_lib.batch_sharding(mesh))
    by_time = NamedSharding(mesh, P(mesh_lib.BATCH_AXES, 'sequence'))
    run = jax.jit(
      functools.partial(tuned, made()), out_shardings=(by_time, None, places)
    )
    got = run(placed, batch)
  jax.tree.map(
    functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=2e-5),
    jax.device_get(got),
    want,
  )
