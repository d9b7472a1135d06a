"""Sources by name: options as text, and what is told of wrong ones."""

import importlib
import inspect
import typing

import numpy as np
import pytest

from data import source
from data.source import pad_rows


def test_text_becomes_what_the_default_is():
  given = {
    'stride': '1+3',
    'flip': '1',
    'clips': '2',
    'path': '7',
    'scale': (1, 1),
  }
  assert source.typed('kinetics', given) == {
    'stride': (1, 3),
    'flip': 1.0,
    'clips': 2,
    'path': '7',  # no number: it stays
    'scale': (1, 1),  # no text: as it is
  }
  assert source.typed('world', {'antialias': 'false'}) == {'antialias': False}
  # Of what has no default, as the annotation says.
  given = {'stride': '1+3', 'scale': '1+1', 'frames': '4', 'window': 'middle'}
  assert source.typed('videos', given) == {
    'stride': (1, 3),
    'scale': (1.0, 1.0),
    'frames': 4,
    'window': 'middle',
  }
  with pytest.raises(ValueError, match=r"frames='4\.5' must be of type int"):
    source.typed('videos', {'frames': '4.5'})
  made = source.make(
    'world', 'test', keys=('video',), test_clips='3', height='8', width='12'
  )
  assert len(made) == 3
  assert made.read(0)['video'].shape == (16, 8, 12, 3)


def test_what_is_mapped_and_written_here_cannot_be_in_an_object_store():
  """It was put into a folder gs:/ of this machine."""
  with pytest.raises(ValueError, match=r'cache=gs://b/d is in an object'):
    source.make('world', 'train', cache='gs://b/d', keys=('video',))


@pytest.mark.parametrize(
  'name',
  [
    *('movi', 'scannet', 'tapvid', 're10k', 'waymo', 'perception_test'),
    *('ssv2', 'kinetics', 'videos'),
  ],
)
def test_a_missing_path_is_told_with_the_remedy(name):
  with pytest.raises(
    ValueError, match=rf"'{name}' needs .* path.*: write data\.path="
  ):
    source.make(name, 'test')
  with pytest.raises(ValueError, match=r"unknown option 'pth'.*mean 'path'"):
    source.make(name, 'test', pth='.')


@pytest.mark.parametrize('name', source.names())
def test_all_options_of_a_source_can_be_given(name):
  """Recipes have a name and a weight of each source themselves."""
  assert not {'name', 'weight'} & {
    *inspect.signature(
      importlib.import_module(f'data.sources.{name}').make
    ).parameters
  }


def test_other_mistakes_are_told():
  with pytest.raises(ValueError, match="clips='x' must be of type int"):
    source.make('world', 'test', clips='x')
  with pytest.raises(ValueError, match="'true' or 'false'"):
    source.make('world', 'test', antialias='1')
  for call in (source.keys_of, lambda name: source.make(name, 'test')):
    with pytest.raises(ValueError, match=r"'move': .*did you mean 'movi'\?"):
      call('move')


def test_rows_are_padded_with_what_is_never_seen():
  values = np.ones((2, 3, 4), np.float32)
  visible = np.ones((2, 3), bool)
  padded, seen = pad_rows(values, visible, 5)
  assert padded.dtype == np.float32
  assert padded[:, 0, 0].tolist() == [1, 1, 0, 0, 0]
  assert seen[:, 2].tolist() == [True, True, False, False, False]


def test_the_first_rows_are_kept():
  values = np.arange(3, dtype=np.float64)[:, None, None] * np.ones((1, 4, 2))
  padded, seen = pad_rows(values, values[..., 0] > 0, 2)
  assert padded[:, 3, 1].tolist() == [0, 1]
  assert seen[:, 3].tolist() == [False, True]


@pytest.mark.parametrize('name', source.names())
def test_every_source_tells_its_data_from_others(name):
  """Else a run would go on with them, and say nothing."""
  module = importlib.import_module(f'data.sources.{name}')
  made = typing.get_type_hints(module.make)['return']
  assert isinstance(made.fingerprint, property)


def test_a_digest_is_of_its_parts_and_of_where_they_end():
  one = source.digest(['a', 'b'], np.array([1, 2]))
  assert one == source.digest(['a', 'b'], np.array([1, 2]))
  assert one != source.digest(['a', 'b'], np.array([2, 1]))
  assert one != source.digest(['a', 'b'], np.array([1]), np.array([2]))
  assert len(one) == 16
