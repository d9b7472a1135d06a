"""Files that are damaged name themselves; those that are written are whole."""

import errno
import json
import struct
import zipfile

import numpy as np
import pytest

from models.published import files, names
from tests.models.published import layouts


def read(path):
  """All that `info` and loading do with a file."""
  entries = files.opened(str(path))
  names.of_file(str(path), {key: each.shape for key, each in entries.items()})
  files.check_sums(str(path))
  for entry in entries.values():
    np.asarray(entry.read())


def safetensors(path, header):
  text = json.dumps(header).encode()
  path.write_bytes(struct.pack('<Q', len(text)) + text + bytes(16))


@pytest.mark.parametrize('ending', ['npz', 'safetensors'])
def test_a_damaged_file_names_itself_wherever_it_is_damaged(tmp_path, ending):
  """Cut anywhere, or with wrong bytes in names, shapes and places."""
  path = tmp_path / f'x.{ending}'
  files.write(str(path), layouts.weights(layouts.backbone(1)))
  whole, rng = path.read_bytes(), np.random.default_rng(0)
  about = slice(0, 2500) if ending == 'safetensors' else slice(-2500, None)
  refused = []
  for i in range(160):
    changed = np.frombuffer(whole, np.uint8).copy()
    if i % 4 == 0:
      changed = changed[: rng.integers(len(whole))]
    else:
      changed[about][rng.integers(2500, size=2)] = rng.integers(256, size=2)
    path.write_bytes(changed.tobytes())
    try:
      read(path)
    except ValueError as error:
      refused.append(str(error))
  assert len(refused) > 100
  assert all(str(path) in message for message in refused)


@pytest.mark.parametrize(
  'about',
  [
    3,
    {'shape': [2], 'data_offsets': [0, 8]},
    {'dtype': 'F32', 'shape': 2, 'data_offsets': [0, 8]},
    {'dtype': 'F32', 'shape': [2], 'data_offsets': [8]},
    {'dtype': 'F32', 'shape': [-2], 'data_offsets': [8, 0]},
    {'dtype': 'F32', 'shape': [2], 'data_offsets': [-8, 0]},
    {'dtype': 'F32', 'shape': [2], 'data_offsets': [12, 20]},
  ],
  ids=str,
)
def test_a_header_that_makes_no_sense_is_damage(tmp_path, about):
  path = tmp_path / 'x.safetensors'
  safetensors(path, {'kernel': about})
  with pytest.raises(ValueError, match=r'damaged at kernel: download it again'):
    files.opened(str(path))


def test_arrays_in_one_place_are_damage(tmp_path):
  path = tmp_path / 'x.safetensors'
  about = {'dtype': 'F32', 'shape': [2]}
  places = {'a': [0, 8], 'b': [8, 16]}
  safetensors(
    path, {k: {**about, 'data_offsets': v} for k, v in places.items()}
  )
  assert list(files.opened(str(path))) == ['a', 'b']
  places['b'] = [4, 12]
  safetensors(
    path, {k: {**about, 'data_offsets': v} for k, v in places.items()}
  )
  with pytest.raises(ValueError, match='damaged at b: download it again'):
    files.opened(str(path))


@pytest.mark.parametrize('length', [60, 10**8 + 1, 2**63])
def test_a_header_that_is_longer_than_the_file_is_not_read(tmp_path, length):
  path = tmp_path / 'x.safetensors'
  path.write_bytes(struct.pack('<Q', length) + b'{"a": {}}')
  with pytest.raises(ValueError, match=r'damaged: its header .*; download it'):
    files.opened(str(path))


def test_a_header_of_brackets_without_end_is_damage(tmp_path):
  path = tmp_path / 'x.safetensors'
  path.write_bytes(struct.pack('<Q', 6 * 10**5) + b'{"a": ' * 10**5)
  with pytest.raises(ValueError, match='its header is not whole; download it'):
    files.opened(str(path))


def test_files_without_arrays_say_so(tmp_path):
  path = tmp_path / 'x.safetensors'
  safetensors(path, {'__metadata__': {'of': 'nothing'}})
  with pytest.raises(ValueError, match='holds no array: download it again'):
    files.opened(str(path))
  path.write_bytes(b'')
  with pytest.raises(ValueError, match='is empty: download it again'):
    files.opened(str(path))


def test_an_array_that_is_shorter_than_its_header_says_is_damage(tmp_path):
  """Mapped, it would run into the next one."""
  path = tmp_path / 'x.npz'
  with zipfile.ZipFile(path, 'w') as archive:
    for name in ('a', 'b'):
      with archive.open(f'{name}.npy', 'w') as member:
        header = {'descr': '<f4', 'fortran_order': False, 'shape': (5,)}
        np.lib.format.write_array_header_1_0(member, header)
        member.write(bytes(4 * 3))
  with pytest.raises(ValueError, match='damaged at a: download it again'):
    files.opened(str(path))


@pytest.mark.parametrize('ending', ['npz', 'safetensors'])
def test_a_file_is_written_whole_or_not_at_all(tmp_path, ending):
  path = tmp_path / f'x.{ending}'
  arrays = {'a': np.arange(6, dtype=np.float32).reshape(2, 3)}
  files.write(str(path), arrays)

  class Large(dict):
    def items(self):
      yield 'b', np.ones((2, 3), np.float32)
      raise OSError(errno.ENOSPC, 'No space left on device')

  with pytest.raises(OSError, match='free some space'):
    files.write(str(path), Large())
  assert [each.name for each in tmp_path.iterdir()] == [path.name]
  np.testing.assert_array_equal(
    files.opened(str(path))['a'].read(), arrays['a']
  )
  with pytest.raises(ValueError, match=r'must end with \.npz or \.safetensors'):
    files.write(str(tmp_path / 'x.bin'), arrays)
