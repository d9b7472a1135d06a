"""A real Slurm on this machine, for these tests alone."""

import os
import pathlib
import tempfile

import pytest

from launch.drill import slurm_of_one


@pytest.fixture(scope='session')
def cluster():
  """Variables by which commands of Slurm find it; skips where it cannot be."""
  why = slurm_of_one.missing()
  if why:
    pytest.skip(why)
  # Names of sockets are short, and so must be the path.
  with (
    tempfile.TemporaryDirectory(prefix='slurm-') as folder,
    slurm_of_one.running(pathlib.Path(folder, 'of-one')) as variables,
  ):
    yield variables


@pytest.fixture
def slurm(cluster, monkeypatch):
  """This process and its children use that Slurm."""
  for name in [name for name in os.environ if name.startswith('SLURM')]:
    monkeypatch.delenv(name)
  for name, value in cluster.items():
    monkeypatch.setenv(name, value)
