"""Interlaced frames, two moments in each, to pictures of one moment.

bwdif (the filter of FFmpeg, after the BBC's weave and w3f) keeps a picture per
frame, and leaves frames as they are that do not say that they are interlaced.
Of codecs that cannot say so (motion JPEG ...) the file may.
"""

from collections.abc import Iterator

import av

from data.film.decoded import Frames
from data.film.told import Told

# Codecs whose frames never say which they are, as FFmpeg decodes them.
_SILENT = frozenset(
  {'mjpeg', 'png', 'huffyuv', 'ffvhuff', 'jpeg2000', 'v210', 'qtrle'}
)
# Of AVFieldOrder, which field is first: that of the first row, or the other.
_ORDERS = {2: 'tff', 5: 'tff', 3: 'bff', 4: 'bff'}


def order(stream: av.VideoStream) -> str:
  """'tff' or 'bff' where all frames are interlaced by their file, or ''."""
  codec = stream.codec_context
  said = _ORDERS.get(codec.field_order, '')
  return said if codec.name in _SILENT else ''


def deinterlaced(frames: Frames, told: Told, first: str = '') -> Frames:
  """The frames, each of one moment, in the same order with the same times.

  Args:
    frames: of `decoded.clean`.
    told: counts those that were interlaced.
    first: of `order`.
  """
  weaver = None
  for frame, damaged in frames:
    if weaver and (damaged or not weaver.takes(frame)):
      yield from weaver.rest()
      weaver = None
    if weaver is None:
      if not (first or frame.interlaced_frame):
        yield frame, damaged
        continue
      told.kinds['interlaced'] += 1
      weaver = _Weaver(frame, damaged, first)
    told.pictures['deinterlaced'] += bool(first) or frame.interlaced_frame
    yield from weaver.add(frame)
  if weaver:
    yield from weaver.rest()


class _Weaver:
  """bwdif, which holds a frame back until it has seen the next."""

  def __init__(self, frame: av.VideoFrame, damaged: bool, first: str):
    how = f'parity={first}:deint=all'
    if not first or frame.interlaced_frame:
      how = 'parity=auto:deint=interlaced'
    self._kind = _kind(frame)
    self._damaged, self._base = damaged, frame.time_base
    self._graph = av.filter.Graph()
    nodes = (
      self._graph.add_buffer(
        width=frame.width,
        height=frame.height,
        format=frame.format,
        time_base=frame.time_base,
      ),
      self._graph.add('bwdif', f'mode=send_frame:{how}'),
      self._graph.add('buffersink'),
    )
    self._graph.link_nodes(*nodes).configure()

  def takes(self, frame: av.VideoFrame) -> bool:
    """Whether the frame is like the first."""
    return _kind(frame) == self._kind

  def add(self, frame: av.VideoFrame) -> Frames:
    """What comes out when a frame goes in."""
    self._graph.vpush(frame)
    return self._out()

  def rest(self) -> Frames:
    """What is still held; it takes no more."""
    self._graph.vpush(None)
    return self._out()

  def _out(self) -> Iterator[tuple[av.VideoFrame, bool]]:
    while True:
      try:
        frame = self._graph.vpull()
      except (av.BlockingIOError, av.EOFError):
        return
      # bwdif counts in fields; decoding times stay as they were.
      if frame.pts is not None:
        frame.pts = round(frame.pts * frame.time_base / self._base)
      frame.time_base = self._base
      damaged, self._damaged = self._damaged, False
      yield frame, damaged


def _kind(frame: av.VideoFrame) -> tuple:
  return frame.width, frame.height, frame.format.name, frame.time_base
