"""TFRecord files: where their records lie, read without TensorFlow."""

import functools
from pathlib import Path


@functools.lru_cache(maxsize=4096)
def records(file: Path) -> tuple[tuple[int, int], ...]:
  """(offset, bytes) of each record of an uncompressed TFRecord file.

  Layout: length (uint64, little endian), checksum of the length (uint32), the
  record, its checksum. Checksums are not compared.

  Raises:
    OSError: no such file.
    RuntimeError: the file ends within a record.
  """
  size, at, found = file.stat().st_size, 0, []
  with file.open('rb') as opened:
    while at < size:
      opened.seek(at)
      header = opened.read(12)
      length = int.from_bytes(header[:8], 'little')
      if len(header) < 12 or at + length + 16 > size:
        raise RuntimeError(f'truncated: a record at byte {at} goes on')
      found.append((at + 12, length))
      at += length + 16
  return tuple(found)
