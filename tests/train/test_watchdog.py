"""A loop that is stuck is told, and ended with a code that starts it again."""

import subprocess
import sys

import pytest

from base import exits
from train.watchdog import Watchdog

LOOP = """
import time
from train.watchdog import Watchdog
def stuck():
  time.sleep(600)
with Watchdog(2.0) as watchdog:
  for step in range({steps}):
    watchdog.now(f'step {{step}}')
    time.sleep(0.5)
  {end}
"""


def run(**parts):
  line = LOOP.format(**parts)
  return subprocess.run(
    [sys.executable, '-c', line], capture_output=True, text=True, timeout=120
  )


def test_what_is_stuck_is_named_and_ended():
  done = run(steps=3, end='stuck()')
  assert done.returncode == exits.FAULT
  assert 'process 0 is at step 2 since 1s, the limit is 2s' in done.stdout
  assert 'at step 2 since 2s, the limit (config.watchdog' in done.stderr
  assert 'in stuck' in done.stderr


def test_what_goes_on_is_left_alone():
  done = run(steps=10, end='')  # longer than the limit
  assert (done.returncode, done.stdout) == (0, '')


def test_without_a_limit_nothing_is_watched():
  with Watchdog(0.0) as watchdog:
    watchdog.now('step 1')
  with pytest.raises(ValueError, match='or 0 for no limit'):
    Watchdog(-1.0)
