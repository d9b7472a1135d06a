"""Two moments in one frame become one."""

import av
import numpy as np

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
