"""A mesh of chips that have a place in a network, which CPU devices lack."""

import types

import numpy as np
import pytest

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
