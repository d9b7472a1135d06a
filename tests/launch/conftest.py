"""A mesh of chips that have a place in a network, which CPU devices lack."""

import types

import numpy as np
import pytest

from train.mesh import AXES


@pytest.fixture(scope='session')
def torus():
  """A function: sizes of a mesh, and of the network that it lies on."""

  def make(mesh, network):
    places = [np.unravel_index(i, network) for i in range(np.prod(network))]
    devices = np.empty(len(places), object)
    devices[:] = [types.SimpleNamespace(coords=place) for place in places]
    return types.SimpleNamespace(devices=devices.reshape(mesh), axis_names=AXES)

  return make
