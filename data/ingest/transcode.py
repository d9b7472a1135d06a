"""One video file in, records out: a pure function, the heart of ingestion.

The format makes reading clips cheap (`docs/data.md` says how much, measured by
`data.bench`): H.264 of short side 256, a keyframe every 16 frames, closed
groups of pictures, no entropy coding that is slow to decode nor deblocking
(`fastdecode`), and B-frames that no other frame refers to (two of three frames,
which a reader skips unless it wants them).

A long video becomes several records, which overlap so that a clip that would
straddle an end lies whole in the next. The video is encoded once: records are
cut at keyframes, and what overlaps is the same bytes twice.
"""

import hashlib
import io
import math
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np

from data import video
from data.formats.record import PACKET, Record, pack
from data.ingest.recipe import GROUP, Recipe
from data.source import BadRecord

_LONGEST_STEP = 1  # seconds; a longer pause between frames is cut out
_SLICES = (1, 5)  # H.264 NAL units that hold pictures


class Made(NamedTuple):
  """What a video file gives."""

  records: list[bytes]  # `data.formats.record.pack`ed, in order
  lost: float  # seconds at the start of the file that do not decode


class _Coded(NamedTuple):
  """A coded frame; times in frames of the whole video."""

  data: bytes
  pts: int
  dts: int


def records(
  source: Path | bytes, name: str, recipe: Recipe | None = None
) -> Made:
  """The records of one video file, each decoded back and counted.

  Args:
    source: path of the file, or its bytes.
    name: how records call the file.
    recipe: how; the usual one if it is not given.

  Returns:
    The records, the same bytes for the same input, and what is not in them.

  Raises:
    BadRecord: the file is refused; the reason is in the message.
  """
  recipe = recipe or Recipe()
  with video.opened(source) as stream:
    lost = []
    encoder, groups = _encode(stream, recipe, lost.append)
    total = sum(map(len, groups))
    if total < recipe.min_frames:
      raise BadRecord(
        f'too short: {total} frames, fewer than {recipe.min_frames}'
      )
    # Of the bytes: copies under other names are one video, and share a split.
    identity = _sha256(source)
    made = [
      pack(_record(encoder, groups[begin:end], begin * GROUP, identity, name))
      for begin, end in _chunks(
        len(groups),
        recipe.chunk_frames // GROUP,
        recipe.overlap_frames // GROUP,
      )
    ]
    return Made(made, sum(lost))


def _chunks(total: int, length: int, overlap: int) -> Iterator[tuple[int, int]]:
  """First and last + 1 group of each record."""
  begin = 0
  while True:
    end = min(begin + length, total)
    yield begin, end
    if end == total:
      return
    begin += length - overlap


def _sha256(source: Path | bytes) -> str:
  if isinstance(source, bytes):
    return hashlib.sha256(source).hexdigest()
  with source.open('rb') as file:
    return hashlib.file_digest(file, 'sha256').hexdigest()


def _encode(
  stream: av.VideoStream,
  recipe: Recipe,
  on_lost: Callable[[float], Any],
) -> tuple[av.VideoStream, list[list[_Coded]]]:
  """The encoder's stream and the packets of each group of pictures."""
  source_rate = stream.average_rate or stream.guessed_rate
  if not source_rate:
    raise BadRecord('its frame rate is unknown')
  # A hundredth more, as files that say 30 often have 30.01.
  rate = source_rate / math.ceil(
    source_rate / (recipe.max_fps * Fraction(101, 100))
  )
  rate = rate.limit_denominator(1001)
  encoder, groups = None, []
  frames = video.each_frame(stream, on_lost)
  frames = constant_rate(frames, source_rate, rate)
  for number, frame in enumerate(frames):
    if encoder is None:
      height, width = _fit(
        *video.upright_size(stream, frame), recipe.short_side
      )
      encoder = _encoder(height, width, rate, recipe)
    picture = video.upright_planes(frame, height, width)
    picture.pts, picture.time_base = number, 1 / rate
    # Or the source's keyframes would be keyframes here too.
    picture.pict_type = av.video.frame.PictureType.NONE
    _collect(groups, encoder.encode(picture))
  _collect(groups, encoder.encode(None))
  return encoder, groups


def _collect(groups: list[list[_Coded]], packets: list[av.Packet]):
  for packet in packets:
    if packet.is_keyframe:
      groups.append([])
    groups[-1].append(_Coded(bytes(packet), packet.pts, packet.dts))


def constant_rate(
  frames: Iterator, source_rate: Fraction, rate: Fraction
) -> Iterator[av.VideoFrame]:
  """The frames on show at 0, 1 / rate, 2 / rate ... after the first.

  A frame without a time of its own, out of order, or after a long pause comes
  one frame of `source_rate` after the one before.
  """
  clock, number = Fraction(0), 0
  shown, shown_at = None, None
  for frame, at in _timed(frames):
    if shown is not None:
      known = at is not None and shown_at is not None
      step = at - shown_at if known else 0
      clock += step if 0 < step <= _LONGEST_STEP else 1 / source_rate
    # In fractions: of 30000/1001 a float would drift by a frame.
    slot = math.ceil(clock * rate - Fraction(1, 2))
    while number < slot:
      yield shown
      number += 1
    shown, shown_at = frame, at
  yield shown


def _timed(
  frames: Iterator[av.VideoFrame],
) -> Iterator[tuple[av.VideoFrame, Fraction | None]]:
  """Each frame with its time, if it has one.

  Frames come in display order. Files whose presentation times do not (packed
  B-frames in avi, wrong reordering in mp4) have good decoding times: trusted is
  whichever ran backwards less often so far, as ffmpeg does.
  """
  last = {'pts': -math.inf, 'dts': -math.inf}
  faults = {'pts': 0, 'dts': 0}
  for frame in frames:
    ticks = {'pts': frame.pts, 'dts': frame.dts}
    for kind, value in ticks.items():
      if value is not None:
        faults[kind] += value <= last[kind]
        last[kind] = value
    trusted = 'pts' if faults['pts'] <= faults['dts'] else 'dts'
    if ticks[trusted] is None:
      trusted = 'dts' if trusted == 'pts' else 'pts'
    tick = ticks[trusted]
    yield frame, None if tick is None else tick * frame.time_base


def _fit(height: int, width: int, short_side: int) -> tuple[int, int]:
  """Even sizes, as chroma has half; the short side at most `short_side`."""
  scale = min(1.0, short_side / min(height, width))
  height, width = (2 * round(side * scale / 2) for side in (height, width))
  # A block of H.264.
  if min(height, width) < 16:
    raise BadRecord(f'too small: {width} x {height} pixels')
  return height, width


def _encoder(
  height: int, width: int, rate: Fraction, recipe: Recipe
) -> av.VideoStream:
  """x264, as the stream of an mp4 that is never written."""
  # For the parameter sets in the header of an mp4, not in each keyframe.
  scratch = av.open(io.BytesIO(), 'w', format='mp4')
  stream = scratch.add_stream('libx264', rate=rate)
  codec = stream.codec_context
  codec.height, codec.width, codec.pix_fmt = height, width, 'yuv420p'
  codec.time_base = 1 / rate
  codec.color_range = av.video.reformatter.ColorRange.MPEG
  codec.colorspace = 6  # BT.601, as SMPTE 170M
  codec.options = {
    'preset': recipe.preset,
    'tune': 'fastdecode',
    'crf': str(recipe.crf),
    # A keyframe every GROUP frames and nowhere else; groups that stand alone;
    # always three B-frames, to which nothing refers; the same bytes on any
    # number of cores. Without mbtree, which reads memory that it has not
    # written: its output changes from call to call. It would save 5 % of them.
    'x264-params': (
      f'keyint={GROUP}:min-keyint={GROUP}:scenecut=0:open-gop=0:bframes=3:'
      'b-adapt=0:b-pyramid=none:mbtree=0:threads=1'
    ),
  }
  scratch.start_encoding()  # only now does the stream know its parameters
  return stream


def _record(
  encoder: av.VideoStream,
  groups: list[list[_Coded]],
  start: int,
  identity: str,
  name: str,
) -> Record:
  """The record of these groups, checked by decoding all of it."""
  payload = _mux(encoder, groups, start)
  extradata, packets = _index(payload)
  record = Record(
    source=identity,
    name=name,
    start=start,
    height=encoder.codec_context.height,
    width=encoder.codec_context.width,
    fps=1 / encoder.codec_context.time_base,
    extradata=extradata,
    packets=packets,
    payload=payload,
  )
  # Here a fault costs one file; in training it would cost each epoch a clip.
  video.decode(record, np.arange(record.frames))
  return record


def _mux(
  encoder: av.VideoStream, groups: list[list[_Coded]], start: int
) -> bytes:
  """An mp4 of the groups, whose first frame is number `start`."""
  file = io.BytesIO()
  # No versions and times in the file: the same bytes again.
  options = {'fflags': 'bitexact'}
  with av.open(file, 'w', format='mp4', container_options=options) as container:
    stream = container.add_stream_from_template(encoder)
    for group in groups:
      for position, coded in enumerate(group):
        packet = av.Packet(coded.data)
        packet.pts, packet.dts = coded.pts - start, coded.dts - start
        packet.time_base = encoder.codec_context.time_base
        packet.is_keyframe = position == 0
        packet.stream = stream
        container.mux(packet)
  return file.getvalue()


def _index(payload: bytes) -> tuple[bytes, np.ndarray]:
  """The parameter sets of an mp4, and its table of PACKET."""
  with av.open(io.BytesIO(payload)) as container:
    stream = container.streams.video[0]
    extradata = bytes(stream.codec_context.extradata)
    coded = [packet for packet in container.demux(stream) if packet.size]
    packets = np.zeros(len(coded), PACKET)
    order = np.argsort([packet.pts for packet in coded])
    packets['frame'][order] = np.arange(len(coded))
    for row, packet in zip(packets, coded):
      row['offset'], row['size'] = packet.pos, packet.size
      row['key'] = packet.is_keyframe
      # FFmpeg marks nothing as disposable in an mp4, so the bits themselves are
      # read.
      row['disposable'] = not _referred(bytes(packet), 1 + (extradata[4] & 3))
  return extradata, packets


def _referred(packet: bytes, length_size: int) -> bool:
  """Whether other frames may refer to it: nal_ref_idc of H.264, 7.4.1."""
  begin = 0
  while begin < len(packet):
    unit = begin + length_size
    if packet[unit] & 31 in _SLICES:
      return bool(packet[unit] >> 5 & 3)
    begin = unit + int.from_bytes(packet[begin:unit], 'big')
  raise ValueError('a packet of H.264 without a picture')
