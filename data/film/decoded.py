"""The pictures of a stream that decode cleanly; damage is a gap between them.

A decoder shows a picture of damaged bytes, and all that refers to it, as grey
or smeared, and says nothing of the latter. So after an error nothing is taken
before the next keyframe that is clean.
"""

import contextlib
from collections.abc import Iterator

import av

from data.film.streams import is_raw
from data.film.told import Gap, Told
from data.source import BadRecord

Frames = Iterator[tuple[av.VideoFrame, bool]]


def clean(stream: av.VideoStream, told: Told) -> Frames:
  """Each clean frame in display order, and whether damage lies before it.

  Packets that say themselves that they are damaged (the seam of joined
  transport streams) are decoded all the same: many are whole. Frames before
  the start of an edit list are decoded, and not shown.

  Args:
    stream: of `opened`.
    told: gets the gaps.

  Raises:
    BadRecord: there is no clean frame.
  """
  reader = _Reader(stream, told)
  for packet in _packets(stream, reader):
    yield from reader.read(packet)
  reader.finish()


class _Reader:
  """Decodes packets, and keeps account of what does not."""

  def __init__(self, stream: av.VideoStream, told: Told):
    self._stream, self._codec = stream, stream.codec_context
    self._told = told
    self._timed = not is_raw(stream)
    rate = stream.guessed_rate or stream.average_rate
    self._step = float(1 / rate) if rate else 0.0
    self._count = 0  # clean frames
    self._begin = None  # seconds of the file's clock: of the first packet,
    self._end = None  # up to which it is clean,
    self._bad_end = None  # up to which it is not
    self._bad = 0  # packets since
    self._waiting = False  # for a keyframe
    self._damaged = ''  # since the last clean frame: why

  def read(self, packet: av.Packet) -> Frames:
    """The clean frames that come out when a packet goes in."""
    if self._begin is None and packet.size and not packet.is_discard:
      self._begin = self._end = self._seconds(packet)
    if self._waiting and not (packet.size and packet.is_keyframe):
      self._lose(packet)
      return
    try:
      frames = packet.decode()
    except av.FFmpegError as error:
      yield from map(self._take, self._held(packet))
      self._lose(packet, f'damaged: {error.strerror}')
      return
    self._waiting = False
    for frame in frames:
      if frame.is_corrupt:
        self._codec.flush_buffers()
        self._lose(packet, 'damaged')
        return
      yield self._take(frame)

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
      length = (
        float((frame.duration or 0) * self._stream.time_base) or self._step
      )
      self._end = at + length
    return frame, damaged

  def _held(self, packet: av.Packet) -> list[av.VideoFrame]:
    """Frames before this packet that the decoder still holds; empties it."""
    at, held = self._seconds(packet), []
    # Nothing that it holds may be whole.
    with contextlib.suppress(av.FFmpegError):
      for frame in self._codec.decode(None):
        late = at is not None and (self._seconds(frame) or 0.0) >= at
        if frame.is_corrupt or late:
          break
        frame.time_base = self._stream.time_base  # unknown without a packet
        held.append(frame)
    self._codec.flush_buffers()
    return held

  def _lose(self, packet: av.Packet, reason: str = ''):
    self._waiting = True
    self._damaged = self._damaged or reason or 'damaged'
    if not packet.size:
      return
    self._bad += 1
    at = self._seconds(packet)
    if at is not None:
      length = (
        float((packet.duration or 0) * self._stream.time_base) or self._step
      )
      self._bad_end = max(self._bad_end or at, at + length)

  def _tell(self, until: float | None):
    begin, end = self._begin or 0.0, self._end
    seconds = -1.0 if end is None or until is None else until - end
    if seconds < 0:
      # No clock, or one that was set anew there: by what was left out.
      seconds = self._bad * self._step
    at = 0.0 if end is None else max(0.0, end - begin)
    self._told.add(Gap(round(at, 3), round(seconds, 3)))

  def _seconds(self, part: av.Packet | av.VideoFrame) -> float | None:
    tick = part.dts if part.pts is None else part.pts
    if tick is None or not self._timed:
      return None
    return float(tick * self._stream.time_base)


def _packets(stream: av.VideoStream, reader: _Reader) -> Iterator[av.Packet]:
  try:
    yield from stream.container.demux(stream)
  except av.FFmpegError as error:
    reader.stop(f'damaged or truncated: {error.strerror}')
