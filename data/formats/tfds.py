"""Records of a folder that TensorFlow Datasets wrote, read without TensorFlow.

The folder is that of one version, such as movi_e/256x256/1.0.0:

| file | what |
|---|---|
| dataset_info.json | splits, and how many records are in each shard |
| NAME-SPLIT.array_record-00000-of-00512 | records: random access |
| NAME-SPLIT.tfrecord-00000-of-00512 | records, one after the other |

A record is a tf.train.Example: a protocol buffer of named lists. Only the
wanted lists are taken from it; the rest, most of the bytes, is skipped.
"""

import bisect
import dataclasses
import functools
import itertools
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from array_record.python import array_record_module

from base import files
from data.formats import tfrecord
from data.source import BadRecord

Feature = list[bytes] | np.ndarray

_FORMATS = ('array_record', 'tfrecord')  # the first is the better one
_OPEN_FILES = 128  # per process; a split may have more than that
# Of protocol buffers (protobuf.dev/programming-guides/encoding), walked by
# hand: the library parses a record as a whole, which takes 2 to 5 times as long
# where pictures are most of it (`python -m data.bench.protobuf`). Lists of
# thousands of integers it would parse faster; no reader asks for any.
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


@dataclasses.dataclass(frozen=True)
class Folder:
  """One split. Plain values: cheap to send to another process."""

  files: tuple[Path, ...]
  ends: tuple[int, ...]  # records up to the end of each file

  def __len__(self) -> int:
    """Number of records."""
    return self.ends[-1]

  def read(self, index: int) -> bytes:
    """The bytes of one record.

    Raises:
      BadRecord: its file is damaged or gone.
    """
    which = bisect.bisect_right(self.ends, index)
    start = self.ends[which - 1] if which else 0
    file, position = self.files[which], index - start
    read = _read_array if _format(file) == 'array_record' else _read_tfrecord
    try:
      return read(file, position)
    except (RuntimeError, IndexError, OSError) as error:
      raise BadRecord(f'record {position} of {file}: {error}') from error


def open_folder(path: str, split: str) -> Folder:
  """The records of a split.

  The ArrayRecord files, if there are any; else the TFRecord files. Where the
  records begin in a TFRecord file is found by going through it once in each
  process, which reads some bytes per record.

  Raises:
    ValueError: not such a folder, no such split, or shards are missing.
  """
  folder = Path(path).expanduser()
  info = folder / 'dataset_info.json'
  if not info.is_file():
    raise ValueError(
      f'{folder} has no dataset_info.json: give the folder of a version, as '
      'TensorFlow Datasets names it: .../movi_e/256x256/1.0.0'
    )
  kind = {'splits': [{'name': str, 'shardLengths': [str]}]}
  listed = files.read_json(info, kind, 'copy it again')['splits']
  try:
    # In JSON, protocol buffers have whole numbers of 64 bits as text.
    splits = {
      each['name']: [*map(int, each['shardLengths'])] for each in listed
    }
    least = min(min(lengths, default=0) for lengths in splits.values())
    if least < 0:
      raise ValueError(f'{least} records')
  except ValueError as error:
    raise ValueError(
      f'{info} has lengths of shards that are no numbers ({error}): it is '
      'damaged; copy it again'
    ) from error
  if not sum(splits.get(split, ())):
    raise ValueError(
      f'{folder} has no split {split!r}: it has {sorted(splits)}.'
    )
  lengths = splits[split]
  for kind in _FORMATS:
    found = sorted(folder.glob(f'*-{split}.{kind}-*-of-{len(lengths):05d}'))
    if len(found) == len(lengths):
      return Folder(tuple(found), tuple(itertools.accumulate(lengths)))
    if found:
      break
  raise ValueError(
    f'{folder}: split {split!r} has {len(lengths)} shards, found {len(found)} '
    f'files *-{split}.{kind}-*. Copy the missing ones.'
  )


def _format(file: Path) -> str:
  return next(kind for kind in _FORMATS if f'.{kind}-' in file.name)


def _read_array(file: Path, position: int) -> bytes:
  return _reader(file).read([position])[0]


@functools.lru_cache(maxsize=_OPEN_FILES)
def _reader(file: Path) -> array_record_module.ArrayRecordReader:
  if not file.exists():
    raise FileNotFoundError('no such file')
  return array_record_module.ArrayRecordReader(str(file))


def _read_tfrecord(file: Path, position: int) -> bytes:
  start, size = tfrecord.records(file)[position]
  with file.open('rb') as opened:
    opened.seek(start)
    return opened.read(size)


def features(record: bytes, names: Sequence[str]) -> dict[str, Feature]:
  """The lists `names` of a tf.train.Example.

  Bytes are a list; floats and integers are arrays [n] of float32 or int64.
  Of a ragged feature there are NAME/ragged_flat_values and
  NAME/ragged_row_lengths_0.

  Raises:
    BadRecord: a name that it lacks, or not an Example.
  """
  wanted, found = {name.encode(): name for name in names}, {}
  try:
    for _, entries in fields(memoryview(record)):  # Example.features
      for _, entry in fields(entries):  # Features.feature, a map
        (_, key), *value = fields(entry)
        if bytes(key) in wanted:
          found[wanted[bytes(key)]] = _feature(value[0][1])
  except (IndexError, ValueError, TypeError, struct.error) as error:
    raise BadRecord(f'not a tf.train.Example: {error}') from error
  missing = sorted(set(names) - found.keys())
  if missing:
    raise BadRecord(f'no feature {", ".join(missing)}')
  return found


def _feature(message: memoryview) -> Feature:
  """What a Feature holds: the number of its field is its type."""
  ((kind, values),) = fields(message)
  items = [item for _, item in fields(values)]
  if kind == 1:
    return [bytes(item) for item in items]
  if kind == 2:  # packed into one item, or one by one
    return np.frombuffer(b''.join(items), '<f4')
  numbers = itertools.chain.from_iterable(
    [item] if isinstance(item, int) else _varints(item) for item in items
  )
  return np.array([n - (n >> 63 << 64) for n in numbers], np.int64)


def fields(message: memoryview) -> Iterator[tuple[int, memoryview | int]]:
  """(number, value) of each field of a message."""
  at = 0
  while at < len(message):
    tag, at = _varint(message, at)
    number, kind = tag >> 3, tag & 7
    if kind == _VARINT:
      value, at = _varint(message, at)
      yield number, value
      continue
    if kind == _BYTES:
      size, at = _varint(message, at)
    elif kind in (_FIXED32, _FIXED64):
      size = 4 if kind == _FIXED32 else 8
    else:
      raise ValueError(f'wire type {kind} at byte {at}')
    if at + size > len(message):
      raise ValueError(f'it ends within a field at byte {at}')
    yield number, message[at : at + size]
    at += size


def _varints(packed: memoryview) -> Iterator[int]:
  at = 0
  while at < len(packed):
    value, at = _varint(packed, at)
    yield value


def _varint(message: memoryview, at: int) -> tuple[int, int]:
  """An integer in groups of seven bits, and where it ends."""
  value, shift = 0, 0
  while message[at] & 0x80:
    if shift == 63:
      raise ValueError(f'a number of more than 64 bits at byte {at}')
    value |= (message[at] & 0x7F) << shift
    at, shift = at + 1, shift + 7
  value |= message[at] << shift
  if value >> 64:
    raise ValueError(f'a number of more than 64 bits at byte {at}')
  return value, at + 1
