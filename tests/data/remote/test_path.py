"""Paths of a store have the words of pathlib, and the same answers."""

import os
import pathlib
import pickle

import pytest

from base import files
from data import remote, require

NAMES = ('a.txt', 'b.txt', 'in/c.txt', 'in/deep/d.txt', 'in/e.pkl')


@pytest.fixture
def both(tmp_path, bucket):
  """The same files on a disk and in a store."""
  for name in NAMES:
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_text(name)
    files.write(f'{bucket}/{name}', name)
  with remote.cached(folder=str(tmp_path.with_name('copies'))):
    yield tmp_path, remote.path(bucket)


def below(paths, top):
  return sorted(os.fspath(each).removeprefix(f'{top}/') for each in paths)


ASKED = {
  'names': lambda top: below(top.iterdir(), top),
  'glob': lambda top: below(top.glob('*.txt'), top),
  'glob below': lambda top: below(top.glob('in/*.txt'), top),
  'glob of none': lambda top: below((top / 'none').glob('*'), top),
  'rglob': lambda top: below(top.rglob('*.txt'), top),
  'all': lambda top: below(remote.files_below(top), top),
  'kinds': lambda top: [
    (each.is_file(), each.is_dir(), each.exists())
    for each in (
      *(top, top / 'a.txt', top / 'in', top / 'in' / 'c.txt'),
      *(top / 'none', top / 'in' / 'none', top / 'none' / 'c.txt'),
    )
  ],
  'size': lambda top: (top / 'in' / 'c.txt').stat().st_size,
  'text': lambda top: (top / 'in/c.txt').read_text(encoding='utf-8'),
  'words': lambda top: [
    (each.name, each.stem, each.suffix, each.parent.name)
    for each in (top / 'in' / 'e.pkl', top / 'in' / 'deep')
  ],
  'sorted': lambda top: below(sorted([top / 'b', top / 'a']), top),
}


@pytest.mark.parametrize('asked', ASKED)
def test_answers_are_those_of_a_disk(both, asked):
  disk, store = both
  assert ASKED[asked](store) == ASKED[asked](disk)


def test_a_folder_is_asked_for_once(both, monkeypatch):
  _, store = both
  assert (store / 'in' / 'c.txt').is_file()
  monkeypatch.setattr('base.stores.using', None)
  assert (store / 'in' / 'e.pkl').is_file()
  assert not (store / 'in' / 'f.pkl').is_file()
  assert (store / 'in' / 'deep').is_dir()


def test_a_path_of_a_disk_is_pathlibs(tmp_path):
  assert remote.path('x', 'y') == pathlib.Path('x/y')
  assert remote.path('x', '/y') == pathlib.Path('/y')
  assert remote.path('gs://b/x', '/y') == pathlib.Path('/y')
  with remote.local(tmp_path) as same:
    assert same is tmp_path


@pytest.mark.usefixtures('object_store')
def test_home_is_home_in_any_name(monkeypatch):
  monkeypatch.setenv('HOME', '/home/me')
  home = pathlib.Path('/home/me/x')
  assert remote.path('~/x') == home
  assert remote.path('x', '~/x', 'y') == home / 'y'
  assert remote.path('gs://b/x', '~/x') == home
  assert remote.path('a', 'b~', '~c d') == pathlib.Path('a/b~/~c d')


def test_names_are_joined():
  top = remote.path('gs://b/x/')
  assert str(top) == 'gs://b/x'
  assert os.fspath(remote.path('x', 'gs://b/x', 'y/z')) == 'gs://b/x/y/z'
  assert top / '' == top
  assert top / 'y/z' == top / 'y' / 'z'
  assert (top / 'y').parent == top
  assert pickle.loads(pickle.dumps(top / 'y')) == top / 'y'
  assert hash(top / 'y') == hash(remote.path('gs://b/x/y'))


@pytest.mark.usefixtures('object_store')
def test_a_list_names_what_is_below_its_folder():
  top = remote.path('gs://b/x')
  for name in ('y/z.mp4', 'gs://b/x/y/z.mp4'):
    assert str(require.below('kinetics', top, name, top)) == 'gs://b/x/y/z.mp4'
  for name in ('../z.mp4', '/y/z.mp4', 'y/../../z.mp4'):
    with pytest.raises(ValueError, match='outside gs://b/x'):
      require.below('kinetics', top, name, top)


def test_what_is_not_installed_is_told(monkeypatch):
  monkeypatch.setattr('base.stores._prepared', lambda _: ['gcsfs'])
  with pytest.raises(
    ValueError, match='needs gcsfs: `pip install --group gcs`'
  ):
    remote.path('gs://b/x')


def test_an_unknown_store_is_told():
  with pytest.raises(
    ValueError, match='expected a folder of a disk or of gs://'
  ):
    remote.path('s3://b/x')
