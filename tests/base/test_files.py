import errno
import json
import os
import socket
import subprocess
import sys

import pytest

from base import files


@pytest.mark.parametrize(
  ('content', 'what'),
  [
    (b'', 'is empty'),
    (b'{"a": ', 'is not JSON'),
    (b'\xff\xfe', 'is not JSON'),
    (b'[1]', 'holds a list, expected a dict'),
  ],
)
def test_a_damaged_file_names_itself_and_the_remedy(tmp_path, content, what):
  path = tmp_path / 'state.json'
  path.write_bytes(content)
  with pytest.raises(ValueError, match=rf'state\.json {what}.*copy it again'):
    files.read_json(path, dict, 'copy it again')


def test_a_file_is_whole_or_as_it_was(tmp_path):
  path = tmp_path / 'state.json'
  files.write(path, json.dumps({'a': 1}))
  assert files.read_json(path, dict, '') == {'a': 1}

  def fails():
    with files.replacing(path) as draft:
      draft.write_text('half')
      raise ZeroDivisionError

  with pytest.raises(ZeroDivisionError):
    fails()
  assert files.read_json(path, dict, '') == {'a': 1}
  assert [each.name for each in tmp_path.iterdir()] == ['state.json']


def test_a_full_disk_is_told_with_the_file_and_what_to_do(tmp_path):
  with (
    pytest.raises(OSError, match='disk is full: free some') as raised,
    files.replacing(tmp_path / 'state.npz'),
  ):
    raise OSError(errno.ENOSPC, 'No space left on device')
  assert raised.value.filename.endswith('state.npz')
  assert raised.value.errno == errno.ENOSPC


HOLDER = """
import sys
from base import files
with files.lock(sys.argv[1]) as held_by:
  print(held_by or 'mine', flush=True)
  sys.stdin.read()
"""


def test_one_process_holds_a_lock_and_others_learn_which(tmp_path):
  path = tmp_path / 'new' / 'lock'
  command = [sys.executable, '-c', HOLDER, str(path)]
  pipes = {'stdin': subprocess.PIPE, 'stdout': subprocess.PIPE, 'text': True}
  with subprocess.Popen(command, **pipes) as holder:
    assert holder.stdout.readline() == 'mine\n'
    who = f'process {holder.pid} of {socket.gethostname()}'
    with files.lock(path) as held_by:
      assert held_by == who
    # Its end lets go, however it comes.
    holder.kill()
    holder.wait()
    with files.lock(path, wait=True) as held_by:
      assert held_by == ''
  assert str(os.getpid()) in path.read_text()


def test_what_has_no_locks_is_refused():
  with (
    pytest.raises(ValueError, match='gs://b/lock cannot be locked'),
    files.lock('gs://b/lock'),
  ):
    pass
