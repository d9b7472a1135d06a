import dataclasses
import struct
import zlib

import msgpack
import numpy as np
import pytest

from data import video
from data.formats import record
from data.source import BadRecord


def test_parse_takes_back_what_pack_gave(film_record):
  again = record.parse(record.pack(film_record))
  np.testing.assert_array_equal(again.packets, film_record.packets)
  for name in ('source', 'name', 'start', 'fps', 'extradata'):
    assert getattr(again, name) == getattr(film_record, name)
  assert bytes(again.payload) == bytes(film_record.payload)
  assert again.frames == 50


@pytest.mark.parametrize('place', [20, -1])
def test_one_changed_byte_is_noticed(film_record, place):
  data = bytearray(record.pack(film_record))
  data[place] ^= 1
  with pytest.raises(BadRecord, match='checksum'):
    record.parse(bytes(data))


@pytest.mark.parametrize('data', [b'', b'short', b'x' * 1000])
def test_other_bytes_are_no_record(data):
  with pytest.raises(BadRecord, match='not a record'):
    record.parse(data)


def forged(film_record, **changes):
  """What `pack` would write, with other fields, and a checksum that holds."""
  data = record.pack(film_record)
  length = struct.unpack_from('<4sI', data)[1]
  header = msgpack.unpackb(data[12 : 12 + length]) | changes
  header = msgpack.packb({k: v for k, v in header.items() if v is not None})
  body = header + data[12 + length :]
  return struct.pack('<4sII', b'4DV1', len(header), zlib.crc32(body)) + body


@pytest.mark.parametrize(
  'changes',
  [
    {'fps': [1, 0]},
    {'fps': 30},
    {'height': -2},
    {'height': 2**20, 'width': 2**20},
    {'start': 'x'},
    {'name': None},
    {'another': 1},
    {'packets': b'odd'},
    {'packets': b''},
    {'packets': bytes(record.PACKET.itemsize)},  # no keyframe
    {'packets': np.array((9, 2**31, 0, 1, 0), record.PACKET).tobytes()},
    {'packets': np.array((0, 9, 7, 1, 0), record.PACKET).tobytes()},
  ],
  ids=lambda x: str(x)[:30],
)
def test_a_header_that_is_wrong_is_a_bad_record(film_record, changes):
  assert record.parse(forged(film_record)).frames == 50
  with pytest.raises(BadRecord, match='whose header is wrong'):
    record.parse(forged(film_record, **changes))


def test_a_header_that_is_none_is_a_bad_record():
  for body in (b'\x93', b'\x91' * 10**5, b'\xdd\xff\xff\xff\xff', b'\x01', b''):
    prefix = struct.pack('<4sII', b'4DV1', len(body), zlib.crc32(body))
    with pytest.raises(BadRecord, match='whose header is wrong'):
      record.parse(prefix + body)


@pytest.mark.parametrize('height', [2, 16, 512])
def test_pictures_of_another_size_than_the_header_says(film_record, height):
  """Parameter sets of some bytes may ask for any memory."""
  other = dataclasses.replace(film_record, height=height)
  with pytest.raises(BadRecord):
    video.decode(other, np.arange(2))
