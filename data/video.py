"""The only decoder: clips of ingested records, and any file frame by frame.

A clip is read as `render(decode(record, frames), box, ...)`. What makes that
cheap, beside the format (`data/ingest/transcode.py`):

* The record's header has the packets: no demuxing, no probing.
* Frames that are neither wanted nor referred to never reach the decoder.
* Crop and resize work on the Y, U and V planes; only the pixels of the result
  are converted to RGB.
* One thread per clip: parallelism is over clips, in the pipeline's workers.
"""

import contextlib
import ctypes
import functools
import io
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from av.video.reformatter import Colorspace
from jaxtyping import Int, UInt8

from data.formats.record import Record
from data.source import BadRecord
from data.transforms import Box

# Parallel are the pipeline's workers: threads of OpenCV would wait for each
# other's cores.
cv2.setNumThreads(1)

_UNSPECIFIED = 2  # AVCOL_SPC_UNSPECIFIED
_PIXELS = 2**26  # of a frame, at most: twice those of 8K
# Demuxers that make a video of a text, a picture, or files named inside.
_NOT_VIDEO = frozenset({'tty', 'image2', 'hls', 'dash', 'concat', 'sdp'})


def decode(record: Record, frames: Int[np.ndarray, 't']) -> list[av.VideoFrame]:
  """The decoded `frames` (numbers in the record), one for each, yuv420p.

  A number may come more than once: it is decoded once.

  Raises:
    BadRecord: the packets do not decode to these frames.
    ValueError: a number outside the record.
  """
  wanted = np.asarray(frames)
  if wanted.min() < 0 or wanted.max() >= record.frames:
    raise ValueError(
      f'frames {wanted.min()} to {wanted.max()} of a record of '
      f'{record.frames} frames: ask for 0 to {record.frames - 1}'
    )
  _keep_freed_memory()
  codec = av.CodecContext.create('h264', 'r')
  codec.extradata = record.extradata
  # Threads cost a short clip more than they give, measured: they are started
  # for each.
  codec.thread_type = 'NONE'
  # Coded in blocks of 16. What else the parameter sets say is not decoded.
  blocks = -(-record.height // 16) * -(-record.width // 16)
  codec.options = {'max_pixels': str(2 * 256 * blocks)}
  decoded = {}
  try:
    for row in record.packets[needed(record.packets, wanted)]:
      offset, size, number, _, _ = row.item()
      packet = av.Packet(record.payload[offset : offset + size])
      # The number of the frame is its time: what comes out says which it is.
      packet.pts = number
      decoded.update((frame.pts, frame) for frame in codec.decode(packet))
    # What the decoder still holds for reordering.
    decoded.update((frame.pts, frame) for frame in codec.decode(None))
  except av.FFmpegError as error:
    raise BadRecord(f'{_whence(record)}: {error}') from error
  missing = set(wanted.tolist()) - decoded.keys()
  if missing:
    raise BadRecord(f'{_whence(record)}: frames {sorted(missing)} are missing')
  found = [decoded[number] for number in wanted.tolist()]
  expected = record.height, record.width, 'yuv420p'
  for frame in found:
    shown = frame.height, frame.width, frame.format.name
    if shown != expected:
      raise BadRecord(f'{_whence(record)}: {shown}, expected {expected}')
  return found


@functools.cache
def _keep_freed_memory():
  """Lets malloc reuse the memory of one clip's frames for the next.

  By default glibc gives it back, and asks the kernel for it again, page by
  page: an eighth of the time of a clip.
  """
  trim_threshold, mmap_threshold = -1, -3  # of malloc.h
  with contextlib.suppress(AttributeError):  # another libc
    mallopt = ctypes.CDLL(None).mallopt
    # More than the frames of a clip (ours); and the most that glibc takes.
    mallopt(trim_threshold, 2**28)
    mallopt(mmap_threshold, 2**25)


def needed(
  packets: np.ndarray, frames: Int[np.ndarray, 't']
) -> Int[np.ndarray, 'n']:
  """Rows of `packets` that must be decoded to see `frames`.

  In each closed group of pictures: up to the last wanted packet, those that are
  wanted or that others refer to.
  """
  rows = np.arange(len(packets))
  wanted = np.isin(packets['frame'], frames)
  group = np.cumsum(packets['key'], dtype=np.int64) - 1
  # Groups are closed: nothing behind the last wanted frame of one is needed.
  last = np.full(group[-1] + 1, -1)
  np.maximum.at(last, group[wanted], rows[wanted])
  keep = (wanted | (packets['disposable'] == 0)) & (rows <= last[group])
  return np.flatnonzero(keep)


def render(
  frames: Sequence[av.VideoFrame],
  box: Box,
  height: int,
  width: int,
  flip: bool = False,
) -> UInt8[np.ndarray, 't {height} {width} 3']:
  """RGB of `box` in the frames, resized to height x width pixels.

  Bilinear; what is more than twice as large is first rendered twice as large
  and averaged, or else pixels would be skipped and chroma lost. The box is
  rounded to even pixels, as chroma has half the resolution; an odd size is cut
  from the next even one.

  Args:
    frames: yuv420p, BT.601 of limited range.
    box: what to show of each frame, in pixels.
    height: of the result.
    width: of the result.
    flip: mirror left and right.
  """
  if box.height > 2 * height or box.width > 2 * width:
    large = render(frames, box, 2 * height, 2 * width, flip)
    # Bilinear looks at four pixels, however many a result covers.
    size, how = (width, height), cv2.INTER_AREA
    return np.stack(
      [cv2.resize(each, size, interpolation=how) for each in large]
    )
  tall, wide = height + height % 2, width + width % 2
  planar = np.empty((tall * 3 // 2, wide), np.uint8)
  chroma = planar[tall:].reshape(2, tall // 2, wide // 2)
  targets = planar[:tall], chroma[0], chroma[1]
  # In pixels of chroma, which are two pixels of luma.
  top, bottom = box.top // 2, (box.top + box.height + 1) // 2
  left, right = box.left // 2, (box.left + box.width + 1) // 2
  video = np.empty((len(frames), tall, wide, 3), np.uint8)
  for frame, picture in zip(frames, video):
    for plane, target, fine in zip(frame.planes, targets, (2, 1, 1)):
      part = _pixels(plane)[
        top * fine : bottom * fine, left * fine : right * fine
      ]
      # Into the plane that is converted below: no copy in between.
      cv2.resize(part, target.shape[::-1], dst=target)
      if flip:
        cv2.flip(target, 1, dst=target)
    # Last, of the pixels of the result alone.
    cv2.cvtColor(planar, cv2.COLOR_YUV2RGB_I420, dst=picture)
  # Of an odd width, the column that is too many is the first once mirrored.
  first = wide - width if flip else 0
  return video[:, :height, first : first + width]


def _whence(record: Record) -> str:
  return f'{record.name} from frame {record.start}'


def _pixels(plane) -> UInt8[np.ndarray, 'h w']:
  """The plane with the padding of its rows."""
  return np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)


@contextlib.contextmanager
def opened(source: Path | bytes) -> Iterator[av.VideoStream]:
  """The first video stream of a file, for `each_frame`; closed on leaving.

  Args:
    source: path of a file of any container that FFmpeg knows, or its bytes.

  Raises:
    BadRecord: not a video; the reason is in the message.
  """
  if isinstance(source, bytes):
    size, file = len(source), io.BytesIO(source)
  else:
    size, file = source.stat().st_size, str(source)
  if not size:
    raise BadRecord('empty file')
  try:
    # A playlist in disguise must not make us fetch what it names.
    # Titles are often in another encoding than they say: none is shown.
    container = av.open(
      file,
      container_options={'protocol_whitelist': 'file'},
      metadata_errors='replace',
    )
  except av.FFmpegError as error:
    raise BadRecord(f'not a video: {error.strerror}') from error
  with container:
    names = set(container.format.name.split(','))
    if names & _NOT_VIDEO or any(name.endswith('_pipe') for name in names):
      raise BadRecord(f'not a video: it reads as {container.format.name}')
    streams = [
      stream
      for stream in container.streams.video
      # Covers of albums are video streams of one picture.
      if not stream.disposition & av.stream.Disposition.attached_pic
    ]
    if not streams:
      raise BadRecord('no video stream')
    stream = streams[0]
    # FFmpeg opens what it cannot decode, and says so at the first frame only.
    codec = stream.codec_context
    if codec is None or not codec.pix_fmt:
      raise BadRecord(f'no decoder for its codec {codec and codec.name}')
    stream.thread_type = 'NONE'
    # By default FFmpeg conceals damage with invented pictures.
    # A file of some bytes may say that its pictures fill the memory.
    options = {'err_detect': 'explode', 'max_pixels': str(_PIXELS)}
    stream.codec_context.options = options
    yield stream


def each_frame(
  stream: av.VideoStream, on_lost: Callable[[float], Any] | None = None
) -> Iterator[av.VideoFrame]:
  """Every frame of the stream, in display order.

  A stream may begin in the middle of things, or with a bad keyframe: who says
  `on_lost` gets what comes from the first good keyframe on.

  Args:
    stream: of `opened`.
    on_lost: called with the seconds that do not decode at the start, before
      the first frame is given, if there are any.

  Raises:
    BadRecord: damaged, at the start too without `on_lost`; or shorter than the
      file says.
  """
  count, end, lost, late = 0, 0.0, False, False
  for packet in _packets(stream):
    if packet.is_corrupt:
      raise BadRecord(f'damaged or truncated after frame {count}')
    # What refers to frames that are lost would be grey or smeared.
    if lost and not packet.is_keyframe:
      continue
    try:
      frames = packet.decode()
    except av.FFmpegError as error:
      # In the middle it is damage; at the start it may be a cut.
      if count:
        raise BadRecord(
          f'damaged after frame {count}: {error.strerror}'
        ) from error
      lost = late = True
      continue
    lost = False
    for frame in frames:
      if late and not count:
        _report_lost(stream, frame, on_lost)
      yield frame
      count += 1
      end = max(end, frame.time or 0.0)
  if not count:
    raise BadRecord('no frame could be decoded')
  _check_length(stream, end)


def _report_lost(stream, first, on_lost):
  begin = (stream.start_time or 0) * stream.time_base
  seconds = max(0.0, float((first.time or 0.0) - begin))
  if on_lost is None:
    raise BadRecord(f'damaged: its first {seconds:.1f} s do not decode')
  on_lost(seconds)


def _packets(stream: av.VideoStream) -> Iterator[av.Packet]:
  try:
    yield from stream.container.demux(stream)
  except av.FFmpegError as error:
    raise BadRecord(f'damaged or truncated: {error.strerror}') from error


def _check_length(stream: av.VideoStream, end: float):
  """Tells a truncated file: FFmpeg just stops where the bytes do."""
  if stream.duration:
    seconds = float(stream.duration * stream.time_base)
  else:
    seconds = (stream.container.duration or 0) / av.time_base
  # Generous: sound may be longer, and the last frame lasts a while.
  if end < 0.8 * seconds - 0.25:
    raise BadRecord(f'truncated: ends at {end:.1f} of {seconds:.1f} seconds')


def upright_size(stream: av.VideoStream, frame: av.VideoFrame) -> tuple:
  """(height, width) of a frame as it is to be shown: upright, square pixels."""
  aspect = stream.sample_aspect_ratio or Fraction(1)
  # Pixels of old cameras are not square; only the width is stretched, as
  # players do.
  height, width = frame.height, round(frame.width * aspect)
  return (width, height) if _quarter_turns(frame) % 2 else (height, width)


def upright(
  frame: av.VideoFrame, height: int, width: int
) -> UInt8[np.ndarray, '{height} {width} 3']:
  """RGB of any frame, turned as its file says, resized to height x width."""
  picture = _converted(frame, height, width, 'rgb24', 'JPEG').to_ndarray()
  return np.ascontiguousarray(np.rot90(picture, _quarter_turns(frame)))


def upright_planes(
  frame: av.VideoFrame, height: int, width: int
) -> av.VideoFrame:
  """As `upright`, but in yuv420p, BT.601 of limited range; even sizes."""
  turns = _quarter_turns(frame)
  result = _converted(frame, height, width, 'yuv420p', 'MPEG')
  if not turns:
    return result
  planes = [
    np.rot90(_pixels(plane)[:, : plane.width], turns).reshape(-1)
    for plane in result.planes
  ]
  planar = np.concatenate(planes).reshape(height * 3 // 2, width)
  return av.VideoFrame.from_ndarray(planar, 'yuv420p')


def load(source: Path | bytes) -> UInt8[np.ndarray, 't h w 3']:
  """A whole file as RGB, upright, in memory.

  Raises:
    BadRecord: not a video, or damaged.
  """
  with opened(source) as stream:
    return np.stack(
      [
        upright(frame, *upright_size(stream, frame))
        for frame in each_frame(stream)
      ]
    )


def _converted(
  frame: av.VideoFrame, height: int, width: int, pixels: str, levels: str
) -> av.VideoFrame:
  """The frame, not yet turned, such that it is height x width once it is."""
  if _quarter_turns(frame) % 2:
    height, width = width, height
  space = frame.colorspace
  if space == _UNSPECIFIED:
    # What players assume.
    space = Colorspace.ITU709 if frame.height >= 720 else Colorspace.ITU601
  return frame.reformat(
    width=width,
    height=height,
    format=pixels,
    src_colorspace=space,
    dst_colorspace=Colorspace.ITU601,
    dst_color_range=levels,
    # Averages where it shrinks: bilinear would skip pixels.
    interpolation='AREA',
    # As above: workers are the parallelism.
    threads=1,
  )


def _quarter_turns(frame: av.VideoFrame) -> int:
  """Counterclockwise turns that bring the frame upright."""
  return round(frame.rotation / 90) % 4
