"""One record of ingested video: a header, and a small mp4 of the chunk.

The payload is an ordinary mp4 that any player opens. The header says where
each coded frame lies in it, so that a reader needs neither demuxer nor probing,
and knows before it decodes which frames nothing else depends on.

Layout: magic, length of the header, checksum of all that follows (uint32,
little endian), header (msgpack), payload. Frames are numbered from 0 in display
order; frame i is shown i / fps seconds after the chunk's first frame. Every
chunk starts with a keyframe, groups of pictures are closed, colours are BT.601
of limited range, the picture is upright and its pixels are square.
"""

import dataclasses
import struct
import zlib
from fractions import Fraction
from typing import Any

import msgpack
import numpy as np

from base import jsons
from data.source import BadRecord

MAGIC = b'4DV1'
_PREFIX = struct.Struct('<4sII')
_PIXELS = 2**25  # of a frame, at most: those of 8K
_HEADER = {
  **{'source': str, 'name': str, 'start': jsons.Count, 'fps': [int]},
  **{'height': jsons.Count, 'width': jsons.Count},
  **{'extradata': bytes, 'packets': bytes},
}

# A row per coded frame, in decoding order.
PACKET = np.dtype(
  [
    ('offset', '<u4'),  # bytes from the start of the payload
    ('size', '<u4'),  # bytes
    ('frame', '<u2'),  # number of the frame, in display order
    ('key', 'u1'),  # decoding can start here
    ('disposable', 'u1'),  # no other frame refers to it
  ]
)


@dataclasses.dataclass(frozen=True)
class Record:
  """A chunk of one video."""

  source: str  # sha256 of the file that it comes from
  name: str  # path of that file below the folder that was ingested
  start: int  # number of the chunk's first frame in the video
  height: int  # pixels
  width: int  # pixels
  fps: Fraction
  extradata: bytes  # H.264 parameter sets, as mp4 holds them (avcC)
  packets: np.ndarray  # of PACKET, one per frame
  payload: bytes | memoryview  # mp4

  @property
  def frames(self) -> int:
    """Number of frames."""
    return len(self.packets)


def part(record: Record, begin: int, end: int) -> Record:
  """Some frames of a record as a record; they begin and end at keyframes.

  Args:
    record: the whole.
    begin: number of a keyframe.
    end: number of a keyframe, or of all frames.
  """
  frame = record.packets['frame']
  # Groups of pictures are closed: none needs a packet of another.
  packets = record.packets[(frame >= begin) & (frame < end)]
  packets['frame'] -= begin
  return dataclasses.replace(
    record, start=record.start + begin, packets=packets
  )


def pack(record: Record) -> bytes:
  """The record as bytes; `parse` takes them back."""
  header = msgpack.packb(
    {
      'source': record.source,
      'name': record.name,
      'start': record.start,
      'height': record.height,
      'width': record.width,
      'fps': [record.fps.numerator, record.fps.denominator],
      'extradata': record.extradata,
      'packets': record.packets.tobytes(),
    }
  )
  body = header + bytes(record.payload)
  return _PREFIX.pack(MAGIC, len(header), zlib.crc32(body)) + body


def parse(data: bytes) -> Record:
  """The record in `data`; its payload is a view, not a copy.

  Raises:
    BadRecord: these bytes are not a record, or not the bytes written.
  """
  if len(data) < _PREFIX.size or data[: len(MAGIC)] != MAGIC:
    raise BadRecord(
      f'not a record of ingested video: {len(data)} bytes that start with '
      f'{bytes(data[:4])!r}'
    )
  _, length, checksum = _PREFIX.unpack_from(data)
  body = memoryview(data)[_PREFIX.size :]
  # Decoders take flipped bits for pictures, and say nothing.
  if zlib.crc32(body) != checksum:
    raise BadRecord(f'checksum of a record of {len(data)} bytes differs')
  # The checksum tells damage, not whether it was written by `pack`.
  try:
    return _record(msgpack.unpackb(body[:length]), body[length:])
  except (ValueError, TypeError, msgpack.UnpackException) as error:
    raise BadRecord(f'a record whose header is wrong: {error}') from error


def _record(header: Any, payload: memoryview) -> Record:
  jsons.expect(header, _HEADER, 'it', 'ingest again')
  fps, pixels = header['fps'], header['height'] * header['width']
  if len(fps) != 2 or min(fps) < 1 or not 0 < pixels <= _PIXELS:
    raise ValueError(
      f'{header["height"]} x {header["width"]} pixels at {fps} frames a second'
    )
  packets = np.frombuffer(header['packets'], PACKET)
  ends = packets['offset'].astype(np.int64) + packets['size']
  if (
    not len(packets)
    or ends.max() > len(payload)
    or not packets['key'][0]
    or (np.sort(packets['frame']) != np.arange(len(packets))).any()
  ):
    raise ValueError(f'{len(packets)} packets that are not those of its mp4')
  known = {**header, 'fps': Fraction(*fps), 'packets': packets}
  return Record(**known, payload=payload)
