"""Ingestion from and to an object store: the bytes are those of a disk."""

import errno

import pytest

from base import exits, files, objects
from data import remote
from data.formats import shards
from data.ingest import folder as ingest
from data.ingest import steps
from data.inspect import file, records
from tests.data.ingest.test_folder import contents, run
from tests.data.remote.conftest import put

pytestmark = pytest.mark.usefixtures('copies')


@pytest.fixture
def copies(tmp_path):
  with remote.cached(folder=str(tmp_path / 'copies'), stalled_sec=60.0):
    yield


# What is asked of a store, of which objects, and how it fails.
FAILING = {
  'bring': (objects, 'bring', '/in/', exits.Unavailable('nothing came')),
  'write': (files, 'write', '/parts/', OSError(errno.EIO, 'not now')),
}


@pytest.fixture(scope='module')
def whole(footage, tmp_path_factory):
  """The footage, ingested from a disk to one."""
  out = tmp_path_factory.mktemp('whole') / 'data'
  run(footage / '**', out, per_shard=4)
  return out


def stored(out) -> dict[str, bytes]:
  """Every object but the plan, which names its folder."""
  return {
    name: files.read_bytes(f'{out}/{name}')
    for name in files.names(out)
    if name != steps.PLAN
  }


def on_disk(out) -> dict[str, bytes]:
  """The same; a lock stays there."""
  found = contents(out)
  del found['.lock']
  return found


def test_videos_and_data_may_lie_there(footage, whole, bucket):
  put(footage, f'{bucket}/in')
  out = files.path(f'{bucket}/data')
  run(f'{bucket}/in/**', out, per_shard=4)
  assert stored(out) == on_disk(whole)
  found = shards.open_shards(remote.path(out))
  assert found.fingerprint == shards.open_shards(whole).fingerprint


@pytest.mark.parametrize('finished', [1, 5])
def test_a_run_that_was_killed_goes_on(
  footage, whole, bucket, monkeypatch, finished
):
  real, made = steps.make_part, []

  def stops(*arguments):
    if len(made) == finished:
      raise KeyboardInterrupt
    made.append(arguments[4])
    return real(*arguments)

  monkeypatch.setattr(steps, 'make_part', stops)
  with pytest.raises(KeyboardInterrupt):
    run(footage, bucket, per_shard=4)
  with pytest.raises(ValueError, match='ingestion has not finished'):
    shards.open_shards(remote.path(bucket))
  finished = -1
  run(footage, bucket, per_shard=4)
  assert len(made) == len(set(made)) == 6  # nothing was done twice
  assert stored(bucket) == on_disk(whole)


@pytest.mark.parametrize('fails', ['bring', 'write'])
def test_a_store_that_fails_refuses_no_video(
  footage, whole, bucket, monkeypatch, fails
):
  """The next start finds it again, and its videos."""
  put(footage, f'{bucket}/in')
  out = files.path(f'{bucket}/data')
  module, name, below, error = FAILING[fails]
  real, asked = getattr(module, name), []

  def fail(path, *rest):
    if below in str(path):
      asked.append(path)
    if len(asked) == 2:
      raise error
    return real(path, *rest)

  with monkeypatch.context() as patch:
    patch.setattr(module, name, fail)
    with pytest.raises(type(error)):
      run(f'{bucket}/in/**', out, per_shard=4)
  run(f'{bucket}/in/**', out, per_shard=4)
  assert stored(out) == on_disk(whole)


def test_videos_leave_no_copies(footage, bucket, tmp_path):
  put(footage, f'{bucket}/in')
  run(f'{bucket}/in', tmp_path / 'data')
  assert not [*(tmp_path / 'copies').glob('*-*')]


def test_two_runs_at_once_are_refused(footage, bucket):
  with (
    files.lock(f'{bucket}/.lock'),
    pytest.raises(ValueError, match=r'process \d+ of .* writes to'),
  ):
    run(footage, bucket)


@pytest.mark.parametrize(
  'pattern',
  ['', '**', '*', '*.mp4', '**/*.mkv', 'below/*', '[ab]*', '**/b.*', 'a.mp4'],
)
def test_a_pattern_finds_what_it_does_on_a_disk(
  footage, tmp_path_factory, bucket, pattern
):
  here = tmp_path_factory.mktemp('out')
  put(footage, bucket)
  files.write(f'{bucket}/.hidden.mp4', b'')
  files.write(f'{bucket}/out/manifest.json', b'')
  _, names = ingest.find(f'{footage}/{pattern}', here)
  root, found = ingest.find(f'{bucket}/{pattern}', files.path(f'{bucket}/out'))
  assert (found, str(root)) == (names, f'{bucket}{_fixed(pattern)}')


def _fixed(pattern):
  return '/below' if pattern.startswith('below') else ''


def test_a_folder_is_one_whatever_is_in_its_name(footage, bucket):
  files.write(f'{bucket}/in [HD]/a*b.mp4', b'')
  root, found = ingest.find(f'{bucket}/in [HD]', files.path(f'{bucket}/out'))
  assert (found, str(root)) == (['a*b.mp4'], f'{bucket}/in [HD]')
  with pytest.raises(ValueError, match='give its whole name'):
    ingest.find('gs://buck*/in/**', files.path(f'{bucket}/out'))


def test_nothing_that_matches_is_an_error(bucket):
  with pytest.raises(ValueError, match='no file matches'):
    ingest.find(f'{bucket}/none/**', files.path(f'{bucket}/out'))
  with pytest.raises(ValueError, match=f'{bucket}/none: there is no such fi'):
    records.inspect(f'{bucket}/none', '', 0, None)
  with pytest.raises(
    FileNotFoundError, match=r'^gs://nobucket/in.*: there is no such'
  ):
    ingest.find('gs://nobucket/in/**', files.path(f'{bucket}/out'))


@pytest.mark.parametrize('place', ['gs://nobucket', 'gs://nobucket/in/x'])
def test_who_looks_for_data_is_told_that_there_is_no_bucket(place, bucket):
  out = files.path(f'{bucket}/out')
  for look in (
    lambda: ingest.find(place, out),
    lambda: records.inspect(place, '', 0, None),
    lambda: shards.open_shards(remote.path(place)),
    lambda: remote.path(f'{place}/x.csv').is_file(),
    lambda: remote.path(place).exists(),
  ):
    with pytest.raises(
      FileNotFoundError, match=f'^{place}.*: there is no such b'
    ):
      look()
  # Of one that is there it is asked once.
  assert not remote.path('gs://bucket/nothing/here').exists()


def test_a_folder_and_a_video_of_a_store_are_looked_at(
  footage, whole, bucket, tmp_path, capsys, monkeypatch
):
  put(whole, f'{bucket}/data')
  put(footage, f'{bucket}/in')
  monkeypatch.chdir(tmp_path)
  found = records.inspect(f'{bucket}/data', '', 0, None)
  assert (found['checked'], found['bad']) == (4, [])
  assert (tmp_path / 'contact.png').exists()
  assert '3 videos, 4 records' in capsys.readouterr().out
  path = remote.path(f'{bucket}/in/c.avi')
  assert [*file.describe(path)][1:] == [*file.describe(footage / 'c.avi')][1:]
