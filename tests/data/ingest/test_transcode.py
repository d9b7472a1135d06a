"""Any video in, the recipe's records out; nothing but good videos."""

import io
import math
from fractions import Fraction

import av
import cv2
import numpy as np
import pytest

from data import video
from data.formats import record
from data.ingest import transcode
from data.ingest.recipe import Recipe
from data.source import BadRecord


def records(path, **options):
  return [
    record.parse(data)
    for data in transcode.records(path, 'x', Recipe(**options)).records
  ]


def pictures(each) -> np.ndarray:
  """All frames as RGB."""
  frames = video.decode(each, np.arange(each.frames))
  return np.stack([frame.to_ndarray(format='rgb24') for frame in frames])


@pytest.mark.parametrize(
  ('codec', 'pixels', 'suffix'),
  [
    ('libx264', 'yuv420p', 'mp4'),
    ('libx264', 'yuv420p', 'mkv'),
    ('libx265', 'yuv420p10le', 'mov'),
    ('libvpx', 'yuv420p', 'webm'),
    ('libvpx-vp9', 'yuv420p', 'webm'),
    ('mpeg4', 'yuv420p', 'avi'),
    ('mjpeg', 'yuvj420p', 'avi'),
  ],
)
def test_every_container_and_codec(tmp_path, film, codec, pixels, suffix):
  options = {'x265-params': 'log-level=none'} if codec == 'libx265' else {}
  path = film.write(
    tmp_path / f'a.{suffix}',
    film.greys(24),
    codec=codec,
    pixels=pixels,
    options=options,
  )
  (only,) = records(path)
  assert (only.height, only.width, only.fps) == (48, 64, 10)
  assert list(map(film.number, pictures(only))) == list(range(24))


def test_the_format_is_the_recipe(film_record):
  packets = film_record.packets
  keys = packets['frame'][packets['key'] == 1]
  assert keys.tolist() == [0, 16, 32, 48]
  assert packets['disposable'].mean() > 0.6
  # The payload is a whole mp4, with the same frames.
  with av.open(io.BytesIO(film_record.payload)) as container:
    stream = container.streams.video[0]
    assert stream.codec_context.pix_fmt == 'yuv420p'
    assert stream.average_rate == film_record.fps
    assert sum(1 for _ in container.decode(stream)) == 50


def test_long_videos_are_cut_with_overlap(tmp_path, film):
  path = film.write(tmp_path / 'a.mp4', film.greys(46))
  found = records(path, chunk_frames=32, overlap_frames=16)
  assert [(each.start, each.frames) for each in found] == [(0, 32), (16, 30)]
  for each in found:
    numbers = list(map(film.number, pictures(each)))
    assert numbers == list(range(each.start, each.start + each.frames))
  np.testing.assert_array_equal(
    pictures(found[0])[16:], pictures(found[1])[:16]
  )


def test_the_same_bytes_every_time(tmp_path, film):
  path = film.write(tmp_path / 'a.mp4', film.texture(40))
  first = transcode.records(path, 'x')
  held = []
  for size in (10, 10**5, 10**6):
    held.append(bytearray(size))  # other memory for the encoder
    assert transcode.records(path, 'x') == first
  assert transcode.records(path.read_bytes(), 'x') == first


def test_short_side_is_reduced_and_never_enlarged(tmp_path, film):
  path = film.write(tmp_path / 'a.mp4', film.texture(16, 96, 150))
  assert [(r.height, r.width) for r in records(path, short_side=48)] == [
    (48, 76)
  ]
  assert [(r.height, r.width) for r in records(path)] == [(96, 150)]


def test_pixels_become_square_and_pictures_upright(tmp_path, film):
  path = film.write(
    tmp_path / 'a.mp4', film.texture(16), rotation=90, aspect=Fraction(3, 2)
  )
  (only,) = records(path)
  assert (only.height, only.width) == (96, 48)
  wide = [cv2.resize(picture, (96, 48)) for picture in film.texture(16)]
  expected = np.rot90(wide, axes=(1, 2)).astype(int)
  assert np.abs(pictures(only) - expected).mean() < 8


def test_fast_videos_keep_every_other_frame(tmp_path, film):
  path = film.write(tmp_path / 'a.mp4', film.greys(46), rate=60)
  (only,) = records(path)
  assert (only.fps, only.frames) == (30, 23)
  numbers = list(map(film.number, pictures(only)))
  assert set(np.diff(numbers)) == {2}


def test_variable_rate_becomes_constant(tmp_path, film):
  # 20 frames per second, then a frame shown for half a second; from 3 s on.
  times = [3000 + 50 * i for i in range(20)] + [
    4500 + 50 * i for i in range(20)
  ]
  path = film.write(tmp_path / 'a.mkv', film.greys(40), rate=20, times=times)
  (only,) = records(path)
  shown = list(map(film.number, pictures(only)))
  assert float(only.fps) == pytest.approx(20, rel=0.3)
  assert shown == sorted(shown)
  seconds = [shown.index(n) / only.fps for n in (0, 19, 20, 39)]
  np.testing.assert_allclose(
    np.array(seconds, float), [0, 0.95, 1.5, 2.45], atol=0.06
  )


def blank(pts, time_base):
  """A frame that is shown at that time."""
  made = av.VideoFrame(16, 16, 'yuv420p')
  made.pts, made.time_base = pts, time_base
  return made


@pytest.mark.parametrize('rounded', [math.floor, round, math.ceil])
@pytest.mark.parametrize('rate', [Fraction(30), Fraction(30000, 1001)])
def test_times_in_milliseconds_lose_and_double_no_frame(rate, rounded):
  """As Matroska has them: of 30 frames a second, 0, 33, 67, 100."""
  times = [rounded(1000 * i / rate) for i in range(300)]
  given = [blank(each, Fraction(1, 1000)) for each in times]
  assert list(transcode.constant_rate(iter(given), rate, rate)) == given


def test_long_pauses_are_cut_out():
  given = [blank(s, Fraction(1)) for s in (5, 6, 3600, 3601, 10)]
  one = Fraction(1)
  assert list(transcode.constant_rate(iter(given), one, one)) == given


def test_wrong_presentation_times_add_no_frames():
  class Frame:
    time_base = Fraction(1)

    def __init__(self, pts, dts):
      self.pts, self.dts = pts, dts

  # As some avi have it, of frames I B B P B B P in display order.
  pairs = [(2, 2), (3, 3), (5, 4), (4, 5), (6, 6), (8, 7), (7, 8), (9, 9)]
  given = [Frame(*pair) for pair in pairs]
  one = Fraction(1)
  shown = list(transcode.constant_rate(iter(given), one, one))
  assert len(shown) <= len(given) + 1
  assert sorted(shown, key=given.index) == shown


@pytest.mark.parametrize(
  ('count', 'options', 'reason'),
  [
    (15, {}, 'too short: 15 frames, fewer than 16'),
    (16, {'min_frames': 20}, 'too short: 16 frames, fewer than 20'),
  ],
)
def test_too_short_is_refused(tmp_path, film, count, options, reason):
  path = film.write(tmp_path / 'a.mp4', film.texture(count))
  with pytest.raises(BadRecord, match=reason):
    transcode.records(path, 'x', Recipe(**options))


def test_too_small_is_refused(tmp_path, film):
  path = film.write(tmp_path / 'a.mp4', film.texture(16, 8, 40))
  with pytest.raises(BadRecord, match='too small: 40 x 8 pixels'):
    transcode.records(path, 'x')
