"""Small files of state: written whole; drafts, full disks and locks."""

import errno
import fcntl
import json
import os
import socket
import subprocess
import sys

import pytest

from base import files, jsons


def test_drafts_of_a_killed_writer_can_be_removed(tmp_path, monkeypatch):
  (tmp_path / 'kept.json').write_text('{}')
  draft = files.replacing(tmp_path / 'a.json')
  draft.__enter__().write_text('half')  # and here it is killed
  assert len(list(tmp_path.iterdir())) == 2
  files.remove_drafts(tmp_path)
  assert [file.name for file in tmp_path.iterdir()] == ['kept.json']


@pytest.mark.parametrize(
  'error',
  [
    OSError(errno.ENOSPC, 'No space left on device'),
    OSError(errno.EDQUOT, 'Disk quota exceeded'),
    RuntimeError('write() failed: No space left on device; writing x'),
  ],
)
def test_a_full_disk_is_told_once_with_the_innermost_path(error, tmp_path):
  with (
    pytest.raises(OSError, match=r'free some space.*a\.json'),
    files.naming_full(tmp_path),
    files.replacing(tmp_path / 'a.json'),
  ):
    raise error
  with pytest.raises(RuntimeError, match='other'), files.naming_full(tmp_path):
    raise RuntimeError('another fault')


def test_what_cannot_be_written_is_told_by_its_own_name(tmp_path):
  with pytest.raises(OSError, match='No such file') as raised:
    files.write(tmp_path / 'nowhere' / 'state.json', '{}')
  assert raised.value.filename == str(tmp_path / 'nowhere' / 'state.json')


@pytest.mark.parametrize('name', ['file', 'file/below'])
def test_a_file_where_a_folder_is_expected_is_told_with_its_option(
  tmp_path, name
):
  (tmp_path / 'file').touch()
  with pytest.raises(ValueError, match=r'/file is a file, expected a folder'):
    files.make_folder(tmp_path / name, '--out')
  files.make_folder(tmp_path / 'a' / 'b', '--out')
  assert (tmp_path / 'a' / 'b').is_dir()


def test_a_folder_of_an_object_store_is_no_folder_of_this_machine(
  tmp_path, monkeypatch
):
  """It was made as a local one, gs:/bucket/run, and trained into."""
  monkeypatch.chdir(tmp_path)
  with pytest.raises(ValueError, match=r'--workdir=gs://b/run is in an object'):
    files.make_folder('gs://b/run', '--workdir')
  assert not list(tmp_path.iterdir())


def test_a_file_is_whole_or_as_it_was(tmp_path):
  path = tmp_path / 'state.json'
  files.write(path, json.dumps({'a': 1}))
  assert jsons.read(path, dict, '') == {'a': 1}

  def fails():
    with files.replacing(path) as draft:
      draft.write_text('half')
      raise ZeroDivisionError

  with pytest.raises(ZeroDivisionError):
    fails()
  assert jsons.read(path, dict, '') == {'a': 1}
  assert [each.name for each in tmp_path.iterdir()] == ['state.json']


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


@pytest.fixture(params=['NFS', 'none'])
def file_system(request, monkeypatch):
  """NFS wants a file open to be written for a lock alone; some lock nothing."""
  real = fcntl.flock

  def flock(file, how):
    if request.param == 'none':
      raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    if how & fcntl.LOCK_EX and not file.writable():
      raise OSError(errno.EBADF, os.strerror(errno.EBADF))
    real(file, how)

  monkeypatch.setattr(fcntl, 'flock', flock)
  return request.param


def test_what_is_in_use_is_not_removed_whatever_the_file_system(
  tmp_path, file_system
):
  (tmp_path / 'a').write_text('a')
  with files.in_use(tmp_path / 'a'):
    # Without locks what is open keeps its bytes, and no more.
    assert files.remove_unused(tmp_path / 'a') == (file_system == 'none')
  assert files.remove_unused(tmp_path / 'a')
  assert not (tmp_path / 'a').exists()
