"""Whether a file ends before the end that it announces.

FFmpeg just stops where the bytes do. Times do not tell: the last picture may
stay for long, sound may go on, clocks start anywhere. So the sizes that
containers write of themselves are compared with that of the file.
"""

import io
import os

from data.remote import Path

_SEGMENT = b'\x18\x53\x80\x67'  # of Matroska and WebM
_EBML = b'\x1a\x45\xdf\xa3'
_BOXES = {  # that files are made of
  *(b'ftyp', b'moov', b'mdat', b'free', b'skip', b'wide', b'styp', b'sidx'),
  *(b'moof', b'mfra', b'uuid', b'meta', b'udta', b'pnot', b'emsg', b'prft'),
}
_MOST = 10_000  # boxes that are looked at
_TS, _SYNC = 188, 0x47  # of the packets of a transport stream
_FLV_TAG = 15  # bytes around what a tag holds


def missing(source: Path | bytes) -> int:
  """Bytes that are announced, and not there: 0 if the file is whole.

  Known of mp4 and mov, Matroska and WebM, avi and flv; of transport streams
  that end within a packet; of others it is 0.

  Args:
    source: path of a file, or its bytes.
  """
  if isinstance(source, bytes):
    return _missing(io.BytesIO(source), len(source))
  with source.open('rb') as file:
    return _missing(file, os.fstat(file.fileno()).st_size)


def _missing(file: io.BufferedIOBase, size: int) -> int:
  head = file.read(12)
  if head[:4] == _EBML:
    end = _matroska_end(file)
  elif head[:4] == b'RIFF':
    end = 8 + int.from_bytes(head[4:8], 'little')
  elif head[4:8] in _BOXES:
    end = _boxes_end(file, size)
  elif head[:4] == b'FLV\x01':
    end = _tags_end(file, size)
  elif head[:1] == bytes([_SYNC]) and _is_transport(file, size):
    end = -(-size // _TS) * _TS
  else:
    return 0
  return max(0, end - size)


def _boxes_end(file: io.BufferedIOBase, size: int) -> int:
  """Where the last box of an mp4 ends (ISO/IEC 14496-12, 4.2)."""
  at = 0
  for _ in range(_MOST):
    file.seek(at)
    head = file.read(16)
    if len(head) < 8 or head[4:8] not in _BOXES:
      return at  # what follows may be anything
    length = int.from_bytes(head[:4], 'big')
    if length == 1:  # a length of 64 bits follows
      length = int.from_bytes(head[8:16], 'big')
    if length < 8:  # 0: to the end of the file; others are no box
      return at
    at += length
    if at >= size:
      return at
  return at


def _tags_end(file: io.BufferedIOBase, size: int) -> int:
  """Where the last tag of an flv ends, with the length that follows it."""
  file.seek(5)
  at = int.from_bytes(file.read(4), 'big') + 4
  while at < size:
    file.seek(at)
    head = file.read(4)
    if len(head) == 4 and head[0] & 31 not in (8, 9, 18):
      return at  # what follows may be anything
    # Of a tag whose length is cut off something is missing.
    at += _FLV_TAG + int.from_bytes(head[1:4], 'big')
  return at


def _is_transport(file: io.BufferedIOBase, size: int) -> bool:
  """Whether packets of 188 bytes follow each other, up to the last one."""
  file.seek(0)
  starts = file.read(8 * _TS)[::_TS]
  file.seek(size - size % _TS)
  starts += file.read(1)
  return len(starts) > 2 and set(starts) == {_SYNC}


def _matroska_end(file: io.BufferedIOBase) -> int:
  """Where the segment ends (RFC 8794); 0 if it does not say."""
  file.seek(4)
  at = 4
  header, width = _length(file.read(8))
  at += width + header
  file.seek(at)
  head = file.read(12)
  if head[:4] != _SEGMENT:
    return 0
  length, width = _length(head[4:])
  # All ones: written before the end was known, as by live encoders.
  if length == 2 ** (7 * width) - 1:
    return 0
  return at + 4 + width + length


def _length(data: bytes) -> tuple[int, int]:
  """A number of variable width, and that width in bytes."""
  width = 9 - data[0].bit_length() if data and data[0] else 1
  value = int.from_bytes(data[:width], 'big')
  return value & (2 ** (7 * width) - 1), width
