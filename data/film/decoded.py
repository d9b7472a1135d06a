"""The pictures of a stream that decode cleanly; damage is a gap between them.

A decoder shows a picture of damaged bytes, and all that refers to it, as grey
or smeared. Where it invents the damaged part of a picture from what is beside
and before it, and says so (H.264 and MPEG-1 to 4), that picture alone is left
out: what refers to it differs little; so is one that a transport stream marks
as torn. After any other error nothing is taken before the next keyframe that is
clean, and so where pictures are missing that others refer to (`lost`), and
after a keyframe of which a third is invented with no picture before it. Ours.
"""

import contextlib
from collections.abc import Iterator

import av
import numpy as np

from data.film import lost, streams
from data.film.told import Gap, Told
from data.source import BadRecord

_INVENTED = 1 / 3  # of a keyframe without a picture before it, at most
_LIKE = 8  # of 255

Frames = Iterator[tuple[av.VideoFrame, bool]]


def clean(stream: av.VideoStream, told: Told) -> Frames:
  """Each clean frame in display order, and whether damage lies before it.

  Packets that say themselves that they are damaged are decoded all the same:
  before a keyframe, at the seam of joined transport streams, they are whole.
  Frames before the start of an edit list are decoded, and not shown.

  Args:
    stream: of `opened`.
    told: gets the gaps.

  Raises:
    BadRecord: there is no clean frame.
  """
  reader = _Reader(stream, told)
  for packet, torn in _torn(_packets(stream, reader)):
    yield from reader.read(packet, torn)
  reader.finish()


class _Reader:
  """Decodes packets, and keeps account of what does not."""

  def __init__(self, stream: av.VideoStream, told: Told):
    self._stream, self._codec = stream, stream.codec_context
    self._told = told
    self._timed = not streams.is_raw(stream)
    self._base = float(stream.time_base)  # seconds
    rate = stream.guessed_rate or stream.average_rate
    self._step = float(1 / rate) if rate else 0.0
    self._numbers = None
    if self._codec.name == 'h264':
      self._numbers = lost.Numbers(self._codec)
    self._torn = set()  # times of packets of which bytes are missing
    self._before = None, False  # when the last one is decoded; is it torn?
    self._count = 0  # clean frames
    self._gone = 0  # packets of gaps
    self._begin = None  # seconds of the file's clock: of the first packet,
    self._end = None  # up to which it is clean,
    self._bad_end = None  # up to which it is not
    self._bad = 0  # packets since
    self._waiting = False  # for a keyframe
    self._key = None  # the last one, if there is nothing clean before it
    self._damaged = ''  # since the last clean frame: why

  def read(self, packet: av.Packet, torn: bool) -> Frames:
    """The clean frames that come out when a packet goes in."""
    if self._begin is None and packet.size and not packet.is_discard:
      self._begin = self._end = self._seconds(packet)
    if self._waiting and not (packet.size and packet.is_keyframe):
      self._lose(packet)
      return
    if packet.size and packet.is_keyframe:
      self._key = packet if self._waiting or not self._count else None
    if torn and packet.pts is not None:
      self._torn.add(packet.pts)
    if packet.size and self._misses(packet, torn):
      yield from map(self._take, self._held(packet))
      self._lose(packet, 'damaged: pictures are missing')
      return
    try:
      frames = packet.decode()
    except av.FFmpegError as error:
      yield from map(self._take, self._held(packet))
      self._lose(packet, f'damaged: {error.strerror}')
      return
    self._waiting = False
    for frame in frames:
      if not self._is_bad(frame):
        yield self._take(frame)
      elif self._is_invented(frame):
        self._codec.flush_buffers()
        self._lose(packet, 'damaged')
        return
      else:
        self._damaged = 'damaged'
        self._told.kinds['concealed'] = 1
        self._leave(frame)

  def stop(self, reason: str):
    """The file cannot be read further."""
    self._damaged = self._damaged or reason

  def finish(self):
    """Tells of a gap at the end; raises BadRecord if all was one."""
    if not self._count:
      raise BadRecord(self._damaged or 'no frame could be decoded')
    if self._damaged:
      self._tell(self._bad_end)

  def _take(self, frame: av.VideoFrame) -> tuple[av.VideoFrame, bool]:
    """A clean frame, and whether damage lies before it."""
    damaged, at = bool(self._damaged), self._seconds(frame)
    if damaged:
      self._tell(at)
    self._damaged, self._bad, self._bad_end = '', 0, None
    self._count += 1
    if at is not None:
      length = float((frame.duration or 0) * self._base) or self._step
      self._end = at + length
    return frame, damaged

  def _misses(self, packet: av.Packet, torn: bool) -> bool:
    """Whether what it refers to is not there, or not whole."""
    missing = self._numbers is not None and self._numbers.misses(packet)
    (before, was_torn), self._before = self._before, (packet.dts, torn)
    known = self._step and None not in (before, packet.dts)
    if (torn or was_torn) and known:
      late = float((packet.dts - before) * self._base) > 1.5 * self._step
      missing = missing or (late and not packet.is_keyframe)
    # Other decoders do not tell what they make up.
    return missing or (torn and self._codec.name not in streams.CONCEALED)

  def _is_bad(self, frame: av.VideoFrame) -> bool:
    return frame.is_corrupt or frame.pts in self._torn

  def _is_invented(self, frame: av.VideoFrame) -> bool:
    """Whether a damaged picture is too bad for what refers to it."""
    if self._codec.name not in streams.CONCEALED:
      return True
    if self._key is None or not frame.key_frame:
      return False
    return _invented(self._codec, self._key) > _INVENTED

  def _held(self, packet: av.Packet) -> list[av.VideoFrame]:
    """Frames before this packet that the decoder still holds; empties it."""
    at, held = self._seconds(packet), []
    # Nothing that it holds may be whole.
    with contextlib.suppress(av.FFmpegError):
      for frame in self._codec.decode(None):
        late = at is not None and (self._seconds(frame) or 0.0) >= at
        if self._is_bad(frame) or late:
          break
        frame.time_base = self._stream.time_base  # unknown without a packet
        held.append(frame)
    self._codec.flush_buffers()
    return held

  def _lose(self, packet: av.Packet, reason: str = ''):
    self._waiting = True
    self._damaged = self._damaged or reason or 'damaged'
    if packet.size:
      self._leave(packet)

  def _leave(self, part: av.Packet | av.VideoFrame):
    self._bad += 1
    at = self._seconds(part)
    if at is not None:
      length = float((part.duration or 0) * self._base) or self._step
      self._bad_end = max(self._bad_end or at, at + length)

  def _tell(self, until: float | None):
    begin, end = self._begin or 0.0, self._end
    seconds = -1.0 if end is None or until is None else until - end
    if seconds < 0:
      # No clock, or one that was set anew there: by what was left out.
      seconds = self._bad * self._step
    if self._timed:
      at = 0.0 if end is None else max(0.0, end - begin)
    else:
      at = (self._count + self._gone) * self._step
    self._gone += self._bad
    self._told.add(Gap(round(at, 3), round(seconds, 3)))

  def _seconds(self, part: av.Packet | av.VideoFrame) -> float | None:
    tick = part.dts if part.pts is None else part.pts
    if tick is None or not self._timed:
      return None
    return tick * self._base


def _invented(codec: av.VideoCodecContext, packet: av.Packet) -> float:
  """Share of a keyframe that is not in its packet, but made up.

  That is where it looks otherwise if nothing is made up.
  """
  shown = []
  for concealment in ('guess_mvs+deblock', '0'):
    again = av.CodecContext.create(codec.name, 'r')
    again.extradata = codec.extradata
    again.thread_type, again.options = 'NONE', {'ec': concealment}
    try:
      frames = [*again.decode(packet), *again.decode(None)]
    except av.FFmpegError:
      return 1.0
    if not frames:
      return 1.0
    shown.append(frames[0].to_ndarray(format='gray').astype(np.int16))
  return float((abs(shown[0] - shown[1]) > _LIKE).mean())


def _torn(packets: Iterator[av.Packet]) -> Iterator[tuple[av.Packet, bool]]:
  """Each packet, and whether bytes of it are missing.

  The demuxer of transport streams marks the packet before it. It is whole all
  the same if the next one is a keyframe: there another file was joined.
  """
  before = last = None
  for packet in packets:
    if last is not None:
      yield last, _marked(before) and not packet.is_keyframe
    before, last = last, packet
  if last is not None:
    yield last, False  # what empties the decoder


def _marked(packet: av.Packet | None) -> bool:
  return packet is not None and packet.is_corrupt


def _packets(stream: av.VideoStream, reader: _Reader) -> Iterator[av.Packet]:
  try:
    yield from stream.container.demux(stream)
  except av.FFmpegError as error:
    reader.stop(f'damaged or truncated: {error.strerror}')
