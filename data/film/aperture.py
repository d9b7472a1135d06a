"""The part of a picture that is meant to be seen: `clap` of mp4 and mov.

Cameras and editors that code whole blocks, or more than the picture, say so in
the file and not in the stream (ISO/IEC 14496-12, 12.1.4): FFmpeg's libraries
tell it to nobody who decodes with them.
"""

import struct
from collections.abc import Iterator

import av

from data.film.decoded import Frames

_LARGEST = 2**26  # bytes of a moov box that is read
_ENTRY = 86  # bytes of a video's sample entry before its boxes


def of(stream: av.VideoStream) -> tuple[int, int, int, int] | None:
  """(width, height, left, top) in pixels, where it is less than the picture."""
  if 'mp4' not in stream.container.format.name.split(','):
    return None
  data = _moov(stream.container.name)
  for begin, end in _found(data, 0, len(data), 'trak'):
    heads = [data[a:b] for a, b in _found(data, begin, end, 'tkhd')]
    if not heads or _track(heads[0]) != stream.id:
      continue
    inner = [(begin, end)]
    for kind in ('mdia', 'minf', 'stbl', 'stsd'):
      inner = [x for a, b in inner for x in _found(data, a, b, kind)]
    for a, b in inner:
      # A version and a count, the entry, in it boxes.
      for first, last in _found(data, a + 8 + _ENTRY, b, 'clap'):
        if last - first >= 32:
          size = stream.codec_context.width, stream.codec_context.height
          return _box(struct.unpack_from('>4I', data, first), size, data, first)
  return None


def cropped(frames: Frames, box: tuple[int, int, int, int] | None) -> Frames:
  """The frames, of which only `box` is left."""
  if box is None:
    yield from frames
    return
  crop = 'w={}:h={}:x={}:y={}:exact=1'.format(*box)
  graph, size = None, None
  for frame, damaged in frames:
    if (frame.width, frame.height, frame.format.name) != size:
      size = frame.width, frame.height, frame.format.name
      graph = av.filter.Graph()
      source = graph.add_buffer(
        *(None, frame.width, frame.height, frame.format),
        time_base=frame.time_base,
      )
      nodes = source, graph.add('crop', crop), graph.add('buffersink')
      graph.link_nodes(*nodes).configure()
    graph.vpush(frame)
    yield graph.vpull(), damaged


def _box(sizes, whole, data: bytes, at: int):
  offsets = struct.unpack_from('>iIiI', data, at + 16)
  if 0 in (sizes[1], sizes[3], offsets[1], offsets[3]):
    return None
  parts = sizes[0] / sizes[1], sizes[2] / sizes[3]
  moved = offsets[0] / offsets[1], offsets[2] / offsets[3]
  found = []
  for part, move, full in zip(parts, moved, whole):
    begin = round((full - part) / 2 + move)
    found.append((round(part), begin))
    if begin < 0 or round(part) < 1 or begin + round(part) > full:
      return None
  (width, left), (height, top) = found
  return None if (width, height) == whole else (width, height, left, top)


def _moov(path: str) -> bytes:
  """What is in the box with all that a file says of its tracks."""
  try:
    with open(path, 'rb') as file:
      while len(head := file.read(8)) == 8:
        size, skipped = int.from_bytes(head[:4], 'big'), 8
        if size == 1:
          size, skipped = int.from_bytes(file.read(8), 'big'), 16
        if size < skipped:
          return b''
        if head[4:] == b'moov':
          return file.read(min(size - skipped, _LARGEST))
        file.seek(size - skipped, 1)
  except OSError:
    pass  # of a file in memory the name is none of a file
  return b''


def _found(
  data: bytes, begin: int, end: int, kind: str
) -> Iterator[tuple[int, int]]:
  """Where the contents of boxes of a kind are, among those side by side."""
  while begin + 8 <= end:
    size = int.from_bytes(data[begin : begin + 4], 'big')
    if size < 8:
      return
    if data[begin + 4 : begin + 8] == kind.encode():
      yield begin + 8, min(begin + size, end)
    begin += size


def _track(head: bytes) -> int:
  """The number of a track, by its tkhd."""
  at = 12 if head[:1] == b'\x00' else 20
  return int.from_bytes(head[at : at + 4], 'big')
