"""Bytes of a chip by formula, beside the formula written out."""

import dataclasses

import jax

from launch import recipe
from launch.plan import memory
from train import mesh as mesh_lib


def planned(config, chips=8):
  mesh = mesh_lib.make_abstract(chips, **config['mesh'])
  return recipe.program(config, mesh)


def test_the_state_as_it_is_sharded(tiny_config):
  config = tiny_config()
  config['mesh'] = {'replica': 2, 'fsdp': 4, 'tensor': 1}
  program = planned(config)
  found = memory.of_program(program, config)
  split = whole = 0
  for leaf in jax.tree.leaves(program.state.params):
    if 'fsdp' in leaf.sharding.spec:
      split += leaf.size
    else:
      whole += leaf.size
  assert split > whole > 0
  assert found.parameters == 4 * (split / 4 + whole)
  assert found.gradients == found.parameters
  # Two moments, and the count of updates of Adam.
  assert found.optimizer == 2 * found.parameters + 4
  assert found.average == 0
  assert found.batch == 4 * 16 * 24 * 3  # one clip of eight
  assert found.total == sum(dataclasses.asdict(found).values())


def test_what_is_frozen_has_no_gradients_and_no_moments(tiny_config):
  config = tiny_config(**{'step.freeze': ('encoder/.*', 'processor/.*')})
  config['mesh'] = {'replica': 1, 'fsdp': 1, 'tensor': 1}
  config['step']['accumulate'] = 2
  program = planned(config, chips=1)
  found = memory.of_program(program, config, saved=0.0)
  params = program.state.params
  trained = memory.size({'latents': params['latents'], 'head': params['head']})
  assert found.parameters == memory.size(params) > trained
  # Of a micro-batch, and their sum.
  assert found.gradients == 2 * trained
  assert found.optimizer == 2 * trained + 4


def test_a_first_moment_in_bfloat16_takes_half(tiny_config):
  config = tiny_config()
  config['mesh'] = {'replica': 2, 'fsdp': 4, 'tensor': 1}
  config['optim']['moment_dtype'] = 'bfloat16'
  found = memory.of_program(planned(config), config)
  assert found.optimizer == 1.5 * found.parameters + 4


def saved(tiny_config, remat, *where, **changes):
  changes |= {'model.remat': remat, 'model.dtype': 'bfloat16'}
  changes |= {'model.scan': True, 'model.decoder_blocks': 1}
  config = tiny_config(**changes)
  return memory.saved_per_clip(planned(config), *where)


def test_what_remat_keeps(tiny_config):
  # 2 blocks on 12 visible tokens, 1 on them and 6 latents; width 16, MLP 32.
  tokens = 2 * 12 + 1 * (12 + 6)
  difference = saved(tiny_config, 'named') - saved(tiny_config, 'full')
  # Query, key, value, what was attended to, its projection, the hidden layer;
  # bfloat16.
  assert difference == 2 * tokens * (5 * 16 + 32)
  # Or they are in the host's memory.
  assert saved(tiny_config, 'offload') == saved(tiny_config, 'full')
  host = jax.memory.Space.Host
  assert saved(tiny_config, 'offload', host) == difference
  assert saved(tiny_config, 'named', host) == 0
  assert saved(tiny_config, 'none') > saved(tiny_config, 'named')


def test_micro_batches_and_tensor_shards_keep_less(tiny_config):
  config = tiny_config()
  config['mesh'] = {'replica': 1, 'fsdp': 2, 'tensor': 1}
  whole = memory.of_program(planned(config, 2), config)
  config['step']['accumulate'] = 4
  cut = memory.of_program(planned(config, 2), config)
  assert cut.activations == whole.activations / 4
  assert cut.gradients == 2 * whole.gradients
  config['mesh'] = {'replica': 1, 'fsdp': 1, 'tensor': 2}
  split = memory.of_program(planned(config, 2), config)
  assert split.activations == cut.activations
