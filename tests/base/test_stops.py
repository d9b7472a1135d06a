"""A stop is heard at once, whatever the main thread does."""

import pathlib
import re
import signal
import subprocess
import sys

import pytest

from base import exits, stops

# In a lock of C, from which no signal wakes: as in a compiler, or in a read of
# a disk that does not answer.
BLOCKED = """
import ctypes
lock = ctypes.create_string_buffer(64)
def block():
  ctypes.CDLL(None).pthread_mutex_lock(lock)
block()
"""
TAKEN = (
  """
from base import stops
import os, signal
stops.hear()
def save(name):
  print('saves', name, flush=True)
with stops.taken(save):
  print('up', flush=True)
"""
  + BLOCKED.replace('\n', '\n  ')
  + 'block()'
)


@pytest.fixture
def start():
  """Starts a script, and returns it when it has said 'up'."""
  running = []

  def begin(script):
    process = subprocess.Popen(
      [sys.executable, '-c', script], stdout=subprocess.PIPE, text=True
    )
    running.append(process)
    assert process.stdout.readline() == 'up\n'
    return process

  yield begin
  for process in running:
    process.kill()
    process.wait()
    process.stdout.close()


@pytest.mark.parametrize(
  ('number', 'code', 'by'),
  [
    (signal.SIGTERM, exits.AGAIN, 'SIGTERM'),
    (signal.SIGHUP, exits.AGAIN, 'SIGHUP'),
    (signal.SIGINT, exits.INTERRUPTED, 'Ctrl-C'),
  ],
)
@pytest.mark.parametrize('wait', ['import time; time.sleep(600)', 'block()'])
def test_where_there_is_nothing_to_save_it_is_the_end(
  start, number, code, by, wait
):
  process = start(f"""
from absl import flags
from base import command, stops
def main():
{BLOCKED.replace(chr(10), chr(10) + '  ')}
  print('up', flush=True)
  {wait}
command.run(main, goes_on=True)
""")
  process.send_signal(number)
  assert process.wait(60) == code
  said = f'stopped by {by}: the same command starts again\n'
  assert process.stdout.read() == said


@pytest.mark.parametrize('back', ['os.write(1, b"back")', 'block()'])
def test_what_others_wait_for_is_given_back_before_the_end(start, back):
  process = start(f"""
import os
from base import stops
stops._PATIENCE = 0.2
stops.hear()
{BLOCKED}
with stops.giving_back(lambda: {back}):
  print('up', flush=True)
  block()
""")
  process.send_signal(signal.SIGTERM)
  assert process.wait(60) == exits.AGAIN
  assert process.stdout.read().endswith('back') == ('back' in back)


def test_who_saves_is_told_though_the_main_thread_is_blocked(start):
  process = start(TAKEN)
  process.send_signal(signal.SIGTERM)
  assert process.stdout.readline() == 'saves SIGTERM\n'
  # A scheduler repeats itself, which does no harm; a person does not wait.
  process.send_signal(signal.SIGTERM)
  process.send_signal(signal.SIGHUP)
  process.send_signal(signal.SIGINT)
  assert process.wait(60) == exits.INTERRUPTED
  assert process.stdout.read() == ''


def test_the_first_ctrl_c_saves_and_the_second_ends(start):
  process = start(TAKEN)
  process.send_signal(signal.SIGINT)
  assert process.stdout.readline() == 'saves SIGINT\n'
  process.send_signal(signal.SIGINT)
  assert process.wait(60) == exits.INTERRUPTED


def test_only_ctrl_c_ends_what_is_being_saved(monkeypatch):
  ended = []
  monkeypatch.setattr(stops, 'end', ended.append)
  ear = stops._Ear.__new__(stops._Ear)
  ear.first, ear.save = signal.SIGTERM, None
  for number in (signal.SIGTERM, signal.SIGHUP):
    ear._hear(number)
  assert not ended
  ear._hear(signal.SIGINT)
  assert ended == [exits.INTERRUPTED]


def test_what_nohup_ignores_stays_ignored(start):
  process = start(
    'import signal\nsignal.signal(signal.SIGHUP, signal.SIG_IGN)\n' + TAKEN
  )
  # Of two that come together, the later one may be heard first.
  status = pathlib.Path(f'/proc/{process.pid}/status').read_text()
  (ignored,) = re.findall(r'^SigIgn:\s+(\w+)$', status, re.M)
  assert int(ignored, 16) >> (signal.SIGHUP - 1) & 1
  process.send_signal(signal.SIGHUP)
  process.send_signal(signal.SIGTERM)
  assert process.stdout.readline() == 'saves SIGTERM\n'
