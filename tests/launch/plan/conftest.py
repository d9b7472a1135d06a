"""A mesh of chips with places in a network, which CPUs lack, and plans of j."""

import types

import numpy as np
import pytest

from configs import mae
from launch.plan import estimate, topology
from train.mesh import AXES


@pytest.fixture(scope='session')
def torus():
  """A function: sizes of a mesh, and of the network of each of its slices."""

  def make(mesh, network, slices=1):
    places = [np.unravel_index(i, network) for i in range(np.prod(network))]
    devices = np.empty(slices * len(places), object)
    devices[:] = [
      types.SimpleNamespace(coords=place, slice_index=number)
      for number in range(slices)
      for place in places
    ]
    return types.SimpleNamespace(devices=devices.reshape(mesh), axis_names=AXES)

  return make


@pytest.fixture(scope='session')
def config_of():
  """A function that makes the recipe of j, with changes."""

  def make(**changes):
    config = mae.get_config('size=j')
    config.update_from_flattened_dict(changes)
    return config.to_dict()

  return make


@pytest.fixture(scope='session')
def found(config_of):
  """A plan of shapes alone."""
  return estimate.plan(
    config_of(**{'mesh.replica': 8}),
    topology.parse('v5p:8x8x8'),
    shapes_only=True,
    assumed_mfu=0.5,
  )
