"""Data sets that the package tensorflow-datasets wrote."""

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.fixture(scope='session')
def root(tmp_path_factory):
  """All data sets of `builders.py`, written by the package."""
  out = tmp_path_factory.mktemp('tfds')
  program = Path(__file__).with_name('builders.py')
  done = subprocess.run(
    [sys.executable, str(program), str(out)], capture_output=True, text=True
  )
  assert done.returncode == 0, done.stderr[-2000:]
  return out
