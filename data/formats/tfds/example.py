"""A tf.train.Example, parsed without TensorFlow.

It is a protocol buffer of named lists (protobuf.dev/programming-guides/
encoding). Only the wanted lists are taken from it; the rest, most of the bytes,
is skipped. So it is walked by hand: the library parses a record as a whole,
which takes 2 to 5 times as long where pictures are most of it
(`python -m data.bench.protobuf`). Lists of thousands of integers it would parse
faster; no reader asks for any.
"""

import itertools
import struct
from collections.abc import Iterator, Sequence

import numpy as np

from data.source import BadRecord

Feature = list[bytes] | np.ndarray

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


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
