"""Small folders of every data set, and the same in a store of this machine."""

import functools
import json
import pickle

import numpy as np
import pytest

from base import files
from data import remote
from data.ingest.folder import ingest
from data.ingest.recipe import Recipe
from data.sources import features
from tests.data import recipes, test_classified
from tests.data.sources import (
  test_perception_test,
  test_re10k,
  test_scannet,
  test_tapvid,
  test_tapvid3d,
  test_waymo,
)
from tests.data.sources.movi import files as movi_files

SIZE = {'frames': 4, 'height': 12, 'width': 16}


def videos(folder, film):
  for name, frames in (('a', 40), ('b', 24), ('c', 30)):
    film.write(folder / 'in' / f'{name}.mp4', film.texture(frames))
  recipe = Recipe(chunk_frames=32, overlap_frames=16)
  # As many shards as videos.
  ingest(str(folder / 'in'), folder / 'data', recipe, workers=0, per_shard=1)


def listed(folder, film):
  for name, frames in (('a', 12), ('b', 9), ('c', 9)):
    film.write(folder / 'in' / f'{name}.mp4', film.greys(frames))
  (folder / 'train.csv').write_text('a.mp4 1\nb.mp4 0\ngone.mp4 0\n')
  (folder / 'val.csv').write_text('c.mp4 0\n')


def named(folder, film):
  for name in ('abc_000001_000011', 'abd_000002_000012', 'abe_000000_000010'):
    film.write(folder / 'in' / 'deep' / f'{name}.mp4', film.greys(9))
  head = 'label,youtube_id,time_start,time_end,split\n'
  rows = ['run,abc,1,11,train', 'sit,abd,2,12,train', 'sit,abx,0,10,train']
  (folder / 'train.csv').write_text(head + '\n'.join(rows) + '\n')
  (folder / 'val.csv').write_text(head + 'run,abe,0,10,val\n')


def something(folder, film):
  for number in (1, 2, 3):
    file = folder / 'in' / f'{number}.webm'
    film.write(file, film.greys(9), codec='libvpx-vp9', rate=12)
  (folder / 'labels.json').write_text('{"Pushing something": "0"}')
  label = test_classified.label
  train = [label('Pushing [something]', f'{n}') for n in (1, 2, 9)]
  (folder / 'train.json').write_text(json.dumps(train))
  last = [label('Pushing [something]', '3')]
  (folder / 'validation.json').write_text(json.dumps(last))


@functools.cache
def records():
  """Of MOVi, which take a while to draw."""
  return [movi_files.example(movi_files.features(shift)) for shift in (0, 3)]


def movi(folder, film):
  for kind in ('tfrecord', 'array_record'):
    movi_files.write(folder / kind, records(), kind)


def tapvid(folder, film):
  for number in range(2):
    data = [test_tapvid.example(seed=number)]
    file = folder / f'000{number}_of_0002.pkl'
    file.write_bytes(pickle.dumps(data))


def tapvid3d(folder, film):
  (folder / 'adt').mkdir()
  for name in ('meal', 'walk'):
    np.savez(folder / 'adt' / f'{name}.npz', **test_tapvid3d.example())


def scannet(folder, film):
  test_scannet.write_sens(folder / 'scans' / 's0' / 's0.sens')
  test_scannet.write_folder(folder / 's1')
  (folder / 'scannetv2_train.txt').write_text('s0\ns1\ns2\n')


def perception(folder, film):
  test_perception_test.write(folder)
  for number in (1, 2):
    film.write(
      folder / 'in' / f'video_{number}.mp4',
      film.greys(test_perception_test.TOTAL),
      rate=30,
    )


def re10k(folder, film):
  test_re10k.write(folder, 'train', '00aa', test_re10k.MISSING)
  test_re10k.write(folder, 'test', '22cc', suffix='.jpg')


def waymo(folder, film):
  test_waymo.write_records(folder / 'training', test_waymo.OBJECTS)
  test_waymo.write_tables(folder / 'validation', test_waymo.OBJECTS)


def written(folder, film):
  clips = np.arange(5 * 2 * 3 * 4, dtype=np.float32).reshape(5, 2, 3, 4)
  features.write(folder, 'train', iter([clips]))


# Of each: what makes its folder, the source, its path in the folder, splits,
# and options.
CASES = {
  'videos': (
    videos,
    'videos',
    'data',
    ('train', 'test'),
    recipes.videos(**SIZE),
  ),
  'kinetics': (listed, 'kinetics', '', ('train', 'test'), {'videos': 'in'}),
  'kinetics csv': (named, 'kinetics', '', ('train', 'test'), {'videos': 'in'}),
  'ssv2': (something, 'ssv2', '', ('train', 'test'), {'videos': 'in'}),
  'movi': (
    *(movi, 'movi', 'tfrecord', ('train', 'test')),
    {'keys': ('video', 'pose', 'boxes')},
  ),
  'movi array_record': (
    *(movi, 'movi', 'array_record', ('validation',)),
    {'keys': ('video', 'depth')},
  ),
  'tfds': (movi, 'tfds', 'array_record', ('test',), {'video': 'video'}),
  'tapvid': (tapvid, 'tapvid', '', ('test',), {}),
  'tapvid3d': (tapvid3d, 'tapvid3d', '', ('test',), {}),
  'scannet': (scannet, 'scannet', '', ('train',), {'stride': (1, 1)}),
  'perception_test': (
    *(perception, 'perception_test', '', ('validation',)),
    {'videos': 'in', 'keys': ('video', 'tracks')},
  ),
  're10k': (re10k, 're10k', '', ('test',), {}),
  'waymo': (waymo, 'waymo', '', ('train', 'test'), {'together': 3}),
  'features': (
    *(written, 'features', '', ('train',)),
    {'source': {'name': 'world'}, 'keys': ('features',)},
  ),
}
_LABELLED = {'tfds': ('video', 'video_id')}


def put(folder, store):
  """Copies a folder of this machine to one of a store."""
  for file in sorted(folder.rglob('*')):
    if file.is_file():
      name = file.relative_to(folder).as_posix()
      files.write(files.path(store) / name, file.read_bytes())


@pytest.fixture
def copies(tmp_path):
  """Inside, copies of objects are in a folder of the test, which it is."""
  folder = tmp_path / 'copies'
  with remote.cached(folder=str(folder), stalled_sec=60.0):
    yield folder
