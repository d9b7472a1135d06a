"""What the loop waits for its folder, as the command prints it."""

import os
import re
import subprocess
import sys

import pytest

from launch import emulator


@pytest.mark.slow
def test_saves_and_lines_are_compared_on_a_disk_and_in_a_store():
  if emulator.missing():
    pytest.skip(f'not installed: {emulator.missing()}')
  done = subprocess.run(
    [
      *(sys.executable, '-m', 'launch.bench.workdirs', '--rounds=1'),
      '--config=configs/quickstart.py',
    ],
    capture_output=True,
    text=True,
    env=os.environ | {'JAX_PLATFORMS': 'cpu', 'XLA_FLAGS': ''},
  )
  assert done.returncode == 0, done.stderr
  for what in ('save', 'log line'):
    assert re.search(
      rf'^{what}: \d+\.\d+ ms on a disk, \d+\.\d+ ms in the store, the median '
      r'of 1 ratios is \d+\.\d+$',
      done.stdout,
      re.MULTILINE,
    )
