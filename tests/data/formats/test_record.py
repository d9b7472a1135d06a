import numpy as np
import pytest

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
