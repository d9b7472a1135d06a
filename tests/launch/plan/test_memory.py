"""Bytes of a chip by formula, beside the formula written out."""

import dataclasses

import jax
import pytest

from launch import recipe
from launch.plan import memory, topology
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
  # Two moments, and the count of updates of Adam and of the schedule.
  assert found.optimizer == 2 * found.parameters + 2 * 4
  assert found.average == 0
  assert found.batch == 4 * 16 * 24 * 3  # one clip of eight
  assert found.total == sum(dataclasses.asdict(found).values())


def test_a_first_moment_in_bfloat16_takes_half(tiny_config):
  config = tiny_config()
  config['mesh'] = {'replica': 2, 'fsdp': 4, 'tensor': 1}
  config['optim']['moment_dtype'] = 'bfloat16'
  found = memory.of_program(planned(config), config)
  assert found.optimizer == 1.5 * found.parameters + 2 * 4


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


def test_changes_that_would_fit(tiny_config):
  config = tiny_config(**{'model.remat': 'named', 'data.batch_size': 4096})
  config['mesh'] = {'replica': 4, 'fsdp': 1, 'tensor': 1}
  slice_ = topology.parse('v5e:2x2')
  held = memory.of_program(planned(config, 4), config)
  small = dataclasses.replace(
    slice_.chip, hbm_gib=0.7 * held.total / memory.GIB
  )

  class Slice(topology.Topology):
    chip = small

  found = memory.remedies(config, Slice('v5e', (2, 2)))
  assert len(found) == 3
  assert len({change.what for change in found}) == 3
  for change in found:
    assert change.memory.total <= 0.7 * held.total
  assert found[0].what == '--config.step.accumulate=2'
  expected = held.activations / 2
  assert found[0].memory.activations == pytest.approx(expected)


@pytest.mark.parametrize(
  ('shape', 'larger'),
  [
    ((1, 1), ['2x2', '2x4', '4x4', '4x8', '8x8', '8x16', '16x16']),
    ((8, 16), ['16x16']),
    ((16, 16), []),
    ((4, 4, 4), ['4x4x8', '4x8x8', '8x8x8', '8x8x16', '8x16x16', '16x16x16']),
    ((16, 16, 20), []),
  ],
)
def test_larger_slices_that_are_proposed_can_be_rented(
  shape, larger, tiny_config
):
  slice_ = topology.Topology('v5e' if len(shape) == 2 else 'v5p', shape)
  config = tiny_config()
  config['mesh'] = {'replica': 1, 'fsdp': -1, 'tensor': 1}
  found = [
    change['topology'].split(':')[1]
    for change, _, _ in memory._candidates(config, slice_)
    if 'topology' in change
  ]
  assert found == larger


def test_changes_of_readouts_name_the_flag_of_their_backbone():
  change = {'model.remat': 'full', 'mesh.fsdp': 4}
  text = '--backbone.model.remat=full --config.mesh.fsdp=4'
  assert memory.as_flags(change, {'tasks': {}}) == text
  assert memory.as_flags(change, {}) == text.replace('backbone', 'config')
