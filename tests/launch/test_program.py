"""The program that is planned is the one that is trained."""

import jax
import numpy as np
import pytest

from launch import program as program_lib
from train import mesh as mesh_lib


def test_shapes_are_those_of_a_real_state(tiny_config):
  config = tiny_config()
  mesh = mesh_lib.make(**config['mesh'])
  program = program_lib.make(config, mesh)
  with mesh_lib.use(mesh):
    state = program.new_state(jax.random.key(0))
    video = np.zeros(program.batch['video'].shape, np.uint8)
    batch = {'video': jax.device_put(video, program.batch['video'].sharding)}

    def alike(leaf, shape):
      assert (leaf.shape, leaf.dtype) == (shape.shape, shape.dtype)
      assert leaf.sharding.is_equivalent_to(shape.sharding, leaf.ndim)

    jax.tree.map(alike, state, program.state)
    state, logged = program.step(state, batch)
  assert int(state.step) == 1
  assert np.isfinite(logged['train/loss'])
  compiled = program.lower().compile()
  assert compiled.memory_analysis().alias_size_in_bytes > 0


def test_devices_need_not_be_there(tiny_config):
  config = tiny_config()
  real = program_lib.make(config, mesh_lib.make(**config['mesh']))
  abstract = mesh_lib.make_abstract(8, **config['mesh'])
  planned = program_lib.make(config, abstract)
  assert planned.flops() == real.flops()
  shards = [
    jax.tree.map(lambda leaf: leaf.sharding.shard_shape(leaf.shape), made.state)
    for made in (planned, real)
  ]
  assert shards[0] == shards[1]


def test_a_batch_that_cannot_be_shared_out_is_refused(tiny_config):
  config = tiny_config(**{'data.batch_size': 6})
  mesh = mesh_lib.make_abstract(8, **config['mesh'])
  with pytest.raises(ValueError, match='batch_size=6 must be divisible by'):
    program_lib.make(config, mesh)
