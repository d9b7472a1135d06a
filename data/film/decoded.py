"""The pictures of a stream that decode cleanly; damage is a gap between them.

A decoder shows a picture of damaged bytes, and all that refers to it, as grey
or smeared. Where it invents the damaged part of a picture from what is beside
and before it, and says so (H.264 and MPEG-1 to 4), that picture alone is left
out: what refers to it differs little. After any other error nothing is taken
before the next keyframe that is clean, and so after a keyframe of which a third
is invented with no picture before it. Ours.
"""

import contextlib
from collections.abc import Iterator

import av
import numpy as np

from data.film import streams
from data.film.told import Gap, Told
from data.source import BadRecord

_INVENTED = 1 / 3  # of a keyframe without a picture before it, at most
_LIKE = 8  # of 255

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
    self._timed = not streams.is_raw(stream)
    self._base = float(stream.time_base)  # seconds
    rate = stream.guessed_rate or stream.average_rate
    self._step = float(1 / rate) if rate else 0.0
    self._count = 0  # clean frames
    self._begin = None  # seconds of the file's clock: of the first packet,
    self._end = None  # up to which it is clean,
    self._bad_end = None  # up to which it is not
    self._bad = 0  # packets since
    self._waiting = False  # for a keyframe
    self._key = None  # the last one, if there is nothing clean before it
    self._damaged = ''  # since the last clean frame: why

  def read(self, packet: av.Packet) -> Frames:
    """The clean frames that come out when a packet goes in."""
    if self._begin is None and packet.size and not packet.is_discard:
      self._begin = self._end = self._seconds(packet)
    if self._waiting and not (packet.size and packet.is_keyframe):
      self._lose(packet)
      return
    if packet.size and packet.is_keyframe:
      self._key = packet if self._waiting or not self._count else None
    try:
      frames = packet.decode()
    except av.FFmpegError as error:
      yield from map(self._take, self._held(packet))
      self._lose(packet, f'damaged: {error.strerror}')
      return
    self._waiting = False
    for frame in frames:
      if not frame.is_corrupt:
        yield self._take(frame)
      elif self._is_invented(frame):
        self._codec.flush_buffers()
        self._lose(packet, 'damaged')
        return
      else:
        self._damaged = 'damaged'
        self._told.kinds['concealed'] = 1

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
      length = float((packet.duration or 0) * self._base) or self._step
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


def _packets(stream: av.VideoStream, reader: _Reader) -> Iterator[av.Packet]:
  try:
    yield from stream.container.demux(stream)
  except av.FFmpegError as error:
    reader.stop(f'damaged or truncated: {error.strerror}')
