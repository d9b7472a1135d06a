"""A tf.train.Example, parsed without TensorFlow.

It is a protocol buffer of named lists (protobuf.dev/programming-guides/
encoding). Only the wanted lists are taken from it; the rest, most of the bytes,
is skipped. So it is walked by hand: the library parses a record as a whole,
which takes 2 to 5 times as long where pictures are most of it
(`python -m data.bench.protobuf`). Lists of thousands of integers it would parse
faster; no reader asks for any but pixels, which are taken as they lie.
"""

import itertools
import struct
from collections.abc import Collection, Iterator, Sequence

import numpy as np

from base.names import did_you_mean
from data.source import BadRecord

Feature = list[bytes] | np.ndarray

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


def features(
  record: bytes, names: Sequence[str], pixels: Collection[str] = ()
) -> dict[str, Feature]:
  """The lists `names` of a tf.train.Example.

  Bytes are a list; floats and integers are arrays [n] of float32 or int64.
  Of a ragged feature there are NAME/ragged_flat_values and
  NAME/ragged_row_lengths_0.

  Args:
    record: the Example.
    names: of the lists.
    pixels: those of them whose integers are 0 to 255, given as uint8: there
      may be millions.

  Raises:
    BadRecord: a name that it lacks, or not an Example.
  """
  wanted, found = {name.encode(): name for name in names}, {}
  there = []
  try:
    for _, entries in fields(memoryview(record)):  # Example.features
      for _, entry in fields(entries):  # Features.feature, a map
        (_, key), *value = fields(entry)
        there.append(bytes(key))
        name = wanted.get(there[-1])
        if name is not None:
          found[name] = _feature(value[0][1], name in pixels)
  except (IndexError, ValueError, TypeError, struct.error) as error:
    raise BadRecord(f'not a tf.train.Example: {error}') from error
  missing = sorted(set(names) - found.keys())
  if missing:
    known = [key.decode(errors='replace') for key in there]
    meant = did_you_mean(missing[0], known)
    raise BadRecord(f'no feature {", ".join(missing)}{meant}')
  return found


def _feature(message: memoryview, is_pixels: bool) -> Feature:
  """What a Feature holds: the number of its field is its type."""
  ((kind, values),) = fields(message)
  items = [item for _, item in fields(values)]
  if kind == 1:
    return [bytes(item) for item in items]
  if kind == 2:  # packed into one item, or one by one
    return np.frombuffer(b''.join(items), '<f4')
  if is_pixels:
    return np.concatenate([np.zeros(0, np.uint8), *map(_octets, items)])
  numbers = itertools.chain.from_iterable(
    [item] if isinstance(item, int) else _varints(item) for item in items
  )
  return np.array([n - (n >> 63 << 64) for n in numbers], np.int64)


def _octets(packed: memoryview | int) -> np.ndarray:
  """Numbers of 0 to 255 in groups of seven bits.

  One of 128 or more has two bytes: the first, whose highest bit says that
  another follows, is the number itself; the other is 1.
  """
  if isinstance(packed, int):
    packed = bytes([packed])  # not coded: of a list that is not packed
    return np.frombuffer(packed, np.uint8)
  data = np.frombuffer(packed, np.uint8)
  follows = np.zeros(len(data) + 1, bool)
  np.greater_equal(data, 128, out=follows[1:])
  # The last has nothing behind it; else what follows must be 1.
  if follows[-1] or (data[follows[:-1]] != 1).any():
    raise ValueError('numbers that are no pixels of 8 bits')
  return data[~follows[:-1]]


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
