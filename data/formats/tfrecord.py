"""TFRecord files: where their records lie, read without TensorFlow."""

import functools
from collections.abc import Callable, Iterator

import google_crc32c
import numpy as np

from data import remote
from data.formats import gzipped
from data.remote import Path

_HEADER, _FOOTER = 12, 4  # bytes: length and its checksum; that of the record
_MASK = 0xA282EAD8  # of checksums, TensorFlow's
_UNPACKED = 64  # gzipped files that are held open in a process


@functools.lru_cache(maxsize=4096)
def records(file: Path) -> tuple[tuple[int, int], ...]:
  """(offset, bytes) of each record of a TFRecord file; unpacked, if gzipped.

  Layout: length (uint64, little endian), checksum of the length (uint32), the
  record, its checksum. Checksums are not compared.

  Raises:
    OSError: no such file.
    RuntimeError: the file ends within a record.
  """
  if _is_gzipped(file):
    return _records(_opened(file).read, None, file)
  with file.open('rb') as opened:

    def read(start: int, size: int) -> bytes:
      opened.seek(start)
      return opened.read(size)

    return _records(read, file.stat().st_size, file)


def _records(
  read: Callable[[int, int], bytes], size: int | None, file: Path
) -> tuple[tuple[int, int], ...]:
  at, found = 0, []
  while header := read(at, _HEADER):
    length = int.from_bytes(header[:8], 'little')
    end = at + _HEADER + length + _FOOTER
    # Of a gzipped file the size is known once it has been read.
    if len(header) < _HEADER or (size is not None and end > size):
      raise RuntimeError(f'truncated: a record at byte {at} goes on')
    found.append((at + _HEADER, length))
    at = end
  if size is None and at != _opened(file).size:
    at = found[-1][0] - _HEADER
    raise RuntimeError(f'truncated: a record at byte {at} goes on')
  return tuple(found)


def read(file: Path, position: int) -> bytes:
  """The bytes of one record.

  Raises:
    IndexError: there are fewer.
    OSError: no such file.
    RuntimeError: the file ends within a record, or is damaged.
  """
  start, size = records(file)[position]
  if _is_gzipped(file):
    return _opened(file).read(start, size)
  with file.open('rb') as opened:
    opened.seek(start)
    return opened.read(size)


def views(file: Path) -> Iterator[memoryview]:
  """Each record of a file, which is mapped: what is skipped is not read.

  But for a gzipped one, which is unpacked.

  Raises:
    As `read`.
  """
  spans = records(file)
  if _is_gzipped(file):
    for start, size in spans:
      yield memoryview(_opened(file).read(start, size))
    return
  with remote.local(file) as copy:
    mapped = memoryview(np.memmap(copy, np.uint8, 'r'))
  for start, size in spans:
    yield mapped[start : start + size]


@functools.lru_cache(maxsize=_UNPACKED)
def _opened(file: Path) -> gzipped.Gzipped:
  return gzipped.Gzipped(file)


@functools.lru_cache(maxsize=4096)
def _is_gzipped(file: Path) -> bool:
  with file.open('rb') as opened:
    start = opened.read(_HEADER)
  if not gzipped.is_gzip(start):
    return False
  # A record of 559,903 bytes begins so too; then its length has its checksum.
  plain = google_crc32c.value(start[:8])
  masked = ((plain >> 15 | plain << 17) + _MASK) & 0xFFFFFFFF
  return masked.to_bytes(4, 'little') != start[8:_HEADER]
