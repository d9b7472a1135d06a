"""A loop that is stuck is told, and ended with a code that starts it again."""

import socket
import subprocess
import sys
import threading
from concurrent import futures

import pytest

from base import exits
from train import watchdog as watchdog_lib
from train.watchdog import Watchdog

LOOP = """
import time
from train.watchdog import Watchdog
def stuck():
  time.sleep(600)
with Watchdog(tell_sec=1.0, limit_sec=2.0) as watchdog:
  watchdog.now('step 2')
  stuck()
"""


def test_what_is_stuck_is_named_and_ended():
  done = subprocess.run(
    [sys.executable, '-c', LOOP], capture_output=True, text=True, timeout=120
  )
  assert done.returncode == exits.FAULT
  where = f'process 0 on {socket.gethostname()} is at step 2 since'
  assert f'{where} 1s; the limit is 2s' in done.stdout
  assert f'{where} 2s, the limit (config.watchdog' in done.stderr
  assert 'in stuck' in done.stderr


class Ticks:
  """In place of an event that is waited for: time passes when it is told to."""

  def __init__(self):
    self._asked, self._may = threading.Semaphore(0), threading.Semaphore(0)
    self._is_over = False

  def wait(self, seconds):
    self._asked.release()
    self._may.acquire()
    return self._is_over

  def set(self):
    self._is_over = True
    self._may.release()

  def pass_(self, count):
    """Returns when what was to happen in so many ticks has."""
    for _ in range(count):
      self._asked.acquire()
      self._may.release()
    self._asked.acquire()
    self._asked.release()


def test_what_goes_on_is_left_alone(monkeypatch, capfd):
  ticks = Ticks()
  ended = []
  monkeypatch.setattr(watchdog_lib.stops, 'end', ended.append)
  watchdog = Watchdog(tell_sec=1.0, limit_sec=2.0)
  monkeypatch.setattr(watchdog, '_over', ticks)
  with watchdog:
    for step in range(10):  # longer than the limit
      watchdog.now(f'step {step}')
      ticks.pass_(10)
    assert capfd.readouterr() == ('', '')
    watchdog.now('')  # what has its own limit
    ticks.pass_(100)
    assert capfd.readouterr() == ('', '')
    watchdog.now('step 10')
    ticks.pass_(21)
    assert 'is at step 10 since' in capfd.readouterr().out
  assert not ended


def test_who_waits_can_save_before_the_end(capfd):
  raised = futures.Future()
  with Watchdog(tell_sec=0.1, limit_sec=0.4) as watchdog:
    watchdog.now('the data of step 3', lambda: 'record 7', raised.set_result)
    assert 'of step 3 since 0s: it waits for record 7' in str(raised.result())
    watchdog.now('the save of step 2')
  said, errors = capfd.readouterr()
  assert said.count('it waits for record 7') == 3  # after 0.1, 0.2, 0.4 s
  assert 'test_who_waits_can_save' in errors


def test_without_a_limit_nothing_is_watched():
  with Watchdog(tell_sec=0.0, limit_sec=0.0) as watchdog:
    watchdog.now('step 1')
  with pytest.raises(ValueError, match='or 0 for no limit'):
    Watchdog(tell_sec=0.0, limit_sec=-1.0)
