"""Any part of a gzipped file, without unpacking what is before it each time.

A gzip stream can only be read from its start, but the state of who reads it can
be kept: every few megabytes a copy of it is, of about 50 kB.
"""

import bisect
import dataclasses
import zlib
from typing import Any

from data.remote import Path

_CHUNK = 2**16  # packed bytes that are read at a time
_APART = 2**22  # unpacked bytes between kept states (ours): 1% of the data
_GZIP = 31  # zlib's word for a window of 32 kB in gzip's frame
_MAGIC = b'\x1f\x8b\x08'


def is_gzip(start: bytes) -> bool:
  """Whether a file that starts so is gzip."""
  return start.startswith(_MAGIC)


@dataclasses.dataclass
class _State:
  """Where a reader is."""

  unpacked: int  # bytes behind it
  packed: int
  stream: Any  # zlib's


class Gzipped:
  """A file that one thread reads; it is open while it is read from."""

  def __init__(self, file: Path):
    self._file = file
    start = _State(0, 0, zlib.decompressobj(_GZIP))
    self._kept = [start]
    self._now, self._last = self._copy(start), (0, b'')
    self.size: int | None = None  # unpacked bytes; known once it was read

  def read(self, start: int, size: int) -> bytes:
    """Unpacked bytes from `start` on; fewer at the end.

    Raises:
      RuntimeError: damaged or truncated.
    """
    before, data = self._last
    if not before <= start <= self._now.unpacked:
      place = bisect.bisect_right([s.unpacked for s in self._kept], start) - 1
      nearest = self._kept[place]
      # On from where it is, if that is nearer.
      if not nearest.unpacked < self._now.unpacked <= start:
        self._now = self._copy(nearest)
      before, data = self._now.unpacked, b''
    parts = []
    while True:
      parts.append(data[max(0, start - before) : start + size - before])
      if self._now.unpacked >= start + size:
        break
      before = self._now.unpacked
      data = self._step()
      self._last = before, data
      if not data:
        break
    return b''.join(parts)

  def _step(self) -> bytes:
    """Unpacks one chunk; b'' at the end."""
    now, data = self._now, b''
    while not data:
      with self._file.open('rb') as opened:
        opened.seek(now.packed)
        packed = opened.read(_CHUNK)
      if not packed:
        if not now.stream.eof:
          raise RuntimeError('truncated: its gzip stream goes on')
        self.size = now.unpacked
        return b''
      if now.stream.eof:  # another stream follows
        now.stream = zlib.decompressobj(_GZIP)
      try:
        data = now.stream.decompress(packed)
      except zlib.error as error:
        raise RuntimeError(f'damaged gzip: {error}') from error
      now.packed += len(packed) - len(now.stream.unused_data)
      now.unpacked += len(data)
    if now.unpacked - self._kept[-1].unpacked >= _APART:
      self._kept.append(self._copy(now))
    return data

  def _copy(self, state: _State) -> _State:
    return dataclasses.replace(state, stream=state.stream.copy())
