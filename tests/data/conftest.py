"""Tiny videos, made here so that no test needs a network."""

import types
from fractions import Fraction

import av
import numpy as np
import pytest

from data.formats import record
from data.ingest import transcode

HEIGHT, WIDTH = 48, 64


def greys(count: int, height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
  """Frame i is of grey 20 + 5 i: `number` tells which frame a picture is."""
  levels = 20 + 5 * np.arange(count, dtype=np.uint8)
  return np.tile(levels[:, None, None, None], (1, height, width, 3))


def number(picture: np.ndarray) -> int:
  """Which frame of `greys` it is."""
  return round((float(picture.mean()) - 20) / 5)


def texture(count: int, height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
  """A smooth coloured pattern that moves."""
  rows, columns = np.mgrid[:height, :width]
  times = np.arange(count)[:, None, None]
  waves = [
    np.sin(columns / 9 + times / 3),
    np.sin(rows / 7 - times / 4),
    np.sin((rows + columns) / 11 + times / 5),
  ]
  return (128 + 90 * np.stack(waves, -1)).astype(np.uint8)


def write(
  path,
  video: np.ndarray,
  *,
  codec: str = 'libx264',
  pixels: str = 'yuv420p',
  rate: int = 10,
  times=None,
  rotation: int = 0,
  matrix=None,
  aspect: Fraction | None = None,
  colours=None,
  last=None,
  options=None,
):
  """Encodes RGB `video`.

  `times` are of the frames, in 1 / 1000 s, and `last` is how long the last one
  stays; `matrix` is a display matrix, in whole numbers; `colours` are the
  primaries, transfer and matrix that the file is tagged with.
  """
  with av.open(str(path), 'w') as container:
    stream = container.add_stream(codec, rate=rate, options=options or {})
    stream.height, stream.width = video.shape[1:3]
    stream.pix_fmt, stream.bit_rate = pixels, 2_000_000
    if aspect:
      stream.codec_context.sample_aspect_ratio = aspect
    if times is not None:
      stream.codec_context.time_base = Fraction(1, 1000)
    if rotation:
      stream.set_display_rotation(rotation)
    if matrix:
      scales = 2**16, 2**16, 2**30
      stream.set_display_matrix([a * b for a, b in zip(matrix, 3 * scales)])
    if colours:
      codec = stream.codec_context
      codec.color_primaries, codec.color_trc, codec.colorspace = colours
    packets = []
    for index, picture in enumerate(video):
      frame = av.VideoFrame.from_ndarray(picture, 'rgb24')
      if times is not None:
        frame.pts, frame.time_base = times[index], Fraction(1, 1000)
      packets += stream.encode(frame)
    packets += stream.encode(None)
    if last:
      packets[-1].duration = round(last / packets[-1].time_base / 1000)
    container.mux(packets)
  return path


def write_bad_start(path, count: int = 40):
  """A `texture` of 10 frames a second whose first of many keyframes is bad."""
  options = {'g': '8', 'sc_threshold': '0', 'bf': '0'}
  data = bytearray(write(path, texture(count), options=options).read_bytes())
  with av.open(str(path)) as container:
    first = next(container.demux(video=0))
  middle = first.pos + first.size // 2
  data[middle : first.pos + first.size] = bytes(first.size - first.size // 2)
  path.write_bytes(data)
  return path


@pytest.fixture(scope='session')
def film():
  """What makes and recognises videos: greys, number, texture, write."""
  return types.SimpleNamespace(
    greys=greys,
    number=number,
    texture=texture,
    write=write,
    write_bad_start=write_bad_start,
  )


@pytest.fixture(scope='session')
def film_record(film, tmp_path_factory):
  """A record of 50 frames of `film.texture`, four groups of pictures."""
  path = film.write(tmp_path_factory.mktemp('film') / 'a.mp4', texture(50))
  (packed,) = transcode.records(path, 'a.mp4').records
  return record.parse(packed)


@pytest.fixture(scope='session')
def footage(tmp_path_factory):
  """A folder with three good videos, and three files that are not."""
  folder = tmp_path_factory.mktemp('footage')
  write(folder / 'a.mp4', texture(40))
  (folder / 'below').mkdir()
  write(folder / 'below' / 'b.mkv', texture(21)[::-1])
  write(folder / 'c.avi', greys(30), codec='mpeg4')
  (folder / 'empty.mp4').touch()
  (folder / 'notes.txt').write_text('not a video')
  write(folder / 'short.mp4', texture(5))
  return folder
