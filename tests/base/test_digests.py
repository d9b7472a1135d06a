"""Sums of files are of all their bytes."""

import zlib

import google_crc32c
import pytest

from base import digests


@pytest.mark.parametrize('size', [0, 4, 7, 12])
def test_a_file_that_is_read_in_pieces_has_its_own_sums(
  tmp_path, monkeypatch, size
):
  monkeypatch.setattr(digests, '_BLOCK', 4)
  text = b'abcdefghijkl'[:size]
  (tmp_path / 'file').write_bytes(text)
  assert digests.of(tmp_path, ['file', 'none']) == {
    'file': {
      'bytes': size,
      'crc32': f'{zlib.crc32(text):08x}',
      'crc32c': f'{google_crc32c.value(text):08x}',
    }
  }


def test_the_same_bytes_have_all_sums_that_both_know():
  one = {'bytes': 4, 'crc32c': 'a', 'crc32': 'b'}
  assert digests.same(one, {'bytes': 4, 'crc32c': 'a', 'md5': 'c'})
  assert not digests.same(one, {'bytes': 4, 'crc32c': 'a', 'crc32': 'c'})
