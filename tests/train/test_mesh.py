"""Meshes lie on the networks that there are."""

from unittest import mock

import jax
import numpy as np
import pytest

from train import mesh as mesh_lib


def test_what_is_left_is_filled_in():
  assert dict(mesh_lib.make(fsdp=-1, tensor=2).shape) == {
    **{'replica': 1, 'fsdp': 4, 'tensor': 2, 'sequence': 1}
  }
  assert mesh_lib.make(fsdp=-1, sequence=4).shape['fsdp'] == 2
  abstract = mesh_lib.make_abstract(512, replica=-1, fsdp=64)
  assert dict(abstract.shape) == {
    **{'replica': 8, 'fsdp': 64, 'tensor': 1, 'sequence': 1}
  }


def test_a_mesh_of_another_number_of_devices_is_refused():
  with pytest.raises(ValueError, match='needs a multiple of 3 devices, got 8'):
    mesh_lib.make(replica=3, fsdp=-1)
  with pytest.raises(ValueError, match='at most one is -1'):
    mesh_lib.make(replica=-1, fsdp=-1)


def test_parts_of_a_clip_are_no_data_shards():
  mesh = mesh_lib.make_abstract(16, fsdp=2, sequence=8)
  mesh_lib.check_batch(mesh, batch_size=2, accumulate=1)
  with pytest.raises(ValueError, match='the 2 data shards'):
    mesh_lib.check_batch(mesh, batch_size=3, accumulate=1)


def test_each_data_shard_cuts_its_own_rows_into_micro_batches():
  mesh = mesh_lib.make_abstract(16, replica=2, fsdp=2, tensor=4)
  mesh_lib.check_batch(mesh, batch_size=16, accumulate=4)
  with pytest.raises(ValueError, match=r'4 data shards x step.accumulate=4'):
    mesh_lib.check_batch(mesh, batch_size=8, accumulate=4)


@pytest.fixture
def devices(tpu_compiler, monkeypatch):
  """A function: devices of a slice that is not here."""
  from jax.experimental import topologies

  monkeypatch.setenv('TPU_SKIP_MDS_QUERY', '1')
  monkeypatch.setenv('TPU_WORKER_HOSTNAMES', 'localhost')
  monkeypatch.setenv('ALLOW_MULTIPLE_LIBTPU_LOAD', '1')
  return lambda name, **options: (
    topologies.get_topology_desc(name, 'tpu', **options).devices
  )


@pytest.mark.slow
def test_tensor_shards_are_neighbours_within_an_axis_of_the_network(devices):
  mesh = mesh_lib.make(tensor=4, devices=devices('v5p:4x4x8'))
  mesh = mesh_lib.make(fsdp=64, tensor=4, devices=devices('v5p:8x8x4'))
  for group in mesh.devices.reshape(-1, 4):
    places = np.array([device.coords for device in group])
    assert (np.ptp(places, axis=0) > 0).sum() == 1


@pytest.mark.slow
def test_replicas_lie_across_slices(devices):
  slices = devices('v5p:2x2x2', num_slices=2)
  mesh = mesh_lib.make(replica=2, fsdp=-1, devices=slices)
  for number, replica in enumerate(mesh.devices):
    assert {device.slice_index for device in replica.flat} == {number}
  with pytest.raises(ValueError, match='multiple of the 2 slices'):
    mesh_lib.make(replica=1, fsdp=-1, devices=slices)


def chip(number, coords, slice_index=0):
  """A TPU that is not here."""
  return mock.NonCallableMock(
    spec=jax.Device,
    **{'id': number, 'platform': 'tpu', 'device_kind': 'TPU v5'},
    **{'process_index': 0, 'core_on_chip': 0},
    **{'coords': coords, 'slice_index': slice_index},
  )


@pytest.mark.parametrize('slices', [1, 2])
def test_an_axis_of_the_network_may_be_shared_by_two_of_the_mesh(slices):
  """Of a cube of 4 x 4 x 4 pairs are half of an axis."""
  cube = list(np.ndindex(4, 4, 4))
  chips = [
    chip(number * len(cube) + place, coords, number)
    for number in range(slices)
    for place, coords in enumerate(cube)
  ]
  made = mesh_lib._arranged((slices, 32, 2, 1), chips)
  assert {each.id for each in made.flat} == set(range(64 * slices))
  for one, other in made.reshape(-1, 2):
    assert one.slice_index == other.slice_index
    apart = np.abs(np.subtract(one.coords, other.coords))
    assert sorted(apart) == [0, 0, 1]


@pytest.mark.parametrize('replica', [2, 4])
def test_replicas_are_whole_slices_or_lie_within_one(replica):
  """So that between slices, where the network is slow, only gradients go."""
  slices = [
    mock.NonCallableMock(
      spec=jax.Device,
      **{'id': i, 'platform': 'cpu', 'device_kind': 'cpu', 'process_index': 0},
      # Not in the order in which the run lists them.
      slice_index=i % 2,
    )
    for i in range(8)
  ]
  made = mesh_lib._arranged((replica, 4 // replica, 1, 2), slices)
  assert made.shape == (replica, 4 // replica, 1, 2)
  assert {device.id for device in made.flat} == set(range(8))
  for number, part in enumerate(made):
    where = {device.slice_index for device in part.flat}
    assert where == {number * 2 // replica}
  with pytest.raises(ValueError, match='multiple of the 2 slices'):
    mesh_lib._arranged((1, 8, 1, 1), slices)


def test_devices_of_this_machine_are_in_order():
  mesh = mesh_lib.make(replica=2, fsdp=2, tensor=2)
  assert mesh.devices.flatten().tolist() == jax.devices()
