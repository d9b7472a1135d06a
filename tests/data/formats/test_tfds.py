"""Folders of TensorFlow Datasets: shards, records and their features."""

import json
import pickle
import struct

import numpy as np
import pytest
from array_record.python import array_record_module

from data.formats import tfds
from data.source import BadRecord

# {'a': bytes 'x' and 'yz', 'n': integers 5, 300, -2, 'f': floats 0.5 and 2}
EXAMPLE = bytes.fromhex(
  '0a3b'
  '0a0e 0a0161 1209 0a07 0a0178 0a02797a'
  '0a16 0a016e 1211 1a0f 0a0d 05 ac02 feffffffffffffffff01'
  '0a11 0a0166 120c 120a 0a08 0000003f 00000040'
)


def write(folder, kind, shards, split='train'):
  """Records b'0', b'1', ... in shards of these lengths."""
  folder.mkdir(parents=True, exist_ok=True)
  lengths = [str(length) for length in shards]
  info = {'splits': [{'name': split, 'shardLengths': lengths}]}
  (folder / 'dataset_info.json').write_text(json.dumps(info))
  number = 0
  for shard, length in enumerate(shards):
    file = folder / f'd-{split}.{kind}-{shard:05d}-of-{len(shards):05d}'
    records = [str(number + i).encode() for i in range(length)]
    number += length
    if kind == 'array_record':
      writer = array_record_module.ArrayRecordWriter(str(file), 'group_size:1')
      for record in records:
        writer.write(record)
      writer.close()
    else:
      file.write_bytes(
        b''.join(
          struct.pack('<QI', len(record), 1) + record + struct.pack('<I', 2)
          for record in records
        )
      )
  return folder


@pytest.mark.parametrize('kind', ['array_record', 'tfrecord'])
def test_reads_any_record_of_any_shard(tmp_path, kind):
  folder = tfds.open_folder(str(write(tmp_path, kind, [3, 0, 2, 6])), 'train')
  folder = pickle.loads(pickle.dumps(folder))
  assert len(folder) == 11
  order = np.random.default_rng(0).permutation(11).tolist()
  assert [folder.read(i) for i in order] == [str(i).encode() for i in order]


def test_array_records_are_taken_where_there_are_both(tmp_path):
  write(tmp_path, 'tfrecord', [2])
  write(tmp_path, 'array_record', [2])
  (file,) = tfds.open_folder(str(tmp_path), 'train').files
  assert 'array_record' in file.name


def test_what_a_folder_lacks_is_told(tmp_path):
  with pytest.raises(ValueError, match=r'no dataset_info\.json: give'):
    tfds.open_folder(str(tmp_path), 'train')
  write(tmp_path, 'tfrecord', [1, 1])
  with pytest.raises(ValueError, match=r"no split 'test': it has \['train'\]"):
    tfds.open_folder(str(tmp_path), 'test')
  info = tmp_path / 'dataset_info.json'
  bad = {'splits': [{'name': 'train', 'shardLengths': ['3', '-1']}]}
  whole = info.read_text()
  info.write_text(json.dumps(bad))
  with pytest.raises(
    ValueError, match=r'no numbers \(-1 records\): .*; copy it'
  ):
    tfds.open_folder(str(tmp_path), 'train')
  info.write_text(whole)
  (tmp_path / 'd-train.tfrecord-00001-of-00002').unlink()
  with pytest.raises(ValueError, match=r'2 shards, found 1 files .*tfrecord'):
    tfds.open_folder(str(tmp_path), 'train')


@pytest.mark.parametrize('kind', ['array_record', 'tfrecord'])
def test_a_shard_that_goes_away_is_a_bad_record(tmp_path, kind):
  folder = tfds.open_folder(str(write(tmp_path, kind, [2])), 'train')
  folder.files[0].unlink()
  with pytest.raises(BadRecord, match=r'record 1 of .*00000-of-00001'):
    folder.read(1)


@pytest.mark.parametrize('cut', [1, 5, 10, 22])
def test_a_truncated_file_is_a_bad_record(tmp_path, cut):
  folder = tfds.open_folder(str(write(tmp_path, 'tfrecord', [2])), 'train')
  folder.files[0].write_bytes(folder.files[0].read_bytes()[:-cut])
  with pytest.raises(BadRecord, match='truncated'):
    folder.read(0)


def test_features_are_bytes_integers_and_floats():
  found = tfds.features(EXAMPLE, ['f', 'n', 'a'])
  assert found['a'] == [b'x', b'yz']
  assert found['n'].tolist() == [5, 300, -2]
  assert found['n'].dtype == np.int64
  assert found['f'].tolist() == [0.5, 2.0]
  assert found['f'].dtype == np.float32
  assert tfds.features(EXAMPLE, ['n']).keys() == {'n'}


def test_an_integer_of_more_than_64_bits_is_a_bad_record():
  large = EXAMPLE.replace(
    b'\xfe' + b'\xff' * 8 + b'\x01', b'\xff' * 9 + b'\x7f'
  )
  assert large != EXAMPLE
  with pytest.raises(BadRecord, match='more than 64 bits'):
    tfds.features(large, ['n'])


def test_numbers_may_come_one_by_one():
  """As a writer of another age has them: not packed."""
  floats = bytes.fromhex('0a13 0a11 0a0166 120c 120a 0d0000003f 0d00000040')
  assert tfds.features(floats, ['f'])['f'].tolist() == [0.5, 2.0]
  integers = bytes.fromhex('0a0e 0a0c 0a016e 1207 1a05 0805 08ac02')
  assert tfds.features(integers, ['n'])['n'].tolist() == [5, 300]
  empty = bytes.fromhex('0a09 0a07 0a016e 1202 1a00')
  assert tfds.features(empty, ['n'])['n'].shape == (0,)


def test_what_is_no_example_is_a_bad_record():
  with pytest.raises(BadRecord, match='no feature b, c'):
    tfds.features(EXAMPLE, ['a', 'b', 'c'])
  for cut in range(1, len(EXAMPLE)):
    with pytest.raises(BadRecord):
      tfds.features(EXAMPLE[:-cut], ['a', 'n', 'f'])
  long = b'\xff' * 10**6 + b'\x01'  # a number of seven million bits
  for noise in (b'not an example', b'\xff' * 30, b'\x0a\x02\x0a\x00', long):
    with pytest.raises(BadRecord):
      tfds.features(noise, ['a'])
