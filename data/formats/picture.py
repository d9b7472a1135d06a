"""PNG and JPEG, decoded once it is known that they are not too large.

A file of some megabytes may say that it is a picture of gigabytes.
"""

import struct

import cv2
import numpy as np

from data.source import BadRecord

_PNG, _JPEG = b'\x89PNG\r\n\x1a\n', b'\xff\xd8'
_HEAD = 33  # bytes of a PNG up to the end of its first chunk
_PIXELS = 2**26  # at most, 8192 x 8192
# Start of frame, in each of the ways that JPEG codes; the other numbers of
# these sixteen are of tables.
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


def decode(data: bytes, how: int) -> np.ndarray:
  """A picture as OpenCV has it, [h w] or [h w c], blue first.

  Args:
    data: the file.
    how: flags of cv2.imdecode.

  Raises:
    BadRecord: neither PNG nor JPEG, damaged, or larger than any that is read.
  """
  height, width = size(data)
  if height * width > _PIXELS:
    raise BadRecord(
      f'a picture of {height} x {width} pixels in {len(data)} bytes, at most '
      f'{_PIXELS} are read'
    )
  found = None
  if height * width:
    found = cv2.imdecode(np.frombuffer(data, np.uint8), how)
  if found is None:
    raise BadRecord(f'{len(data)} bytes are not a picture, or a damaged one')
  return found


def size(data: bytes) -> tuple[int, int]:
  """Height and width that a PNG or JPEG says it has; 0, 0: it is damaged."""
  if data.startswith(_PNG):
    # Of a chunk that would end behind the file OpenCV takes the memory first.
    at = len(_PNG)
    while at + 12 <= len(data) and data[at + 4 : at + 8] != b'IEND':
      at += 12 + int.from_bytes(data[at : at + 4])
    if at + 12 > len(data) or at < _HEAD:
      return 0, 0
    width, height = struct.unpack_from('>II', data, 16)
    return height, width
  at = 2 if data.startswith(_JPEG) else len(data)
  while at + 9 <= len(data) and data[at] == 0xFF:
    marker, length = data[at + 1], int.from_bytes(data[at + 2 : at + 4])
    if marker == 0xFF:  # bytes to fill up
      at += 1
      continue
    if marker in _FRAMES:
      return struct.unpack_from('>HH', data, at + 5)
    at += 2 + length
  return 0, 0
