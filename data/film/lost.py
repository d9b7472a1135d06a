"""Whether pictures that H.264 refers to are missing between two packets.

FFmpeg puts a copy of another picture where one is missing, and says nothing:
what refers to it is smeared up to the next keyframe. A slice has the number of
its picture among those that are referred to (ITU-T H.264, 7.3.3, 7.4.3): it is
one more than, or the same as, that of the last of them.
"""

import av

_SPS, _SLICES, _IDR = 7, (1, 5), 5
# Profiles whose parameter set begins with the format of chroma (7.3.2.1.1).
_HIGH = frozenset({100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134})
_HEAD = 32  # bytes of a slice's header that are looked at


class Numbers:
  """Follows the numbers of a stream's pictures, packet by packet.

  Attributes:
    fields: a packet may hold one of the two fields of a frame.
  """

  def __init__(self, codec: av.VideoCodecContext):
    self.fields = False
    self._size = 0  # bytes of a unit's length, 0: start codes
    self._bits = 0  # of a number; 0: unknown
    self._plane = False  # slices name their colour plane
    self._gaps = False  # numbers may be missing
    self._last = None  # number of the last picture that may be referred to
    extra = bytes(codec.extradata or b'')
    if extra[:1] == b'\x01' and len(extra) > 8:
      self._size = 1 + (extra[4] & 3)
      self._learn(extra[8 : 8 + int.from_bytes(extra[6:8], 'big')])
    else:
      for unit in self._units(extra):
        self._learn(unit)

  def misses(self, packet: av.Packet) -> bool:
    """Whether what this packet refers to is not there; learns its number."""
    for unit in self._units(memoryview(packet)):
      kind, used = unit[0] & 31, unit[0] & 0x60
      if kind == _SPS:
        self._learn(unit)
      elif kind in _SLICES and self._bits:
        try:
          number = self._number(unit)
        except IndexError:  # of a damaged one
          return False
        last, most = self._last, 1 << self._bits
        if used:
          self._last = number
        # A keyframe, or the end of all references, starts again at 0 or 1.
        if last is None or kind == _IDR or packet.is_keyframe or number < 2:
          return False
        return not self._gaps and (number - last) % most > 1
    return False

  def _units(self, data):
    if self._size:
      at = 0
      while at + self._size < len(data):
        begin = at + self._size
        at = begin + int.from_bytes(data[at:begin], 'big')
        if at > begin:
          yield bytes(data[begin : min(at, begin + 256)])
      return
    data = bytes(data)
    at = data.find(b'\0\0\1')
    while 0 <= at < len(data) - 3:
      yield data[at + 3 : at + 259]
      if data[at + 3] & 31 in _SLICES:
        return  # what follows is of the same picture
      at = data.find(b'\0\0\1', at + 3)

  def _learn(self, unit: bytes):
    """The parameter set; other units, and what it cannot read, are not."""
    if not unit or unit[0] & 31 != _SPS:
      return
    bits = _Bits(unit[1:])
    try:
      profile = bits.take(24) >> 16
      bits.golomb()
      self._plane = False
      if profile in _HIGH:
        if bits.golomb() == 3:
          self._plane = bool(bits.take(1))
        for _ in range(2):  # bits of luma and chroma
          bits.golomb()
        bits.take(1)
        if bits.take(1):  # lists of scales are rare, and not read
          raise IndexError
      self._bits = bits.golomb() + 4
      order = bits.golomb()
      if order == 0:
        bits.golomb()
      elif order == 1:
        bits.take(1)
        for _ in range(2):  # they are signed, of the same length
          bits.golomb()
        for _ in range(bits.golomb()):
          bits.golomb()
      bits.golomb()
      self._gaps = bool(bits.take(1))
      for _ in range(2):  # width and height
        bits.golomb()
      self.fields = not bits.take(1)
    except IndexError:
      self._bits = 0

  def _number(self, unit: bytes) -> int:
    bits = _Bits(unit[1:_HEAD])
    for _ in range(3):  # the first block, the kind, the parameter set
      bits.golomb()
    bits.take(2 * self._plane)
    return bits.take(self._bits)


class _Bits:
  """Numbers of a unit, without the bytes that keep start codes apart."""

  def __init__(self, data: bytes):
    data = data.replace(b'\0\0\3', b'\0\0')
    self._value, self._left = int.from_bytes(data, 'big'), 8 * len(data)

  def take(self, count: int) -> int:
    """So many bits."""
    self._left -= count
    if self._left < 0:
      raise IndexError
    return self._value >> self._left & ((1 << count) - 1)

  def golomb(self) -> int:
    """An unsigned number of Exp-Golomb code (9.1)."""
    zeros = 0
    while not self.take(1):
      zeros += 1
    return (1 << zeros) - 1 + self.take(zeros)
