"""Slices of pods are read by name."""

import dataclasses

import jax
import pytest

from launch.plan import topology
from train import chips


def test_a_slice():
  found = topology.parse('v5p:8x8x16')
  assert (found.name, found.chips, found.hosts) == ('v5p:8x8x16', 1024, 256)
  assert found.chip is chips.CHIPS['v5p']
  assert topology.parse('v5e:1x1').hosts == 1


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
  ],
)
def test_what_is_no_slice_is_refused(name, message):
  with pytest.raises(ValueError, match=message):
    topology.parse(name)


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


def test_a_tpus_row_is_complete():
  for name, chip in chips.CHIPS.items():
    numbers = [
      *(chip.hbm_gib, chip.hbm_gb_per_s, chip.ici_gb_per_s, chip.ghz),
      chip.pcie_gb_per_s,
      *(chip.torus_axes, chip.wraps_at, chip.chips_per_host),
    ]
    assert all(numbers) == name.startswith('v'), name
