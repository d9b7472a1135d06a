"""The program that is planned is the one that is trained."""

import jax
import numpy as np
import pytest

from configs import readout as readouts
from launch import recipe
from launch.plan import estimate, memory, topology
from train import mesh as mesh_lib


def test_shapes_are_those_of_a_real_state(tiny_config):
  config = tiny_config()
  mesh = mesh_lib.make(**config['mesh'])
  program = recipe.program(config, mesh)
  with mesh_lib.use(mesh):
    state = program.fresh(jax.random.key(0))
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
  real = recipe.program(config, mesh_lib.make(**config['mesh']))
  abstract = mesh_lib.make_abstract(8, **config['mesh'])
  planned = recipe.program(config, abstract)
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
    recipe.program(config, mesh)


def test_a_recipe_of_readouts_is_none_of_pretraining():
  recipe_of = readouts.get_config('task=depth,data=world')
  with pytest.raises(ValueError, match='recipe of readouts, expected one of'):
    recipe.pretraining(recipe_of)


def readout_of(tiny_config, remat='none', **mesh):
  """The config of a fine-tuning, on clips of eight frames."""
  config = readouts.get_config('task=depth,data=world,finetune=0.1')
  config.mesh.update(mesh)
  config.data.batch_size = 4
  changes = {'model.frames': 8, 'model.scan': True, 'model.remat': remat}
  backbone = tiny_config(**changes)
  return recipe.of_readouts(config.to_dict(), backbone)


def test_readouts_of_a_recipe_that_nobody_trained(tiny_config):
  config = readout_of(tiny_config, fsdp=2, sequence=4)
  mesh = mesh_lib.make_abstract(8, **config['mesh'])
  program = recipe.program(config, mesh)
  shapes = {key: (x.shape, x.dtype) for key, x in program.batch.items()}
  assert shapes == {
    'video': ((4, 8, 16, 24, 3), np.uint8),
    'depth': ((4, 8, 16, 24, 1), np.float32),
  }
  assert set(program.state.params) == {'backbone', 'heads'}
  held = memory.of_program(program, config)
  whole = mesh_lib.make_abstract(2, fsdp=2)
  other = memory.of_program(recipe.program(config, whole), config)
  assert held.activations == other.activations / 4
  assert held.batch == other.batch  # every part has the whole clip


def test_a_host_holds_the_activations_of_its_part_of_clips(tiny_config):
  config = readout_of(tiny_config, remat='offload', fsdp=2, sequence=4)
  split, whole = (
    memory.offloaded(recipe.program(config, mesh), config)
    for mesh in (
      mesh_lib.make_abstract(8, **config['mesh']),
      mesh_lib.make_abstract(2, fsdp=2),
    )
  )
  assert split == whole / 4 > 0


def test_changes_of_readouts_name_the_flag_of_their_backbone():
  change = {'model.remat': 'full', 'mesh.fsdp': 4}
  text = '--backbone.model.remat=full --config.mesh.fsdp=4'
  assert recipe.as_flags(change, {'tasks': {}}) == text
  assert recipe.as_flags(change, {}) == text.replace('backbone', 'config')


@pytest.mark.slow
def test_pods_pass_keys_round_and_collect_no_clip(tiny_config, tpu_compiler):
  config = readout_of(tiny_config, fsdp=2, sequence=4)
  plan = estimate.plan(config, topology.parse('v5e:2x4'))
  assert not [line for line in plan['warnings'] if 'rematerialization' in line]
  sent = [each for each in plan['collectives'] if each['axes'] == 'sequence']
  assert 'collective-permute' in {each['kind'] for each in sent}
