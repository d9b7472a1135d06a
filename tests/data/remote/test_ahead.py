"""Batches of data in a store are those of a disk, and come in time."""

import hashlib
import itertools
import threading

import pytest

from base import exits, files
from data import pipeline, remote
from data.ingest.folder import ingest
from data.ingest.recipe import Recipe
from tests.data import recipes
from tests.data.remote.conftest import SIZE, put

STEPS = 6


@pytest.fixture(scope='module')
def folder(film, tmp_path_factory):
  """Six videos in six shards."""
  made = tmp_path_factory.mktemp('ahead')
  (made / 'in').mkdir()
  for number in range(6):
    film.write(made / 'in' / f'{number}.mp4', film.texture(20 + number))
  ingest(str(made / 'in'), made / 'data', Recipe(), workers=0, per_shard=1)
  return made / 'data'


def make(path, workers=0, stalled_sec=60.0, **kept):
  source = recipes.videos(**SIZE, validation_fraction=0.0)
  del source['keys']
  source |= {'name': 'videos', 'weight': 1.0, 'path': str(path)}
  return pipeline.make(
    split='train',
    batch_size=4,
    seed=3,
    sources={'train': source},
    keys=('video',),
    shuffle=True,
    workers=workers,
    stalled_sec=stalled_sec,
    max_bad=0.0,
    remote=kept,
  )


def hashes(pipe):
  """Of what each batch holds, by its pixels, and by its keys."""
  batches = pipe.batches()
  found = []
  for parts in itertools.islice(batches, STEPS):
    pixels = b''.join(part['video'].tobytes() for part in parts)
    found.append((hashlib.sha256(pixels).hexdigest(), batches.keys))
    del parts
  batches.close()
  return found


@pytest.fixture(scope='module')
def expected(folder):
  return hashes(make(folder))


# Of shards together, or of two: then each goes and comes again.
@pytest.mark.parametrize(
  ('workers', 'share'),
  [(0, 2.0), (0, 0.4), pytest.param(2, 0.4, marks=pytest.mark.slow)],
)
def test_batches_are_those_of_the_disk(
  folder, bucket, tmp_path, expected, workers, share
):
  put(folder, bucket)
  total = sum(each.stat().st_size for each in folder.glob('*.array_record'))
  pipe = make(bucket, workers, folder=str(tmp_path), gb=share * total / 1e9)
  assert pipe.fingerprint == make(folder).fingerprint
  assert hashes(pipe) == expected
  copies = sum(each.stat().st_size for each in tmp_path.glob('*-*'))
  # Each process keeps to it; of two or more each may bring one beside.
  assert workers or copies <= share * total


def test_copies_that_a_disk_has_changed_come_again(
  folder, bucket, tmp_path, expected, capsys
):
  """Also where the process has opened them before."""
  put(folder, bucket)
  pipe = make(bucket, folder=str(tmp_path))
  assert hashes(pipe) == expected
  for copy in tmp_path.glob('*.array_record'):
    copy.write_bytes(bytes(copy.stat().st_size))
  assert hashes(pipe) == expected
  said = capsys.readouterr().out
  assert 'was changed by this machine or its disk' in said


def test_files_of_coming_steps_come_before_they_are_asked_for(bucket, tmp_path):
  with remote.cached(folder=str(tmp_path)):
    top = remote.path(bucket)
  for step in range(9):
    files.write(f'{bucket}/{step}', b'x')
  # One more, which is gone, holds up none.
  ahead = remote.Ahead(lambda step: [top / f'{step}', top / 'gone'], 3)
  _until(lambda: len([*tmp_path.glob('*-*')]) == 6)
  assert not list(tmp_path.glob('*-2'))
  ahead.close()


def test_no_more_comes_ahead_than_half_of_the_limit(bucket, tmp_path):
  with remote.cached(folder=str(tmp_path), gb=1e-5):
    top = remote.path(bucket)
  for step in range(9):
    files.write(f'{bucket}/{step}', 2000 * b'x')
  asked = []

  def needs(step):
    asked.append(step)
    return [top / f'{step}']

  ahead = remote.Ahead(needs, 0)
  _until(lambda: len([*tmp_path.glob('*-*')]) == 3)
  assert asked == [0, 1, 2]
  ahead.reached(1)
  _until(lambda: asked == [0, 1, 2, 3, 4])
  ahead.close()


def test_a_disk_has_no_threads(folder):
  before = {*threading.enumerate()}
  batches = make(folder).batches()
  next(batches)
  assert not {*threading.enumerate()} - before


@pytest.mark.parametrize(
  'workers', [0, pytest.param(1, marks=pytest.mark.slow)]
)
def test_what_cannot_be_had_ends_the_run_and_is_not_replaced(
  folder, bucket, tmp_path, workers
):
  """No record is bad where a store, or a disk, is: another start finds it."""
  put(folder, bucket)
  # Room for the index, and for no shard.
  pipe = make(bucket, workers, folder=str(tmp_path), gb=4e-6)
  bad = []
  batches = pipe.batches(on_bad=bad.append)
  with pytest.raises(exits.Unavailable, match='raise it'):
    next(batches)
  batches.close()
  assert not bad


def _until(done):
  """Waits for what comes, on any machine: pytest's own limit is the limit."""
  tick = threading.Event()
  while not done():
    tick.wait(0.01)
