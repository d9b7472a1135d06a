"""Every source reads from an object store what it reads from a disk."""

import pickle

import numpy as np
import pytest

from data import remote, source
from tests.data.remote.conftest import CASES, SIZE, put

pytestmark = pytest.mark.usefixtures('copies')


def made_of(name, split, path, options):
  options = {'keys': source.keys_of(name), **SIZE, **options}
  if name == 'tfds':
    options['keys'] = ('video', 'video_id')
  return source.make(name, split, path=path, **options)


def test_no_source_is_left_out():
  # What the world keeps on a disk it writes itself.
  assert {name for _, name, *_ in CASES.values()} | {'world'} == {
    *source.names()
  }


@pytest.mark.parametrize('case', CASES)
def test_records_are_those_of_the_disk(case, film, tmp_path, bucket):
  make, name, below, splits, options = CASES[case]
  folder = tmp_path / 'folder'
  (folder / 'in' / 'deep').mkdir(parents=True)
  make(folder, film)
  put(folder, bucket)
  for split in splits:
    here = made_of(name, split, str(folder / below), options)
    there = made_of(name, split, f'{bucket}/{below}'.rstrip('/'), options)
    assert isinstance(there, source.Source)
    assert there.fingerprint == here.fingerprint
    assert [*getattr(there, 'excluded', {}).values()] == [
      *getattr(here, 'excluded', {}).values()
    ]
    # As a worker gets it, which has no lists.
    there = pickle.loads(pickle.dumps(there))
    assert len(there) == len(here) > 0
    for index in range(len(here)):
      one, two = (
        each.read(index, np.random.default_rng(index)) for each in (here, there)
      )
      assert one.keys() == two.keys()
      for key, value in one.items():
        np.testing.assert_array_equal(two[key], value)
      # What would be brought ahead is what was brought.
      for file in getattr(there, 'needs', lambda _: ())(index):
        assert isinstance(file, remote.Remote)
        assert file.fetch().exists()


def test_what_is_missing_is_told_as_on_a_disk(bucket):
  with pytest.raises(ValueError, match=f'no folder {bucket}/none'):
    made_of('videos', 'train', f'{bucket}/none', CASES['videos'][-1])
  with pytest.raises(ValueError, match=f'{bucket}/none/train.csv is missing'):
    made_of('kinetics', 'train', f'{bucket}/none', {})
