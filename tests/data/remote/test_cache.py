"""Copies of objects: whole, proved, shared by processes, up to a limit."""

import os
import socket
import threading
from concurrent import futures

import pytest

from base import exits, files, objects, stores
from data import remote

KB = 1e-6  # of gb


def put(bucket, **contents):
  for name, content in contents.items():
    files.write(f'{bucket}/{name}', content)
  return remote.path(bucket)


def here(folder):
  return {file.name.partition('-')[2] for file in folder.glob('*-*')}


@pytest.fixture
def counted(monkeypatch):
  """Names of objects, as they are brought."""
  real, names = objects.bring, []

  def bring(path, *rest):
    names.append(str(path).rpartition('/')[2])
    real(path, *rest)

  monkeypatch.setattr(objects, 'bring', bring)
  return names


def test_what_was_used_longest_ago_makes_room(bucket, tmp_path, counted):
  with remote.cached(folder=str(tmp_path), gb=10 * KB):
    top = put(bucket, **{n: n.encode() * 3000 for n in 'abcd'})
  for number, name in enumerate('abc'):
    os.utime((top / name).fetch(), (number, number))
  assert (top / 'a').read_text() == 3000 * 'a'  # now b is the oldest
  (top / 'd').fetch()
  assert here(tmp_path) == {'a', 'c', 'd'}
  (top / 'b').fetch()
  assert here(tmp_path) == {'a', 'b', 'd'}
  assert counted == [*'abcdb']


def test_a_file_in_use_stays_and_an_open_one_stays_readable(bucket, tmp_path):
  with remote.cached(folder=str(tmp_path), gb=5 * KB):
    top = put(bucket, **{n: n.encode() * 3000 for n in 'abc'})
  with remote.local(top / 'a') as copy:
    opened = (top / 'b').open('rb')
    (top / 'c').fetch()
    assert here(tmp_path) == {'a', 'c'}
    assert copy.read_bytes() == 3000 * b'a'
  with opened:
    assert opened.read() == 3000 * b'b'


def test_a_reader_goes_with_its_copy(bucket, tmp_path):
  class Reader:
    def __init__(self, file):
      self.file = file

  with remote.cached(folder=str(tmp_path), gb=5 * KB):
    top = put(bucket, **{n: n.encode() * 3000 for n in 'ab'})
  get = remote.kept_open(9)(Reader)
  one = get(top / 'a')
  assert get(top / 'a') is one
  gone = one.file
  assert get(top / 'b') is not one
  assert not gone.exists()
  assert get(top / 'a') is not one


def test_it_is_said_once_that_the_limit_costs_time(
  bucket, tmp_path, capsys, monkeypatch
):
  monkeypatch.setattr('data.remote.cache._brought', set())
  with remote.cached(folder=str(tmp_path), gb=5 * KB):
    top = put(bucket, **{n: n.encode() * 3000 for n in 'ab'})
  for name in 'ababab':
    (top / name).fetch()
  said = capsys.readouterr().out.splitlines()
  assert len(said) == 1
  assert 'a is brought again' in said[0]
  assert 'data.remote.gb=5e-06' in said[0]


def test_threads_and_processes_bring_an_object_once(bucket, tmp_path, counted):
  with remote.cached(folder=str(tmp_path)):
    top = put(bucket, a=b'a' * 10**6)
  with futures.ThreadPoolExecutor(8) as threads:
    copies = list(threads.map(lambda _: (top / 'a').fetch(), range(8)))
  assert len({*copies}) == 1
  assert counted == ['a']


def test_an_object_that_was_written_again_is_another(bucket, tmp_path):
  with remote.cached(folder=str(tmp_path)):
    assert (put(bucket, a=b'old') / 'a').read_bytes() == b'old'
    assert (put(bucket, a=b'new') / 'a').read_bytes() == b'new'


@pytest.mark.parametrize('fault', ['cut', 'flipped'])
def test_bytes_that_are_not_those_of_the_object_are_refused(
  bucket, tmp_path, monkeypatch, fault
):
  with remote.cached(folder=str(tmp_path)):
    top = put(bucket, a=b'abcdef')
  came = []

  def bring(path, size, target, *rest):
    came.append(path)
    with open(target, 'wb') as file:
      file.write({'cut': b'abc', 'flipped': b'abcdeF'}[fault])

  monkeypatch.setattr(objects, 'bring', bring)
  with pytest.raises(exits.Unavailable, match='not what the store said'):
    (top / 'a').fetch()
  assert len(came) == 3
  assert not here(tmp_path)


def test_what_does_not_fit_is_told(bucket, tmp_path):
  with remote.cached(folder=str(tmp_path), gb=1 * KB):
    top = put(bucket, a=b'a' * 3000)
  with pytest.raises(exits.Unavailable, match=r'3e-06 GB.*gb=1e-06: raise it'):
    (top / 'a').fetch()


def test_a_full_disk_is_told_with_the_options(
  bucket, tmp_path, monkeypatch, capsys
):
  with remote.cached(folder=str(tmp_path)):
    top = put(bucket, a=b'a')

  def full(*_):
    raise files.full(tmp_path)

  monkeypatch.setattr('data.remote.cache._brought', set())
  monkeypatch.setattr(objects, 'bring', full)
  for _ in range(2):
    with pytest.raises(exits.Unavailable, match=r'full: .*data.remote.folder'):
      (top / 'a').fetch()
  # It was never here: nothing is brought again.
  assert not capsys.readouterr().out


def test_a_copy_that_was_cut_off_is_brought_again(bucket, tmp_path, counted):
  """As a machine that lost its power may leave it."""
  with remote.cached(folder=str(tmp_path)):
    top = put(bucket, a=b'abcdef')
  copy = (top / 'a').fetch()
  copy.write_bytes(b'')
  assert (top / 'a').read_bytes() == b'abcdef'
  assert counted == ['a', 'a']


def test_a_folder_that_cannot_have_copies_is_told(bucket, tmp_path):
  (tmp_path / 'file').touch()
  for folder in (tmp_path / 'file', tmp_path / 'file' / 'below'):
    with (
      remote.cached(folder=str(folder)),
      pytest.raises(ValueError, match=r'give another data\.remote\.folder'),
    ):
      remote.path(bucket)
  with remote.cached(folder=str(tmp_path / 'copies')):
    top = put(bucket, a=b'a')
  # From now on: no file of the data is to blame.
  (tmp_path / 'copies').rmdir()
  (tmp_path / 'copies').touch()
  with pytest.raises(exits.Unavailable, match=r'copies, .* cannot be used'):
    (top / 'a').fetch()


@pytest.mark.parametrize(
  'name',
  ['映' * 80, 'я' * 120 + '.mp4', 'a b#1?&%2F.x', '[a]*{b}'],
  ids=['3 bytes', '2 bytes', 'signs', 'patterns'],
)
def test_objects_may_have_any_name(bucket, tmp_path, name):
  with remote.cached(folder=str(tmp_path)):
    top = put(bucket, **{name: b'abc'})
  assert (top / name).read_bytes() == b'abc'
  assert [each.name for each in top.iterdir()] == [name]
  (copy,) = tmp_path.glob('*-*')
  assert copy.suffix == (top / name).suffix


def test_an_object_that_is_gone_is_a_missing_file(bucket, tmp_path):
  with remote.cached(folder=str(tmp_path)):
    top = put(bucket, a=b'a')
    assert (top / 'a').is_file()
  files.remove(f'{bucket}/a')
  with pytest.raises(FileNotFoundError):
    (top / 'a').fetch()
  with pytest.raises(FileNotFoundError):
    (top / 'b').stat()


@pytest.fixture
def silent(bucket, tmp_path, monkeypatch):
  """A store that takes every request and answers none."""
  from fsspec import filesystem

  with remote.cached(folder=str(tmp_path), stalled_sec=0.2):
    top = put(bucket, a=b'a')
  assert (top / 'a').about()
  system = filesystem('gcs', finalize_on_close=True)
  with socket.create_server(('127.0.0.1', 0)) as server:
    port = server.getsockname()[1]
    monkeypatch.setattr(system, '_endpoint', f'http://127.0.0.1:{port}')
    yield top


@pytest.fixture
def calls(monkeypatch):
  """Signs that this process gave of waiting for a store."""
  given = []
  monkeypatch.setattr('data.remote.cache._heard', [lambda: given.append(1)])
  return given


def test_a_store_that_does_not_answer_is_told_and_given_up(
  silent, capsys, calls
):
  """By who asks it, whom nobody takes for stalled before."""
  for ask in ((silent / 'a').fetch, silent.entries, (silent / 'b').about):
    calls.clear()
    with pytest.raises(exits.Unavailable, match=r'nothing came for .*the same'):
      ask()
    assert 'nothing has come for' in capsys.readouterr().out
    assert len(calls) >= 10


def lock_of(file):
  """Of the copy of a `Remote`, as another process would have it."""
  copy = file.cache.copy(file.text, file.about())
  return file.cache.place / 'locks' / f'{int(copy.name[:8], 16) % 256:03}'


def test_who_waits_for_another_process_is_alive_while_that_is(
  bucket, tmp_path, calls
):
  with remote.cached(folder=str(tmp_path), stalled_sec=0.3):
    file = put(bucket, a=b'abc') / 'a'
  lock = lock_of(file)
  with futures.ThreadPoolExecutor(1) as threads, files.lock(lock):
    with pytest.raises(exits.Unavailable, match=r'process \d+ of .*has not co'):
      file.fetch()
    waits = threads.submit(file.fetch)
    for _ in range(4):
      # While it brings what is large, longer than the limit.
      calls.clear()
      _until(lambda: len(calls) >= 3)
      os.utime(lock)
      assert not waits.done()
  assert waits.result().read_bytes() == b'abc'


def _until(done):
  """Waits for what comes, on any machine: pytest's own limit is the limit."""
  tick = threading.Event()
  while not done():
    tick.wait(0.01)


def test_what_comes_slowly_is_waited_for(bucket, tmp_path, monkeypatch, calls):
  """Longer than the limit, while some of it comes; who reads is seen alive."""
  with remote.cached(folder=str(tmp_path), stalled_sec=0.4):
    top = put(bucket, a=b'aaaa')
  assert (top / 'a').about()
  done = threading.Event()

  async def slowly(own, target, callback, **_):
    import asyncio

    with open(target, 'wb') as file:
      for _ in range(4):
        await asyncio.sleep(0.15)
        file.write(b'a')
        callback.relative_update(1)
    done.set()

  with stores.using(bucket) as system:
    monkeypatch.setattr(system, '_get_file', slowly)
  assert (top / 'a').read_bytes() == b'aaaa'
  assert done.is_set()
  assert calls


def test_a_command_without_a_recipe_is_told_a_folder_too(tmp_path, monkeypatch):
  assert remote.Cache().place.parts[-3:] == ('.cache', 'scale4d', 'data')
  monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
  assert remote.Cache().place == tmp_path / 'scale4d' / 'data'
  assert str(remote.Cache(folder='/x').place) == '/x'


def test_impossible_options_are_told(tmp_path):
  with pytest.raises(ValueError, match=r'data.remote.gb=0 must be above 0'):
    remote.Cache(gb=0)
  with pytest.raises(ValueError, match='give a folder of this machine'):
    remote.Cache(folder='gs://bucket/x')
