"""Folders in an object store: what base/files does there, and says of it."""

import importlib.metadata
import io

import numpy as np
import pytest

from base import digests, files, jsons, stores


def test_files_are_written_read_listed_and_removed(bucket):
  folder = files.path(f'{bucket}/')
  assert str(folder) == bucket
  assert files.names(folder) == []
  assert not files.exists(folder)
  files.write(folder / 'a.json', '{"a": 1}')
  files.write(folder / 'below' / 'b', b'\x00')
  assert files.names(folder) == ['a.json', 'below']
  assert files.is_folder(folder)
  assert files.is_folder(folder / 'below')
  assert not files.is_folder(folder / 'a.json')
  assert jsons.read(folder / 'a.json', {'a': int}, '') == {'a': 1}
  # What another process has written meanwhile is seen.
  files.write(folder / 'c', 'c')
  assert files.names(folder) == ['a.json', 'below', 'c']
  for _ in range(2):
    files.remove(folder / 'a.json')
  assert not files.exists(folder / 'a.json')
  with pytest.raises(FileNotFoundError):
    files.read_bytes(folder / 'a.json')


def test_what_is_there_is_not_written_over_where_that_is_asked(bucket):
  stores.write(f'{bucket}/a', b'1', only_new=True)
  with pytest.raises(FileExistsError):
    stores.write(f'{bucket}/a', b'2', only_new=True)
  assert files.read_bytes(f'{bucket}/a') == b'1'


def test_digests_are_what_the_store_says_and_a_disk_says_the_same(
  bucket, tmp_path
):
  for place in (bucket, tmp_path):
    (files.path(place) / 'below').mkdir(parents=True, exist_ok=True)
    files.write(f'{place}/a', b'123456789')
    files.write(f'{place}/below/b', b'')
  assert digests.names(bucket) == digests.names(tmp_path) == ['a', 'below/b']
  there = digests.of(bucket, ['a', 'below/b', 'c'])
  here = digests.of(tmp_path, ['a', 'below/b', 'c'])
  assert there['a'] == {
    **{'bytes': 9, 'crc32c': 'e3069283'},
    'md5': '25f9e794323b453885f5181f1b624d0b',
  }
  assert there.keys() == here.keys() == {'a', 'below/b'}
  assert all(digests.same(there[name], here[name]) for name in there)
  files.write(f'{bucket}/a', b'123456788')
  there = digests.of(bucket, ['a'])
  assert not digests.same(there['a'], here['a'])


def test_lines_are_added(bucket):
  for number in range(3):
    files.append(f'{bucket}/a.jsonl', f'{{"a": {number}}}\n')
  found = jsons.read_lines(f'{bucket}/a.jsonl', {'a': int}, '')
  assert found == [{'a': 0}, {'a': 1}, {'a': 2}]


def test_a_library_that_needs_a_file_writes_to_one(bucket):
  with files.replacing(f'{bucket}/a.npz') as draft:
    np.savez(draft, a=np.arange(3))
    assert not files.exists(f'{bucket}/a.npz')
  found = np.load(io.BytesIO(files.read_bytes(f'{bucket}/a.npz')))
  np.testing.assert_array_equal(found['a'], np.arange(3))
  with pytest.raises(ZeroDivisionError):
    fails(f'{bucket}/b.npz')
  assert files.names(bucket) == ['a.npz']


def fails(path):
  with files.replacing(path) as draft:
    draft.write_text('half')
    raise ZeroDivisionError


def test_a_bucket_that_is_not_there_is_told(object_store):
  with pytest.raises(FileNotFoundError, match=r'such bucket: make it.*gs://'):
    files.write('gs://nowhere/a', '')


def test_a_file_where_a_folder_is_expected_is_told(bucket):
  files.write(f'{bucket}/file', '')
  with pytest.raises(ValueError, match=r'--workdir=gs://.*/file is a file'):
    files.make_folder(f'{bucket}/file', '--workdir', stores_too=True)
  files.make_folder(f'{bucket}/new', '--workdir', stores_too=True)


@pytest.mark.parametrize(
  ('path', 'said'),
  [
    ('http://b/run', 'expected a folder of a disk or of gs://'),
    ('GS://b/run', 'expected a folder of a disk or of gs://'),
    ('gs:/b/run', 'expected a folder of a disk or of gs://'),
    ('gs://', 'names no bucket: expected gs://BUCKET/NAME'),
  ],
)
def test_what_cannot_work_is_refused_in_one_line(path, said, tmp_path):
  with pytest.raises(ValueError, match=said):
    files.path(path)
  with pytest.raises(ValueError, match=said):
    files.make_folder(path, '--workdir', stores_too=True)


def test_missing_packages_are_told_with_their_group(monkeypatch):
  def version(name):
    raise importlib.metadata.PackageNotFoundError(name)

  monkeypatch.setattr(stores.importlib.metadata, 'version', version)
  stores._prepared.cache_clear()
  with pytest.raises(
    ValueError, match=r'needs gcsfs and google-cloud-storage.*--group gcs'
  ):
    files.path('gs://b/run')
  stores._prepared.cache_clear()


@pytest.mark.parametrize(
  ('code', 'kind', 'said'),
  [
    (401, PermissionError, r'not allowed .*denied.*gcloud auth'),
    (403, PermissionError, r'not allowed .*gcloud auth'),
    (400, OSError, r'cannot be used'),
  ],
)
def test_refusals_of_the_store_are_told_with_the_path(
  bucket, monkeypatch, code, kind, said
):
  from gcsfs import retry

  def refuse(*_, **__):
    content = b'{"error": {"code": %d, "message": "denied"}}' % code
    retry.validate_response(code, content, 'o/a')

  with stores.using(bucket) as system:
    monkeypatch.setattr(system, 'info', refuse)
  with pytest.raises(kind, match=said) as raised:
    files.exists(f'{bucket}/a')
  assert raised.value.filename == f'{bucket}/a'


def test_a_store_that_cannot_be_reached_is_told(monkeypatch):
  """And is not taken for one where nothing is."""
  monkeypatch.setenv('STORAGE_EMULATOR_HOST', 'http://127.0.0.1:9')
  pytest.importorskip('gcsfs')
  from gcsfs import retry

  async def soon(_):
    pass

  monkeypatch.setattr(retry.asyncio, 'sleep', soon)
  with pytest.raises(OSError, match='cannot be used'):
    files.exists('gs://bucket/a')
