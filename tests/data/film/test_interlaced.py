"""Two moments in one frame become one."""

import subprocess

import av
import numpy as np
import pytest

from data import classified
from data import film as film_lib
from data.film.told import Told


def interlaced(path, count=12, progressive=0):
  """A bar that moves by 4 pixels from field to field; then whole pictures."""
  with av.open(str(path), 'w') as file:
    stream = file.add_stream('libx264', rate=25)
    stream.height, stream.width, stream.pix_fmt = 48, 64, 'yuv420p'
    stream.codec_context.options = {
      'x264-params': 'tff=1:bframes=0',
      'crf': '4',
    }
    for number in range(count):
      picture = np.full((48, 64, 3), 40, np.uint8)
      for field in (0, 1):
        left = 4 * (2 * number + field) % 48
        picture[field::2, left : left + 8] = 220
      file.mux(stream.encode(av.VideoFrame.from_ndarray(picture, 'rgb24')))
    file.mux(stream.encode(None))
  return path


class Bits:
  """Of an H.264 unit, one after another."""

  def __init__(self):
    self._bits = ''

  def put(self, *pairs):
    """(value, bits), or a value alone as Exp-Golomb code."""
    for pair in pairs:
      if isinstance(pair, tuple):
        self._bits += f'{pair[0]:0{pair[1]}b}' if pair[1] else ''
      else:
        self._bits += f'{pair + 1:0{2 * (pair + 1).bit_length() - 1}b}'
    return self

  def bytes(self) -> bytes:
    """Zeros up to the next whole byte."""
    self._bits += '0' * (-len(self._bits) % 8)
    return int('1' + self._bits, 2).to_bytes(len(self._bits) // 8 + 1)[1:]


def fields(path, count=12, rate=25):
  """As `interlaced`, of H.264 that codes each field as a picture (PAFF).

  No encoder at hand does: blocks of 16 x 16 as they are (I_PCM), without zeros,
  which a unit may not have many of.
  """
  one = 1, 1
  zero = 0, 1
  # Main profile, no order of its own; 4 x 2 blocks a field, of frames of two;
  # the clock, of two ticks a frame.
  size = 2, 1, zero, 3, 1, zero, zero, one, zero
  clock = (*(zero, zero, zero, zero, one, (1, 32), (2 * rate, 32), one),)
  head = Bits().put((77, 8), (0, 8), (30, 8), 0, 0, *size, one, *clock)
  head = head.put(*[zero] * 4, one).bytes()
  shape = Bits().put(0, 0, zero, zero, 0, 0, 0, zero, (0, 2), 0, 0, 0, (0, 3))
  head = b'\0\0\1\x67' + head + b'\0\0\1\x68' + shape.put(one).bytes()
  data = b''
  for number in range(count):
    data += head
    for field in (0, 1):
      luma = np.full((32, 64), 40, np.uint8)
      left = 4 * (2 * number + field) % 48
      luma[:, left : left + 8] = 220
      # The first one is an IDR picture.
      marks = [(0, 1)] if field else [number % 2, (0, 2)]
      begin = Bits().put(0, 7, 0, (0, 4), one, (field, 1), *marks, 0)
      unit = bytes([0x61 if field else 0x65])
      for y in range(0, 32, 16):
        for x in range(0, 64, 16):
          unit += begin.put(25).bytes()
          unit += luma[y : y + 16, x : x + 16].tobytes() + bytes([128] * 128)
          begin = Bits()
      data += b'\0\0\1' + unit + b'\x80'
  path.write_bytes(data)
  return path


def combed(picture) -> float:
  """By how much rows differ from both that are beside them."""
  luma = picture.astype(int).mean(-1)
  above, row, below = luma[:-2], luma[1:-1], luma[2:]
  return float(np.minimum(abs(row - above), abs(row - below)).mean())


def read(path):
  told = Told()
  with film_lib.opened(path) as stream:
    shown = [
      (frame.pts, film_lib.upright(frame, 48, 64))
      for stretch in film_lib.stretches(stream, lambda own: own, told)
      for frame in stretch.frames
    ]
    raw = stream.time_base
  return shown, raw, told


def test_interlaced_frames_show_one_moment(tmp_path):
  path = interlaced(tmp_path / 'a.mp4')
  shown, base, told = read(path)
  assert len(shown) == 12
  assert [pts * base * 25 for pts, _ in shown] == list(range(12))
  assert told.kinds['interlaced'] == 1
  assert told.pictures['deinterlaced'] == 12
  with av.open(str(path)) as file:
    woven = [
      combed(frame.to_ndarray(format='rgb24')) for frame in file.decode(video=0)
    ]
  shown = [combed(picture) for _, picture in shown]
  assert np.mean(shown) < 0.3 * np.mean(woven)
  # Readers see the same.
  with film_lib.opened(path) as stream:
    read_too = [
      combed(film_lib.upright(frame, 48, 64))
      for frame in film_lib.whole(stream)
    ]
  assert read_too == shown


def test_a_gap_parts_interlaced_frames_too(tmp_path):
  """What is held back when damage comes is not lost, nor mixed."""
  path = interlaced(tmp_path / 'a.ts')
  path.write_bytes(path.read_bytes() * 2)
  shown, _, told = read(path)
  assert len(shown) == 24
  assert told.kinds['clock'] == 1


def test_whole_pictures_are_left_as_they_are(tmp_path, film):
  path = film.write(tmp_path / 'a.mp4', film.texture(6))
  shown, _, told = read(path)
  with film_lib.opened(path) as stream:
    for (_, ours), frame in zip(shown, film_lib.whole(stream), strict=True):
      np.testing.assert_array_equal(ours, film_lib.upright(frame, 48, 64))
  assert not told.kinds


@pytest.mark.parametrize(('order', 'first'), [('tt', 'tff'), ('bb', 'bff')])
@pytest.mark.parametrize('codec', ['mjpeg', 'ffvhuff'])
def test_what_a_codec_cannot_say_the_file_says(tmp_path, codec, order, first):
  source = interlaced(tmp_path / 'a.mp4')
  path = tmp_path / 'b.mkv'
  command = ['ffmpeg', '-loglevel', 'error', '-i', str(source), '-vf']
  command += [f'setfield={first}', '-c:v', codec, '-field_order', order]
  try:
    subprocess.run([*command, '-q:v', '2', str(path)], check=True)
  except FileNotFoundError:
    pytest.skip('ffmpeg writes it')
  with av.open(str(path)) as file:
    frames = list(file.decode(video=0))
    assert not any(frame.interlaced_frame for frame in frames)
    woven = [combed(frame.to_ndarray(format='rgb24')) for frame in frames]
  shown, _, told = read(path)
  assert told.pictures['deinterlaced'] == len(shown) == 12
  assert np.mean([combed(picture) for _, picture in shown]) < 0.3 * np.mean(
    woven
  )


def test_fields_that_are_coded_each_by_itself_are_one_picture(tmp_path):
  path = fields(tmp_path / 'a.h264')
  with av.open(str(path)) as file:
    assert sum(packet.size > 0 for packet in file.demux(video=0)) == 24
  told = Told()
  with film_lib.opened(path) as stream:
    stretch = next(film_lib.stretches(stream, lambda own: own, told))
    shown = [film_lib.upright(frame, 64, 64) for frame in stretch.frames]
    assert film_lib.is_of_fields(stream)
  assert (len(shown), stretch.rate) == (12, 25)
  assert told.pictures['deinterlaced'] == 12
  assert max(map(combed, shown)) < 1
  # Readers of lists count frames, not packets.
  assert classified.count(path) == 12
  assert classified.pictures(path, np.arange(12)).shape == (12, 64, 64, 3)
