"""Meshes lie on the networks that there are."""

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


def test_devices_of_this_machine_are_in_order():
  mesh = mesh_lib.make(replica=2, fsdp=2, tensor=2)
  assert mesh.devices.flatten().tolist() == jax.devices()
