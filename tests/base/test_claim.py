"""Who works in a folder of an object store, and when that ends."""

import json
import os
import re
import socket
import subprocess
import sys
import threading
import time

import pytest

from base import claim, files

HOLDER = """
import sys
from base import claim, files
claim.RENEW = 0.2
claim._machine = lambda: sys.argv[2]
with files.lock(sys.argv[1]) as held_by:
  print(held_by or 'mine', flush=True)
  sys.stdin.read()
"""


@pytest.fixture
def quick(monkeypatch):
  """Seconds in place of minutes."""
  monkeypatch.setattr(claim, 'LAPSE', 3.0)
  monkeypatch.setattr(claim, '_LOOK', 0.1)


@pytest.fixture
def holder(bucket, object_store):
  """`holder(machine)` starts a process there that holds the claim."""
  started = []

  def start(machine):
    pipes = {'stdin': subprocess.PIPE, 'stdout': subprocess.PIPE, 'text': True}
    command = [sys.executable, '-c', HOLDER, f'{bucket}/claim', machine]
    started.append(subprocess.Popen(command, **pipes))
    assert started[-1].stdout.readline() == 'mine\n'
    return started[-1]

  yield start
  for process in started:
    process.kill()
    process.wait()
    process.stdin.close()
    process.stdout.close()


def read(bucket):
  return json.loads(files.read_bytes(f'{bucket}/claim'))


def test_one_of_this_machine_is_known_to_live_or_to_be_dead(bucket, holder):
  process = holder(claim._machine())
  who = f'process {process.pid} of {socket.gethostname()}'
  for sure in (False, True):
    with files.lock(f'{bucket}/claim', sure=sure) as held_by:
      assert held_by == who
  process.kill()
  process.wait()
  with files.lock(f'{bucket}/claim') as held_by:
    assert held_by == ''
    about = read(bucket)
    assert (about['pid'], about['generation']) == (os.getpid(), 1)
  assert files.names(bucket) == []


def test_a_clean_end_leaves_nothing(bucket, holder):
  process = holder(claim._machine())
  process.stdin.close()
  process.wait()
  assert files.names(bucket) == []


def test_one_of_another_machine_is_refused_once_it_gives_a_sign(
  bucket, holder, quick, capsys
):
  process = holder('another')
  who = f'process {process.pid} of {socket.gethostname()}'
  with files.lock(f'{bucket}/claim') as held_by:
    assert held_by == who
  assert capsys.readouterr().out == ''
  with files.lock(f'{bucket}/claim', sure=True) as held_by:
    assert held_by == who
  assert f'waiting for the claim of {who}' in capsys.readouterr().out


def test_one_of_another_machine_lapses_without_a_sign(
  bucket, holder, quick, capsys
):
  process = holder('another')
  process.kill()
  process.wait()
  last = json.dumps(read(bucket) | {'time': time.time()})
  files.write(f'{bucket}/claim', last)
  with files.lock(f'{bucket}/claim', sure=True) as held_by:
    assert held_by == ''
  said = r'waiting for the claim of .* to lapse: last sign \d s ago'
  assert re.match(said, capsys.readouterr().out)


def test_who_was_taken_over_learns_it(bucket, object_store, monkeypatch):
  monkeypatch.setattr(claim, 'RENEW', 0.1)
  path = f'{bucket}/claim'
  with files.lock(path) as held_by:
    assert held_by == ''
    files.check_lock(path)
    other = read(bucket) | {'id': 'other', 'pid': 7, 'host': 'elsewhere'}
    files.write(path, json.dumps(other))
    deadline = time.monotonic() + 60
    while not claim._MINE[path]._taken_by:
      assert time.monotonic() < deadline
      time.sleep(0.05)
    with pytest.raises(RuntimeError, match='taken over by process 7 of elsewh'):
      files.check_lock(path)
  # What is the other's stays.
  assert read(bucket)['id'] == 'other'


def test_who_slept_learns_it_before_it_saves(bucket, object_store):
  """Its thread slept too, and has not looked yet."""
  path = f'{bucket}/claim'
  with files.lock(path):
    other = read(bucket) | {'id': 'other', 'pid': 7, 'host': 'elsewhere'}
    files.write(path, json.dumps(other))
    files.check_lock(path)
    claim._MINE[path].about['time'] -= 0.9 * claim.LAPSE
    files.check_lock(path)
    claim._MINE[path].about['time'] -= 0.2 * claim.LAPSE
    with pytest.raises(RuntimeError, match='gave no sign'):
      files.check_lock(path)


@pytest.mark.parametrize('has_conditions', [True, False])
def test_of_two_who_start_at_once_one_works(
  bucket, object_store, monkeypatch, has_conditions
):
  """Where a store lets both write, looking again decides."""
  inside, refused, entered = [], [], threading.Barrier(2, timeout=120)
  if not has_conditions:
    write = claim.stores.write
    monkeypatch.setattr(
      claim.stores,
      'write',
      lambda path, data, only_new=False: write(path, data),
    )

  def enter(number):
    entered.wait()
    with files.lock(f'{bucket}/claim') as held_by:
      (refused if held_by else inside).append(number)
      entered.wait()

  threads = [threading.Thread(target=enter, args=(n,)) for n in range(2)]
  for thread in threads:
    thread.start()
  for thread in threads:
    thread.join()
  assert (len(inside), len(refused)) == (1, 1)


def test_damage_is_told(bucket):
  files.write(f'{bucket}/claim', '{"host": 1')
  with (
    pytest.raises(ValueError, match='claim is damaged: remove it'),
    files.lock(f'{bucket}/claim'),
  ):
    pass
