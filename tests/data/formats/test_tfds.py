"""Folders of TensorFlow Datasets: shards, records and their features."""

import gzip
import json
import pickle
import struct
from pathlib import Path

import google_crc32c
import numpy as np
import pytest
from array_record.python import array_record_module

from data.formats import gzipped, tfds, tfrecord
from data.source import BadRecord

# {'a': bytes 'x' and 'yz', 'n': integers 5, 300, -2, 'f': floats 0.5 and 2}
EXAMPLE = bytes.fromhex(
  '0a3b'
  '0a0e 0a0161 1209 0a07 0a0178 0a02797a'
  '0a16 0a016e 1211 1a0f 0a0d 05 ac02 feffffffffffffffff01'
  '0a11 0a0166 120c 120a 0a08 0000003f 00000040'
)


def write(folder, kind, shards, split='train', name='', packed=False):
  """Records b'0', b'1', ... in shards of these lengths."""
  folder.mkdir(parents=True, exist_ok=True)
  about = {'name': split, 'shardLengths': [str(length) for length in shards]}
  if name:
    about['filepathTemplate'] = name
  describe(folder, [about])
  number = 0
  for shard, length in enumerate(shards):
    place = f'{shard:05d}-of-{len(shards):05d}'
    file = folder / (name or '{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}')
    file = Path(
      str(file)
      .replace('{DATASET}', 'd')
      .replace('{SPLIT}', split)
      .replace('{FILEFORMAT}', kind)
      .replace('{SHARD_X_OF_Y}', place)
      .replace('{SHARD_INDEX}', place[:5])
      .removesuffix('%json')
    )
    file.parent.mkdir(exist_ok=True)
    records = [str(number + i).encode() for i in range(length)]
    number += length
    if kind == 'array_record':
      writer = array_record_module.ArrayRecordWriter(str(file), 'group_size:1')
      for record in records:
        writer.write(record)
      writer.close()
    else:
      data = b''.join(map(framed, records))
      file.write_bytes(gzip.compress(data) if packed else data)
  return folder


def framed(record):
  """As TFRecord has it, with checksums that nobody compares."""
  return struct.pack('<QI', len(record), 1) + record + struct.pack('<I', 2)


def describe(folder, splits, **more):
  info = {'name': 'd', 'splits': splits, **more}
  (folder / 'dataset_info.json').write_text(json.dumps(info))


@pytest.mark.parametrize('kind', ['array_record', 'tfrecord'])
def test_reads_any_record_of_any_shard(tmp_path, kind):
  folder = tfds.open_folder(str(write(tmp_path, kind, [3, 0, 2, 6])), 'train')
  folder = pickle.loads(pickle.dumps(folder))
  assert len(folder) == 11
  order = np.random.default_rng(0).permutation(11).tolist()
  assert [folder.read(i) for i in order] == [str(i).encode() for i in order]


def test_tfrecord_is_taken_where_both_are_whole(tmp_path):
  """Of a compressed ArrayRecord a whole record is unpacked for any part."""
  write(tmp_path, 'array_record', [2, 1])
  write(tmp_path, 'tfrecord', [2, 1])
  assert tfds.open_folder(str(tmp_path), 'train').format == 'tfrecord'
  (tmp_path / 'd-train.tfrecord-00001-of-00002').write_bytes(b'')
  folder = tfds.open_folder(str(tmp_path), 'train')
  assert folder.format == 'array_record'
  assert folder.read(2) == b'2'


def test_a_stray_file_does_not_hide_a_whole_split(tmp_path):
  write(tmp_path, 'tfrecord', [2, 1])
  for file in ('d-train.array_record-00000-of-00002', 'd-train.tfrecord-1'):
    (tmp_path / file).write_bytes(b'')
  assert tfds.open_folder(str(tmp_path), 'train').read(2) == b'2'


@pytest.mark.parametrize(
  'name',
  [
    '{SPLIT}/data.{FILEFORMAT}-{SHARD_INDEX}',
    '{DATASET}-{SPLIT}-combined.{FILEFORMAT}-{SHARD_X_OF_Y}',
    '{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}%json',
    '{SPLIT}-100%-{SHARD_X_OF_Y}.{FILEFORMAT}%json',
  ],
)
def test_files_are_named_by_the_template(tmp_path, name):
  write(tmp_path, 'tfrecord', [1, 2], name=name)
  folder = tfds.open_folder(str(tmp_path), 'train')
  assert [folder.read(i) for i in range(3)] == [b'0', b'1', b'2']


def test_a_template_stays_in_the_folder(tmp_path):
  write(tmp_path / 'a', 'tfrecord', [1])
  about = {'name': 'train', 'shardLengths': ['1']}
  about['filepathTemplate'] = (
    '../a/{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_INDEX}'
  )
  describe(tmp_path / 'a', [about])
  with pytest.raises(ValueError, match=r'names .*, which is outside'):
    tfds.open_folder(str(tmp_path / 'a'), 'train')


def test_lengths_may_be_numbers(tmp_path):
  """In JSON, whoever reads a protocol buffer takes them for its text."""
  write(tmp_path, 'tfrecord', [1, 2])
  describe(tmp_path, [{'name': 'train', 'shardLengths': [1, '2']}])
  assert len(tfds.open_folder(str(tmp_path), 'train')) == 3
  for wrong in (1.5, None, [1]):
    describe(tmp_path, [{'name': 'train', 'shardLengths': [1, wrong]}])
    with pytest.raises(
      ValueError, match='has lengths of shards that are no num'
    ):
      tfds.open_folder(str(tmp_path), 'train')


def test_a_template_without_a_shard_is_told(tmp_path):
  """One file would be read as each of them."""
  write(tmp_path, 'tfrecord', [2, 2], name='{DATASET}-{SPLIT}.{FILEFORMAT}')
  with pytest.raises(ValueError, match='gives 2 shards the name of one file'):
    tfds.open_folder(str(tmp_path), 'train')


def test_a_split_that_was_not_written_refuses_itself_alone(tmp_path):
  write(tmp_path, 'tfrecord', [1])
  whole = {'name': 'train', 'shardLengths': ['1']}
  describe(tmp_path, [whole, {'name': 'test', 'numBytes': '0'}])
  assert tfds.open_folder(str(tmp_path), 'train').read(0) == b'0'
  with pytest.raises(ValueError, match="split 'test' lacks shardLengths: it"):
    tfds.open_folder(str(tmp_path), 'test')


@pytest.mark.parametrize('kind', ['parquet', 'riegeli'])
def test_other_formats_are_named(tmp_path, kind):
  whole = {'name': 'train', 'shardLengths': ['1']}
  describe(tmp_path, [whole], fileFormat=kind)
  (tmp_path / f'd-train.{kind}-00000-of-00001').write_bytes(b'x')
  with pytest.raises(
    ValueError, match=f'is stored as {kind}, and tfrecord and'
  ):
    tfds.open_folder(str(tmp_path), 'train')


def test_any_record_of_a_gzipped_file(tmp_path, monkeypatch):
  monkeypatch.setattr(gzipped, '_CHUNK', 100)
  monkeypatch.setattr(gzipped, '_APART', 10_000)
  write(tmp_path, 'tfrecord', [3, 40], packed=True)
  folder = tfds.open_folder(str(tmp_path), 'train')
  # Records that do not pack, of more than a chunk, in two streams.
  rng = np.random.default_rng(0)
  records = [rng.bytes(int(n)) for n in rng.integers(0, 3000, 40)]
  parts = [b''.join(map(framed, part)) for part in (records[:9], records[9:])]
  folder.files[1].write_bytes(b''.join(map(gzip.compress, parts)))
  order = rng.permutation(40).tolist() + list(range(40))
  assert [folder.read(3 + i) for i in order] == [records[i] for i in order]
  assert folder.read(1) == b'1'


@pytest.mark.parametrize('cut', [1, 9, 200, 2000])
def test_a_truncated_or_damaged_gzip_is_a_bad_record(tmp_path, cut):
  folder = tfds.open_folder(
    str(write(tmp_path, 'tfrecord', [2], packed=True)), 'train'
  )
  data = framed(np.random.default_rng(0).bytes(1500)) * 2
  whole = gzip.compress(data)
  folder.files[0].write_bytes(whole[:-cut])
  with pytest.raises(BadRecord, match='truncated'):
    folder.read(0)


def test_a_record_cut_before_it_was_gzipped_is_a_bad_record(tmp_path):
  folder = tfds.open_folder(
    str(write(tmp_path, 'tfrecord', [2], packed=True)), 'train'
  )
  data = framed(b'abc') + framed(b'defg')[:-5]
  folder.files[0].write_bytes(gzip.compress(data))
  with pytest.raises(BadRecord, match='a record at byte 19 goes on'):
    folder.read(0)
  other = bytearray(gzip.compress(framed(b'abc' * 99)))
  other[20:24] = b'\xff' * 4
  (tmp_path / 'other').write_bytes(other)
  with pytest.raises(RuntimeError, match='damaged gzip'):
    tfrecord.read(tmp_path / 'other', 0)


def test_a_record_whose_length_looks_like_gzip(tmp_path):
  """Of 559,903 bytes: its length begins as gzip does."""
  folder = tfds.open_folder(str(write(tmp_path, 'tfrecord', [1])), 'train')
  record, length = b'x' * 559_903, struct.pack('<Q', 559_903)
  check = google_crc32c.value(length)
  masked = ((check >> 15 | check << 17) + 0xA282EAD8) & 0xFFFFFFFF
  data = length + struct.pack('<I', masked) + record + b'sums'
  assert gzipped.is_gzip(data)
  folder.files[0].write_bytes(data)
  assert folder.read(0) == record


def test_what_a_folder_lacks_is_told(tmp_path):
  with pytest.raises(ValueError, match=r'no dataset_info\.json: give'):
    tfds.open_folder(str(tmp_path), 'train')
  write(tmp_path, 'tfrecord', [1, 1])
  with pytest.raises(ValueError, match=r"no split 'test' with .* \['train'\]"):
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
  with pytest.raises(
    ValueError, match=r'2 shards, found 1 files as .*tfrecord'
  ):
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


def test_pixels_are_numbers_of_eight_bits():
  """Those of 128 or more are two bytes in a record."""
  numbers = [0, 127, 128, 255, 255, 3, 200]
  packed = b''.join(
    bytes([n]) if n < 128 else bytes([n & 127 | 128, n >> 7]) for n in numbers
  )

  def record(data):
    value = b'\x1a' + bytes([len(data) + 2]) + b'\x0a' + bytes([len(data)])
    feature = b'\x0a\x01p\x12' + bytes([len(data) + 4]) + value + data
    entries = b'\x0a' + bytes([len(feature)]) + feature
    return b'\x0a' + bytes([len(entries)]) + entries

  found = tfds.features(record(packed), ['p'], pixels=['p'])['p']
  assert (found.dtype, found.tolist()) == (np.uint8, numbers)
  assert tfds.features(record(packed), ['p'])['p'].tolist() == numbers
  # 256 and 300; a number that does not end.
  for wrong in (b'\x80\x02', b'\xac\x02', b'\x05\x80'):
    with pytest.raises(BadRecord, match='no pixels of 8 bits'):
      tfds.features(record(wrong), ['p'], pixels=['p'])
  integers = bytes.fromhex('0a0d 0a0b 0a016e 1206 1a04 0805 0807')
  found = tfds.features(integers, ['n'], pixels=['n'])['n']
  assert (found.dtype, found.tolist()) == (np.uint8, [5, 7])


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
