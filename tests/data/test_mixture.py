"""Mixtures of many sources: what they cost, and which clips they give."""

import gc
import itertools
import os

import numpy as np
import pytest

from data import examples, pipeline
from data.formats import shards
from data.ingest.folder import ingest
from data.ingest.recipe import Recipe
from data.sources import videos
from tests.data import recipes

MANY = 35


@pytest.fixture(scope='module')
def folder(film, tmp_path_factory):
  """One video in one shard."""
  made = tmp_path_factory.mktemp('mixture')
  film.write(made / 'a.mp4', film.texture(32))
  ingest(str(made / 'a.mp4'), made / 'data', Recipe(), workers=0)
  return made / 'data'


def cost(paths):
  """(threads, open files) that reading three epochs of these folders adds."""
  caches = (
    *(shards._reader, shards._index),
    *(videos._parts, examples._permutation),
  )
  for cache in caches:
    cache.cache_clear()
  gc.collect()
  before = _now()
  options = recipes.videos(frames=4, height=24, width=32)
  made = pipeline.make(
    split='train',
    batch_size=MANY,
    seed=0,
    sources={
      f'source-{number}': {
        **{'name': 'videos', 'weight': 1.0, 'path': str(path)},
        **{key: value for key, value in options.items() if key != 'keys'},
      }
      for number, path in enumerate(paths)
    },
    keys=('video',),
    **{
      'shuffle': True,
      'workers': 0,
      'stalled_sec': 60.0,
      'remote': {},
      'max_bad': 0.0,
    },
  )
  for _ in itertools.islice(made.batches(), 3):
    pass
  after = _now()
  # What was read of a folder is not read again.
  for cache in caches[:3]:
    assert cache.cache_info().misses == len(paths)
  return [now - then for now, then in zip(after, before)]


def _now():
  return [len(os.listdir(f'/proc/self/{kind}')) for kind in ('task', 'fd')]


def test_many_sources_cost_what_one_of_as_many_shards_does(folder, tmp_path):
  """No thread and no table of their own; a file for each shard."""
  copies = [tmp_path / str(number) for number in range(MANY)]
  for copy in copies:
    copy.symlink_to(folder)
  # Readers share threads, which the first of them starts.
  cost([folder])
  assert cost([folder]) == [0, 1]
  assert cost(copies) == [0, MANY]


class Toy:
  """Clips that say which record they are of, and what was drawn."""

  def __init__(self, number):
    self.number = number

  def __len__(self):
    return 2 + self.number % 5

  def read(self, index, rng):
    return {'label': np.int64([self.number, index, rng.integers(2**40)])}


def epochs(workers):
  """(source, record, draw) of each row of ten batches."""
  pipe = pipeline.Pipeline(
    pipeline.Examples(
      labels=tuple(f's{number}' for number in range(MANY)),
      sources=[Toy(number) for number in range(MANY)],
      rows=[(number, 0) for number in range(MANY)],
      keys=('label',),
      **{'seed': 0, 'shuffle': True},
    ),
    **{'workers': workers, 'stalled_sec': 60.0, 'max_bad': 0.0},
  )
  batches = pipe.batches()
  rows = [next(batches)[0]['label'] for _ in range(10)]
  batches.close()
  return np.stack(rows)


@pytest.mark.parametrize(
  'workers',
  [4, *(pytest.param(n, marks=pytest.mark.slow) for n in (1, 2, 3))],
)
def test_each_epoch_of_each_source_is_the_same_whoever_reads(workers):
  alone = epochs(0)
  np.testing.assert_array_equal(epochs(workers), alone)
  for number in range(MANY):
    size = len(Toy(number))
    records = alone[:, number, 1]
    for start in range(0, 10 - size + 1, size):
      assert sorted(records[start : start + size]) == list(range(size))
  assert len(np.unique(alone[..., 2])) == 10 * MANY


class Plain:
  """Records of these shapes, in order."""

  def __init__(self, *shapes):
    self.shapes = shapes

  def __len__(self):
    return len(self.shapes)

  def read(self, index, rng):
    return {'video': np.zeros((2, *self.shapes[index], 3), np.uint8)}


@pytest.mark.parametrize(
  ('sources', 'said'),
  [
    (
      {'flat': [(32, 64)], 'tall': [(48, 64)], 'other': [(32, 64)]},
      r"video has shape \[2, 32, 64, 3\] in 'flat', \[2, 48, 64, 3\] in 'tall',"
      r" \[2, 32, 64, 3\] in 'other': .* frames, height and width",
    ),
    (
      {'even': [(8, 6)], 'uneven': [(8, 6), (9, 6)]},
      r"video of record 1 of source 'uneven' has shape \[2, 9, 6, 3\], others "
      r'have \[2, 8, 6, 3\]',
    ),
  ],
)
def test_a_source_of_another_shape_is_named(sources, said):
  rows = [(n, row) for row in range(2) for n in range(len(sources))]
  made = pipeline.Examples(
    labels=tuple(sources),
    sources=[Plain(*shapes) for shapes in sources.values()],
    rows=rows,
    keys=('video',),
    **{'seed': 0, 'shuffle': False},
  )
  with pytest.raises(ValueError, match=said):
    made.part(0, (0, len(rows)))
