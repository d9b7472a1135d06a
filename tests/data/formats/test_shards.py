"""A folder that describes itself wrongly is refused before it is read."""

import json

import numpy as np
import pytest

from data.formats import shards

MANIFEST = {
  'fingerprint': 'f',
  **dict.fromkeys(('videos', 'records', 'frames', 'bytes'), 1),
  **{'refused': 0, 'begun_late': 0, 'seconds': 1.0, 'lost': 0, 'recipe': {}},
  'shards': [{'file': 'shard-00000.array_record', 'bytes': 1}],
}
INDEX = {name: np.zeros(1, np.int32) for name in ('shard', 'position')}
INDEX |= {'frames': np.ones(1, np.int32), 'video': np.ones(1, np.uint64)}


def write(folder, manifest=(), **index):
  folder.mkdir()
  (folder / shards.MANIFEST).write_text(json.dumps(MANIFEST | dict(manifest)))
  (folder / 'shard-00000.array_record').write_bytes(b'x')
  np.savez(folder / shards.INDEX, **INDEX | index)
  return folder


@pytest.mark.parametrize(
  ('about', 'said'),
  [
    ({'records': -1}, 'records is -1, expected 0 or more'),
    ({'shards': {}}, 'shards holds a dict, expected a list'),
    ({'shards': [{'file': 3, 'bytes': 1}]}, 'file holds a int'),
    ({'shards': [{'file': '../x', 'bytes': 1}]}, r"a shard '\.\./x', expected"),
    (
      {'shards': [{'file': '/etc/x', 'bytes': 1}]},
      "a shard '/etc/x', expected",
    ),
  ],
)
def test_a_manifest_that_is_wrong_is_refused(tmp_path, about, said):
  with pytest.raises(ValueError, match=said):
    shards.open_shards(write(tmp_path / 'd', about))


@pytest.mark.parametrize(
  ('index', 'said'),
  [
    ({'position': np.zeros(2, np.int32)}, r'position int32 \[2\], expected 1'),
    ({'position': np.zeros((1, 1), int)}, r'position int64 \[1, 1\]'),
    ({'frames': np.ones(1)}, r'frames float64 \[1\], expected 1 whole numbers'),
    ({'shard': np.full(1, -1)}, 'shard -1, expected 0 or more'),
    ({'video': np.array([{}])}, 'video holds pickled objects'),
  ],
)
def test_an_index_that_is_wrong_is_refused(tmp_path, index, said):
  opened = shards.open_shards(write(tmp_path / 'd', **index))
  with pytest.raises(ValueError, match=rf'index\.npz.*{said}'):
    opened.index  # noqa: B018


def test_the_same_folder_without_faults_is_opened(tmp_path):
  opened = shards.open_shards(write(tmp_path / 'd'))
  assert opened.index['video'].tolist() == [1]
  with pytest.raises(shards.BadRecord, match='record 0 of'):
    opened.read(0)
