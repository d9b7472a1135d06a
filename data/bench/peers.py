"""What `data.bench` compares with: loops that anyone would write with PyAV."""

import io
from collections.abc import Sequence
from fractions import Fraction

import av
import cv2
import numpy as np
from jaxtyping import Int, UInt8

from data import video
from data.formats.record import Record
from data.transforms import Box


def bare_loop(
  mp4: bytes | memoryview, frames: Int[np.ndarray, 't'], fps: Fraction
) -> list[UInt8[np.ndarray, 'h w 3']]:
  """Opens, seeks, decodes to the last wanted frame; wanted frames as RGB.

  One thread, no resizing, no cropping: the least that reads these frames
  without knowing the file's structure.

  Args:
    mp4: a file of constant rate, from memory.
    frames: numbers of the frames.
    fps: frames in a second.
  """
  wanted, last = set(frames.tolist()), int(frames.max())
  found = {}
  with av.open(io.BytesIO(mp4)) as container:
    stream = container.streams.video[0]
    stream.thread_type = 'NONE'
    ticks = 1 / (fps * stream.time_base)
    container.seek(int(frames.min() * ticks), stream=stream)
    for frame in container.decode(stream):
      number = round(frame.pts / ticks)
      if number in wanted:
        # One thread here too: it takes less CPU than the default.
        picture = frame.reformat(format='rgb24', threads=1)
        found[number] = picture.to_ndarray()
      if number >= last:
        break
  return [found[number] for number in frames.tolist()]


def usual_loop(
  mp4: bytes | memoryview,
  frames: Int[np.ndarray, 't'],
  fps: Fraction,
  box: Box,
  height: int,
  width: int,
) -> UInt8[np.ndarray, 't {height} {width} 3']:
  """`bare_loop`, then crop and resize each RGB frame."""
  clip = np.empty((len(frames), height, width, 3), np.uint8)
  rows = slice(box.top, box.top + box.height)
  columns = slice(box.left, box.left + box.width)
  for picture, target in zip(bare_loop(mp4, frames, fps), clip):
    cv2.resize(picture[rows, columns], (width, height), dst=target)
  return clip


def long_group(records: Sequence[Record]) -> bytes:
  """One mp4 of consecutive records of a video, as x264 makes it by default.

  Same size and rate, a keyframe every 250 frames: what one has who resizes
  videos to 256 pixels and thinks of nothing else.
  """
  first, file = records[0], io.BytesIO()
  with av.open(file, 'w', format='mp4') as container:
    stream = container.add_stream('libx264', rate=first.fps)
    stream.height, stream.width = first.height, first.width
    stream.pix_fmt = 'yuv420p'
    stream.codec_context.time_base = 1 / first.fps
    stream.codec_context.gop_size = 250
    number = first.start
    for each in records:
      new = np.arange(number - each.start, each.frames)
      if not new.size:
        continue  # the last one may lie within the one before
      for frame in video.decode(each, new):
        frame.pts, frame.time_base = number - first.start, 1 / first.fps
        frame.pict_type = av.video.frame.PictureType.NONE
        container.mux(stream.encode(frame))
        number += 1
    container.mux(stream.encode(None))
  return file.getvalue()
