"""Encoders of small folders, read once."""

import functools
import json
import pathlib

import jax
import jax.numpy as jnp
import pytest

from models import objective
from models.published import hf
from tests.models.published.hf import folders


@pytest.fixture(scope='session')
def encoder(tmp_path_factory):
  """(family, changes of its config) -> objective, parameters, config."""

  @functools.cache
  def read(family, **changes):
    path = folders.save(tmp_path_factory.mktemp('hf') / 'x', family, **changes)
    config = json.loads((pathlib.Path(path) / 'config.json').read_text())
    return *loaded(path, **folders.clip(family)), config

  return read


def loaded(path, **clip):
  """Objective and parameters of a folder."""
  found = hf.read(path, **clip)
  params = jax.tree.map(jnp.asarray, found.params)
  return objective.make(**found.model), params
