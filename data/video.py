"""The decoder of ingested records: clips of them (other files: `data/film`).

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
from collections.abc import Sequence

import av
import cv2
import numpy as np
from jaxtyping import Int, UInt8

from data.formats.record import Record
from data.source import BadRecord
from data.transforms import Box

# Parallel are the pipeline's workers: threads of OpenCV would wait for each
# other's cores.
cv2.setNumThreads(1)


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
  # What else the parameter sets say is not decoded. FFmpeg counts the memory of
  # a picture, whose rows are of whole 64 pixels, and whose columns of 32.
  blocks = -(-record.height // 32) * -(-record.width // 64)
  codec.options = {'max_pixels': str(2 * 32 * 64 * blocks)}
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
