"""Names, shapes and hosts of slices, beside the table of Google's xpk."""

import importlib.util

import pytest

from launch import machines
from launch.plan import topology
from train import chips


@pytest.mark.parametrize(
  ('name', 'slice_', 'chips_', 'type_', 'vms', 'pods'),
  [
    ('v5p-256', 'v5p:4x4x8', 128, 'v5p-256', 32, 32),
    ('v5p:4x4x8', 'v5p:4x4x8', 128, 'v5p-256', 32, 32),
    ('v5p:8x8x8', 'v5p:8x8x8', 512, 'v5p-1024', 128, 128),
    ('v5p-12288', 'v5p:16x16x24', 6144, 'v5p-12288', 1536, 1536),
    ('v5p-8', 'v5p:2x2x1', 4, 'v5p-8', 1, 1),
    ('v4-1024', 'v4:8x8x8', 512, 'v4-1024', 128, 128),
    ('v5litepod-8', 'v5e:2x4', 8, 'v5litepod-8', 1, 2),
    ('v6e-8', 'v6e:2x4', 8, 'v6e-8', 1, 2),
    ('v5e:1x1', 'v5e:1x1', 1, 'v5litepod-1', 1, 1),
    ('v5e-64', 'v5e:8x8', 64, 'v5litepod-64', 16, 16),
    ('v6e:16x16', 'v6e:16x16', 256, 'v6e-256', 64, 64),
    ('tpu7x-128', 'tpu7x:4x4x4', 64, 'tpu7x-128', 16, 16),
    ('tpu7x-2', 'tpu7x:1x1x1', 1, 'tpu7x-2', 1, 1),
  ],
)
def test_a_slice(name, slice_, chips_, type_, vms, pods):
  found = machines.parse(name)
  assert (found.name, found.chips) == (slice_, chips_)
  assert found.accelerator_type == type_
  assert found.is_named
  assert (found.hosts('tpu_vm'), found.hosts('gke')) == (vms, pods)
  for platform in machines.PLATFORMS:
    assert found.hosts(platform) * found.chips_per_host(platform) == chips_


def test_what_google_calls_its_machines():
  found = machines.parse('v5litepod-16')
  assert found.runtime_version == 'v2-alpha-tpuv5-lite'
  assert found.gke_accelerator == 'tpu-v5-lite-podslice'
  assert found.machine_type == 'ct5lp-hightpu-4t'
  assert machines.parse('v6e-1').machine_type == 'ct6e-standard-1t'
  # The TPU API does not have the newest generation.
  assert not machines.parse('tpu7x-128').runtime_version


def test_a_shape_that_its_name_does_not_tell():
  found = machines.parse('v5p:4x4x32')
  assert (found.accelerator_type, found.is_named) == ('v5p-1024', False)
  assert machines.parse('v5p-1024').topology == '8x8x8'


@pytest.mark.parametrize(
  ('name', 'message'),
  [
    (
      'v5-256',
      'no generation of TPUs .v5., expected one of v4, v5e, v5p, v6e, tpu7x',
    ),
    ('H100-8', 'no generation'),
    ('v5p-250', 'no slice of v5p has 250 cores, 2 a chip; .*v5p-128, v5p-256'),
    ('v5p-255', 'has 255 cores'),
    ('v5litepod-12', 'has 12 chips; near it: v5litepod-8, v5litepod-16'),
    ('v5p:4x8x4', 'cannot be rented in that shape; near it: v5p:4x4x8'),
    ('v5p:4x4', 'cannot be rented'),
    ('v5p-99999', 'near it: v5p-12288$'),
    ('v5p', 'expected a name or a shape, as v5p-8 or v5p:2x2x1'),
    ('v5p:4x4x', 'expected a name or a shape'),
    ('v5p-0', 'expected a name or a shape'),
    # Of many chips v4's names do not tell.
    ('v4-768', 'one of 2 shapes: give the shape, as v4:4x8x12, v4:4x4x24'),
  ],
)
def test_what_is_no_slice_is_refused_with_the_near_ones(name, message):
  with pytest.raises(ValueError, match=f'--type={name}.*{message}'):
    machines.parse(name)


@pytest.mark.parametrize('generation', ['v4', 'v5e', 'v5p', 'v6e'])
def test_plan_has_the_same_slices(generation):
  for shape in chips.rentable(generation):
    name = f'{generation}:{"x".join(map(str, shape))}'
    found, planned = machines.parse(name), topology.parse(name)
    assert found.name == planned.name
    assert found.chips == planned.chips
    assert found.hosts('gke') == planned.hosts


def test_every_tpu_has_names():
  tpus = {name for name, chip in chips.CHIPS.items() if chip.torus_axes}
  assert {machines.parse(f'{name}-8').generation for name in tpus} == tpus


def test_names_are_those_of_xpk():
  if importlib.util.find_spec('xpk') is None:
    pytest.skip('xpk is not installed: pip install --no-deps --group oracle')
  from xpk.core import system_characteristics

  table = system_characteristics.UserFacingNameToSystemCharacteristics
  same, refused = 0, {}
  for name, theirs in table.items():
    try:
      found = machines.parse(name)
    except ValueError as error:
      refused[name] = str(error)
      continue
    shape = [*map(int, theirs.topology.split('x'))]
    assert [*map(int, found.topology.split('x'))] == shape, name
    if found.is_named:
      assert found.accelerator_type == theirs.device_type, name
    assert found.hosts('gke') == theirs.vms_per_slice, name
    assert found.chips_per_host('gke') == theirs.chips_per_vm, name
    assert found.gke_accelerator == theirs.gke_accelerator, name
    assert found.machine_type == theirs.gce_machine_type, name
    same += 1
  # What xpk has besides: GPUs and CPUs, a TPU that nobody can rent, shapes that
  # are larger or otherwise turned than Google lists, and numbers that stand
  # for the first of several shapes.
  tpus = [name for name in refused if name.startswith(('v4-', 'v5p-', 'tpu7x'))]
  assert same + len(refused) == len(table) == 2057
  for name in tpus:
    shape = [*map(int, table[name].topology.split('x'))]
    larger = shape[0] * shape[1] * shape[2] > machines._NAMED
    turned = sorted(shape) != shape
    several = 'x' not in name.partition('-')[2] and 'shapes' in refused[name]
    assert larger or turned or several, refused[name]
  others = {name.split('-')[0] for name in refused if name not in tpus}
  gpus = {'l4', 'a100', 'h100', 'h200', 'b200', 'gb200'}
  assert others == {*gpus, 'n2', 'm1', 'tpu7'}
