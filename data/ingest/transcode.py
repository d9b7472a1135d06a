"""One video file in, records out: a pure function, the heart of ingestion.

The format makes reading clips cheap (`docs/data.md` says how much, measured by
`data.bench`): H.264 of short side 256, a keyframe every 16 frames, closed
groups of pictures, no entropy coding that is slow to decode nor deblocking
(`fastdecode`), and B-frames that no other frame refers to (two of three frames,
which a reader skips unless it wants them).

Each stretch of the video (`data/film/pace.py`) is encoded once; a long one
becomes several records, which overlap so that a clip that would straddle an end
lies whole in the next: they are cut at keyframes, and what overlaps is the same
bytes twice.
"""

import functools
import hashlib
import io
from collections.abc import Iterator
from fractions import Fraction
from typing import NamedTuple

import av
import numpy as np

from data import film, video
from data.film.told import PARTS, Told, count
from data.formats.record import PACKET, Record, pack
from data.ingest.recipe import GROUP, Recipe
from data.remote import Path
from data.source import BadRecord

_SLICES = (1, 5)  # H.264 NAL units that hold pictures


class Made(NamedTuple):
  """What a video file gives."""

  records: list[bytes]  # `data.formats.record.pack`ed, in order
  seconds: float  # that are in them; what is in two counts once
  told: Told  # what was found and done


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
  told, made, seconds = Told(), [], Fraction(0)
  with film.opened(source, told) as stream:
    # Of the bytes: copies under other names are one video, and share a split.
    identity = _sha256(source)
    longest = 0
    stored = functools.partial(film.stored_rate, most=recipe.max_fps)
    for stretch in film.stretches(stream, stored, told):
      start = round(stretch.begin * stretch.rate)
      encoder, groups = _encode(stretch, recipe, told)
      total = sum(map(len, groups))
      longest = max(longest, total)
      if total < recipe.min_frames:
        told.kinds['short'] += 1
        told.pictures['too_short'] += total
        continue
      seconds += total / stretch.rate
      made += [
        pack(
          _record(
            encoder, groups[begin:end], start, begin * GROUP, identity, name
          )
        )
        for begin, end in chunks(len(groups), recipe)
      ]
    if not made:
      raise BadRecord(too_short(longest, recipe, told))
    if film.missing(source):
      told.kinds['truncated'] += 1
    return Made(made, float(seconds), told)


def too_short(longest: int, recipe: Recipe, told: Told) -> str:
  """Why a file is refused whose longest stretch has `longest` frames."""
  parts = [kind for kind in PARTS if told.kinds[kind]]
  parted = f' at a time ({", ".join(parts)})' if parts else ''
  frames = count('frame', longest)
  return f'too short: {frames}{parted}, fewer than {recipe.min_frames}'


def chunks(total: int, recipe: Recipe) -> Iterator[tuple[int, int]]:
  """First and last + 1 group of each record of a stretch of `total` groups."""
  length = recipe.chunk_frames // GROUP
  step = length - recipe.overlap_frames // GROUP
  begin = 0
  while True:
    end = min(begin + length, total)
    yield begin, end
    if end == total:
      return
    begin += step


def _sha256(source: Path | bytes) -> str:
  if isinstance(source, bytes):
    return hashlib.sha256(source).hexdigest()
  with source.open('rb') as file:
    return hashlib.file_digest(file, 'sha256').hexdigest()


def _encode(
  stretch: film.Stretch, recipe: Recipe, told: Told
) -> tuple[av.VideoStream, list[list[_Coded]]]:
  """The encoder's stream and the packets of each group of pictures."""
  height, width = fit(*stretch.size, recipe.short_side)
  encoder, groups = _encoder(height, width, stretch.rate, recipe), []
  for number, frame in enumerate(stretch.frames):
    if not number:
      tell(frame, told)
    picture = film.upright_planes(frame, height, width)
    picture.pts, picture.time_base = number, 1 / stretch.rate
    # Or the source's keyframes would be keyframes here too.
    picture.pict_type = av.video.frame.PictureType.NONE
    _collect(groups, encoder.encode(picture))
  _collect(groups, encoder.encode(None))
  return encoder, groups


def tell(frame: av.VideoFrame, told: Told):
  """Tells how pictures like this one are shown."""
  colours, turn = film.colours(frame), film.turn(frame)
  if colours:
    told.kinds[colours] += 1
  if turn != film.UPRIGHT:
    told.kinds['mirrored' if turn.mirrors else 'turned'] += 1


def _collect(groups: list[list[_Coded]], packets: list[av.Packet]):
  for packet in packets:
    if packet.is_keyframe:
      groups.append([])
    groups[-1].append(_Coded(bytes(packet), packet.pts, packet.dts))


def fit(height: int, width: int, short_side: int) -> tuple[int, int]:
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
  begin: int,
  identity: str,
  name: str,
) -> Record:
  """The record of these groups, checked by decoding all of it.

  Args:
    encoder: of the stretch.
    groups: of pictures.
    start: number of the stretch's first frame in the video.
    begin: number of the first one of `groups` in the stretch.
    identity: of the file.
    name: of the file.
  """
  payload = _mux(encoder, groups, begin)
  extradata, packets = _index(payload)
  record = Record(
    source=identity,
    name=name,
    start=start + begin,
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
