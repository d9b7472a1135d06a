"""A step that does not fit is refused with what would help."""

import dataclasses

import jax
import pytest

from configs import mae
from launch import recipe
from launch.plan import compiler, does_not_fit, estimate, memory, topology
from train import mesh as mesh_lib


def test_what_cannot_fit_is_refused_with_three_changes(config_of):
  with pytest.raises(does_not_fit.DoesNotFitError) as caught:
    estimate.plan(
      config_of(**{'mesh.replica': 64}),
      topology.parse('v4:4x8x8'),
      shapes_only=True,
    )
  line, details = str(caught.value), caught.value.details
  assert 'of a chip of v4:4x8x8, which has 30.75 GiB' in line
  changes = details.partition('fit, predicted by formula:')[2].split('\n')[1:]
  assert len(changes) == 3
  for change in changes:
    assert change.strip().startswith('--')
    assert float(change.split()[-2]) <= 30.75


def test_what_the_compiler_refuses_is_told_with_its_buffers(monkeypatch):
  message = (
    'RESOURCE_EXHAUSTED: Used 20.50G of 15.75G hbm.\n'
    '  1. Size: 1.50G\n     Shape: f32[4096,98304]{1,0:T(8,128)}\n'
  )

  def refuse(*_):
    raise compiler.OutOfMemoryError(message)

  monkeypatch.setattr(compiler, 'is_installed', lambda: True)
  monkeypatch.setattr(compiler, 'compile_step', refuse)
  monkeypatch.setattr(compiler, 'devices', lambda _: jax.devices())
  config = mae.get_config('size=B,batch_size=512').to_dict()
  with pytest.raises(does_not_fit.DoesNotFitError) as caught:
    estimate.plan(config, topology.parse('v5e:2x4'))
  line, told = str(caught.value), caught.value.details
  assert 'needs 20.50 GiB of a chip of v5e:2x4, which has 15.75 GiB' in line
  assert 'says the compiler' in line
  assert '1.50G f32[4096,98304]' in told
  # What the formula misses is counted in its predictions.
  changes = told.partition('fit, predicted by formula:')[2].split('\n')[1:]
  assert len(changes) == 3
  assert changes[0].strip().startswith('--config.step.accumulate=2: ')
  predicted = float(changes[0].split()[-2])
  assert 20.5 / 2 < predicted < 15.75


def test_changes_that_would_fit(tiny_config):
  config = tiny_config(**{'model.remat': 'named', 'data.batch_size': 4096})
  config['mesh'] = {'replica': 4, 'fsdp': 1, 'tensor': 1}
  slice_ = topology.parse('v5e:2x2')
  mesh = mesh_lib.make_abstract(4, **config['mesh'])
  held = memory.of_program(recipe.program(config, mesh), config)
  small = dataclasses.replace(
    slice_.chip, hbm_gib=0.7 * held.total / memory.GIB
  )

  class Slice(topology.Topology):
    chip = small

  found = does_not_fit.remedies(config, Slice('v5e', (2, 2)))
  assert len(found) == 3
  assert len({change.what for change in found}) == 3
  for change in found:
    assert change.held.total <= 0.7 * held.total
  assert found[0].what == '--config.step.accumulate=2'
  expected = held.activations / 2
  assert found[0].held.activations == pytest.approx(expected)


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
    for change, _, _ in does_not_fit._candidates(config, slice_)
    if 'topology' in change
  ]
  assert found == larger
