"""Slices of pods are read by name."""

import dataclasses
import json
import math

import jax
import pytest

from configs import common
from launch.plan import topology
from train import chips


def test_a_slice():
  found = topology.parse('v5p:8x8x16')
  assert (found.name, found.chips, found.hosts) == ('v5p:8x8x16', 1024, 256)
  assert found.chip is chips.CHIPS['v5p']
  assert topology.parse('v5e:1x1').hosts == 1


def test_a_chip_of_two_devices_is_in_a_mesh_twice():
  found = topology.parse('2xtpu7x:4x4x4')
  assert (found.chips, found.devices, found.hosts) == (128, 256, 32)
  assert found.abstract_mesh(replica=2).shape['fsdp'] == 128
  assert found.chip.tflops == 2 * found.device.tflops == 2307
  assert found.device.hbm_gib == 94.74
  v5p = topology.parse('v5p:4x4x4')
  assert v5p.devices == v5p.chips
  assert v5p.device == v5p.chip


def test_several_slices():
  found = topology.parse('3xv5e:8x8')
  assert (found.name, found.slices, found.shape) == ('3xv5e:8x8', 3, (8, 8))
  assert (found.chips, found.hosts) == (192, 48)
  assert topology.parse('1xv5e:8x8') == topology.parse('v5e:8x8')
  assert topology.parse('3xv5e:1x1').hosts == 3
  mesh = found.abstract_mesh(replica=6)
  assert (mesh.shape['replica'], mesh.shape['fsdp']) == (6, 32)
  with pytest.raises(ValueError, match='replica=4 must be a multiple of the 3'):
    found.abstract_mesh(replica=4)


@pytest.mark.parametrize(
  ('name', 'message'),
  [
    ('v9:4x4', "no chip 'v9'; expected one of v4, v5e, v5p, v6e"),
    ('H100:2x2', 'no chip'),
    ('v5p:4x4', 'expected v5p:4x4x4'),
    ('v5e:4x', 'expected v5e:4x4'),
    ('v5e:0x4', 'expected v5e:4x4'),
    ('v5e', 'expected v5e:4x4'),
    ('2xv4:4x4x4', 'bandwidth between slices of v4 is not known'),
    ('0xv5e:4x4', "no chip '0xv5e'"),
    ('2xv5e', 'expected v5e:4x4'),
    ('v5e:8x2', r'1x1, 2x2, 2x4, .*, 8x16, 16x16; take v5e:4x4, the nearest'),
    ('v5e:1x4', 'v5e cannot be rented in that shape, .* take v5e:2x2'),
    ('v5e:32x32', 'take v5e:16x16'),
    ('2xv6e:32x32', 'take 2xv6e:16x16'),
    ('v5p:2x2x3', '2x4x4, or AxBxC .*multiples of 4.* 6144 .*take v5p:2x2x4'),
    ('v5p:8x8x4', 'A <= B <= C, .*take v5p:4x8x8'),
    ('v5p:2x2x8', 'take v5p:2x4x4'),
    ('v4:4x4x6', 'take v4:4x4x8'),
    ('v5p:16x16x28', 'at most 6144 chips; take v5p:16x16x24'),
    ('v4:16x16x24', 'at most 4096 chips; take v4:16x16x16'),
  ],
)
def test_what_is_no_slice_is_refused(name, message):
  with pytest.raises(ValueError, match=message):
    topology.parse(name)


@pytest.mark.parametrize('shape', ['2x2x1', '2x2x2', '2x4x4', '4x12x20'])
def test_sizes_of_three_axes(shape):
  for generation in ('v4', 'v5p'):
    name = f'{generation}:{shape}'
    assert topology.parse(name).name == name


def test_the_largest_slices():
  largest = {'v4': '16x16x16', 'v5e': '16x16', 'v5p': '16x16x24'}
  for generation, shape in largest.items():
    chips_of = topology.parse(f'{generation}:{shape}').chips
    every = chips.rentable(generation)
    assert chips_of == max(math.prod(each) for each in every)


def test_layouts_are_of_slices_that_can_be_rented():
  for layouts in json.loads(common.LAYOUTS.read_text()).values():
    for name in layouts:
      assert topology.parse(name).name == name


@pytest.mark.parametrize(
  ('name', 'places', 'expected'),
  [
    ('v5p:4x4x4', [(0, 0, i) for i in range(4)], 2),
    ('v5p:4x4x4', [(0, 0, i) for i in range(2)], 1),
    ('v5p:4x4x8', [(0, 0, i) for i in range(8)], 2),
    # Half of a ring, every second chip of one, and two that are far apart.
    ('v5p:4x4x8', [(0, 0, i) for i in range(4)], 1),
    ('v5p:4x4x8', [(0, 0, i) for i in range(4, 8)], 1),
    ('v5p:4x4x8', [(0, 0, i) for i in range(0, 8, 2)], 1),
    ('v5p:4x4x8', [(0, 0, 0), (0, 0, 4)], 1),
    ('v5p:4x4x8', [(0, i, j) for i in range(4) for j in range(8)], 4),
    ('v5p:8x8x8', [(0, i, j) for i in range(4) for j in range(8)], 3),
    # Less than a cube has no rings.
    ('v5p:2x2x4', [(0, 0, i) for i in range(4)], 1),
    ('v4:2x4x4', [(0, i, j) for i in range(4) for j in range(4)], 2),
    # Devices of two axes have three coordinates.
    ('v5e:4x4', [(i, j, 0) for i in range(4) for j in range(4)], 2),
    ('v5e:16x16', [(i, 0, 0) for i in range(16)], 2),
    ('v5e:16x16', [(i, 0, 0) for i in range(8)], 1),
    ('v6e:8x16', [(i, j, 0) for i in range(8) for j in range(16)], 3),
    ('v5e:1x1', [(0, 0, 0)], 1),
    # One place in each of two slices, and half of a ring in each.
    ('2xv5p:4x4x4', [(0, 0, 0), (0, 0, 0)], 1),
    ('2xv5p:4x4x8', [(0, 0, i % 4) for i in range(8)], 1),
    # Both devices of a chip, and of four: twelve shares of a link lie between.
    ('tpu7x:4x4x4', [(0, 0, 0), (0, 0, 0)], 12),
    ('tpu7x:4x4x4', [(0, 0, i // 2) for i in range(8)], 2),
  ],
)
def test_ways_into_a_chip(name, places, expected):
  assert topology.parse(name).directions(places) == expected


def test_ways_along_the_axes_of_a_mesh(torus):
  # Tensor shards are half of the last axis, FSDP the rest of it and another.
  mesh = torus((4, 8, 4, 1), (4, 4, 8))
  assert topology.parse('v5p:4x4x8').links(mesh) == {
    'replica': 2,
    'fsdp': 3,
    'tensor': 1,
    'sequence': 1,
  }


def test_every_kind_of_device_is_of_one_generation():
  kinds = [kind for chip in chips.CHIPS.values() for kind in chip.kinds]
  assert len(kinds) == len(set(kinds))


def test_options_of_the_step_are_those_of_the_device(monkeypatch):
  here = jax.devices()[0]
  assert chips.compiler_options(chips.of_device(here)) == {}
  assert chips.peak_flops(here) is None
  row = dataclasses.replace(chips.CHIPS['v5p'], kinds=(here.device_kind,))
  monkeypatch.setitem(chips.CHIPS, 'this', row)
  options = chips.compiler_options(chips.of_device(here))
  assert options == row.compiler_options != {}
  assert chips.peak_flops(here) == 459e12
  # A chip of two devices: each has half of its peak.
  row = dataclasses.replace(chips.CHIPS['tpu7x'], kinds=(here.device_kind,))
  monkeypatch.setitem(chips.CHIPS, 'this', row)
  assert chips.peak_flops(here) == 2307e12 / 2


def test_a_tpus_row_is_complete():
  for name, chip in chips.CHIPS.items():
    numbers = [
      *(chip.hbm_gib, chip.hbm_gb_per_s, chip.ici_gb_per_s, chip.ghz),
      chip.pcie_gb_per_s,
      *(chip.torus_axes, chip.wraps_at, chip.chips_per_host),
      len(chip.shapes),
    ]
    assert all(numbers) == (chip.torus_axes > 0), name
    assert any(numbers) == all(numbers), name
