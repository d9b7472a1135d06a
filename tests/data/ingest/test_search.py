"""Which videos a pattern names, wherever --out lies."""

import os

import pytest

from base import files
from data import remote
from data.formats import shards
from data.ingest import folder, search
from data.ingest.recipe import Recipe
from tests import commands

# All that ingestion writes, with what it leaves when it is killed.
OWN = (
  *('plan.jsonl', 'manifest.json', 'index.npz', 'quarantine.jsonl', '.lock'),
  *('shard-00000.array_record', 'shard-00000.json', 'contact.png'),
  *('parts/00000-00003', '.manifest.draft-host-1.json'),
)


def touch(top, *names):
  for name in names:
    (top / name).parent.mkdir(parents=True, exist_ok=True)
    (top / name).touch()


@pytest.fixture(params=['disk', 'store'])
def top(request, tmp_path):
  """Makes files; gives where they lie."""

  def make(*names):
    if request.param == 'disk':
      touch(tmp_path, *names)
      return str(tmp_path)
    bucket = request.getfixturevalue('bucket')
    for name in names:
      files.write(f'{bucket}/{name}', b'')
    return bucket

  with remote.cached(folder=str(tmp_path / 'copies'), stalled_sec=60.0):
    yield make


@pytest.mark.parametrize(
  ('out', 'videos'),
  [
    ('p/a', ('p/a/x.gif', 'p/y.webm')),
    ('p', ('p/videos/x.mp4', 'p/videos/y.mp4')),
    ('p', ('p/x.mp4', 'p/y.mp4')),
    ('p', ('p/parts.mp4', 'p/parts/deep/x.mp4', 'p/shard-1.mp4')),
  ],
)
def test_only_what_ingestion_wrote_is_left_out(top, out, videos):
  place = top(*videos, *(f'{out}/{name}' for name in OWN))
  for pattern in ('', '/**'):
    root, found = search.find(
      f'{place}/p{pattern}', files.path(f'{place}/{out}')
    )
    assert str(root) == f'{place}/p'
    assert found == sorted(name.removeprefix('p/') for name in videos)


def test_files_of_such_names_elsewhere_are_videos_of_others(top):
  theirs = ['in/contact.png', 'in/manifest.json', 'in/parts/00000-00000']
  place = top(*theirs, 'out/manifest.json')
  _, found = search.find(f'{place}/in', files.path(f'{place}/out'))
  assert found == [name.removeprefix('in/') for name in theirs]


def test_own_files_are_known_by_a_link_too(tmp_path):
  touch(tmp_path, 'data/x.mp4', *(f'data/{name}' for name in OWN))
  (tmp_path / 'link').symlink_to('data')
  for videos, out in (('link', 'data'), ('data', 'link')):
    _, found = search.find(str(tmp_path / videos), tmp_path / out)
    assert found == ['x.mp4']


def test_where_nothing_else_matches_that_is_said(top):
  place = top('p/manifest.json')
  out = files.path(f'{place}/p')
  with pytest.raises(
    ValueError, match=r'all that matches .* was written by in'
  ):
    search.find(f'{place}/p/*.json', out)
  with pytest.raises(ValueError, match='no file matches'):
    search.find(f'{place}/p/*.mp4', out)


def test_names_with_a_dot_need_one_in_the_pattern(top):
  place = top('p/x.mp4', 'p/.x.mp4', 'p/.h/x.mp4', 'p/.h/d/x.mp4')
  out = files.path(f'{place}/out')
  for pattern, expected in (
    ('p/**', ['x.mp4']),
    ('p/**/*.mp4', ['x.mp4']),
    ('p/.*', ['.x.mp4']),
    ('p/.[h]/**', ['.h/d/x.mp4', '.h/x.mp4']),
  ):
    assert search.find(f'{place}/{pattern}', out)[1] == expected


def test_home_is_as_in_every_path_of_data(film, tmp_path):
  (tmp_path / 'in').mkdir()
  film.write(tmp_path / 'in' / 'a.mp4', film.texture(20))
  done = commands.run(
    *('data.ingest', '--videos=~/in/*.mp4', '--out=~/data', '--workers=1'),
    env={**os.environ, 'HOME': str(tmp_path)},
  )
  assert done.returncode == 0
  assert shards.open_shards(tmp_path / 'data')


def test_links_that_lead_nowhere_are_told(tmp_path, capsys):
  touch(tmp_path, 'x.mp4')
  (tmp_path / 'gone.mp4').symlink_to('nowhere')
  assert search.find(f'{tmp_path}/*.mp4', tmp_path / 'out')[1] == ['x.mp4']
  said = capsys.readouterr().out
  assert f'1 name left out, such as {tmp_path}/gone.mp4: a link that' in said


@pytest.mark.parametrize(
  'name', ['manifest.json', 'index.npz', 'shard-00000.json', 'parts/x.mp4']
)
def test_files_of_others_are_not_written_over(top, name):
  place = top('p/x.mp4', f'p/{name}')
  with pytest.raises(ValueError, match=rf'has {name}, .* would be lost: move'):
    folder.ingest(f'{place}/p', f'{place}/p', Recipe(), workers=0)
  assert files.exists(f'{place}/p/{name}')


def test_data_among_their_videos_grow_with_them(film, tmp_path):
  """Twice, so that the second time its own files are there."""
  recipe = Recipe(min_frames=4)
  for name in ('b', 'a'):
    film.write(tmp_path / f'{name}.mp4', film.texture(9))
    found = folder.ingest(str(tmp_path), tmp_path, recipe, workers=0)
  assert (found['videos'], found['refused']) == (2, 0)
  assert os.path.exists(tmp_path / 'shard-00001.array_record')
