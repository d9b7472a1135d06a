"""A loop that is stuck is told, and ended with a code that starts it again."""

import socket
import subprocess
import sys
from concurrent import futures

import pytest

from base import exits
from train.watchdog import Watchdog

LOOP = """
import time
from train.watchdog import Watchdog
def stuck():
  time.sleep(600)
with Watchdog(tell_sec=1.0, limit_sec=2.0) as watchdog:
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
  where = f'process 0 on {socket.gethostname()} is at step 2 since'
  assert f'{where} 1s; the limit is 2s' in done.stdout
  assert f'{where} 2s, the limit (config.watchdog' in done.stderr
  assert 'in stuck' in done.stderr


def test_what_goes_on_is_left_alone():
  done = run(steps=10, end='')  # longer than the limit
  assert (done.returncode, done.stdout) == (0, '')


def test_who_waits_can_save_before_the_end(capfd):
  raised = futures.Future()
  with Watchdog(tell_sec=0.1, limit_sec=0.4) as watchdog:
    watchdog.now('the data of step 3', lambda: 'record 7', raised.set_result)
    assert 'of step 3 since 0s: it waits for record 7' in str(raised.result())
    watchdog.now('the save of step 2')
  said, errors = capfd.readouterr()
  assert said.count('it waits for record 7') == 3  # after 0.1, 0.2, 0.4 s
  assert 'test_who_waits_can_save' in errors


def test_what_has_its_own_limit_is_left_alone():
  done = run(steps=1, end="watchdog.now('')\n  time.sleep(3)")
  assert (done.returncode, done.stdout) == (0, '')


def test_without_a_limit_nothing_is_watched():
  with Watchdog(tell_sec=0.0, limit_sec=0.0) as watchdog:
    watchdog.now('step 1')
  with pytest.raises(ValueError, match='or 0 for no limit'):
    Watchdog(tell_sec=0.0, limit_sec=-1.0)
