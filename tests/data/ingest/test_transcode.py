"""Any video in, the recipe's records out; nothing but good videos."""

import io
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


def made(path, **options):
  """(first frame, rate, size, numbers shown) of each record; what is told."""
  found = transcode.records(path, 'x', Recipe(**options))
  parsed = [record.parse(data) for data in found.records]
  return parsed, found


def test_a_pause_of_some_frames_is_shown(tmp_path, film):
  # 20 frames per second, one of them shown for 8; from 3 s on.
  times = [3000 + 50 * i for i in range(20)] + [
    4350 + 50 * i for i in range(20)
  ]
  path = film.write(tmp_path / 'a.mkv', film.greys(40), rate=20, times=times)
  (only,), found = made(path)
  assert only.fps == 20
  shown = list(map(film.number, pictures(only)))
  assert shown == [*range(19), *[19] * 8, *range(20, 40)]
  assert found.told.pictures == {'repeated': 7}
  assert found.seconds == pytest.approx(47 / 20)


@pytest.mark.parametrize('suffix', ['mp4', 'mkv'])
def test_a_longer_pause_ends_a_record_and_begins_another(
  tmp_path, film, suffix
):
  times = [50 * i + 5000 * (i // 20) for i in range(60)]
  path = film.write(
    tmp_path / f'a.{suffix}', film.greys(50)[:20].repeat(3, 0), times=times
  )
  parsed, found = made(path)
  assert [each.fps for each in parsed] == [20] * 3
  assert [each.frames for each in parsed] == [20] * 3
  # Each is numbered by its time in the film.
  assert [each.start for each in parsed] == [0, 120, 240]
  assert found.told.kinds == {'paused': 2}
  assert found.seconds == 3


def test_a_last_picture_that_stays_is_no_truncation(tmp_path, film):
  for last in (200, 3000):
    path = film.write(
      tmp_path / 'a.mp4', film.greys(20), times=range(0, 2000, 100), last=last
    )
    (only,), found = made(path)
    assert only.frames == 20
    assert not found.told.kinds


def test_a_remnant_is_kept_and_told(tmp_path, film):
  """As of a file that starts at 100 s: its duration does not tell."""
  at = range(100_000, 106_000, 100)
  path = film.write(tmp_path / 'a.mkv', film.texture(60), times=at)
  data = path.read_bytes()
  parsed, found = made(data[: int(0.6 * len(data))])
  assert found.told.kinds['truncated'] == 1
  assert 16 <= sum(each.frames for each in parsed) < 60
  assert not transcode.records(data, 'x').told.kinds


def test_damage_is_a_gap_between_records(tmp_path, film):
  options = {'g': '20', 'sc_threshold': '0', 'bf': '0'}
  path = film.write(tmp_path / 'a.mp4', film.greys(60), options=options)
  with av.open(str(path)) as file:
    bad = [packet for packet in file.demux(video=0) if packet.size][25]
  data = bytearray(path.read_bytes())
  data[bad.pos : bad.pos + bad.size] = bytes(bad.size)
  parsed, found = made(bytes(data))
  assert [(each.start, each.frames) for each in parsed] == [(0, 25), (40, 20)]
  assert list(map(film.number, pictures(parsed[1])))[:3] == [40, 41, 42]
  assert found.told.kinds == {'damaged': 1}
  assert found.told.lost == pytest.approx(1.5)
  assert found.seconds == pytest.approx(4.5)


def test_another_size_is_another_record(tmp_path, film):
  parts = b''
  for size in (48, 64), (96, 48):
    path = film.write(tmp_path / 'a.ts', film.texture(20, *size))
    parts += path.read_bytes()
  parsed, found = made(parts)
  assert [(each.height, each.width) for each in parsed] == [(48, 64), (96, 48)]
  assert [each.frames for each in parsed] == [20, 20]
  assert found.told.kinds['resized'] == 1


def test_stretches_that_are_too_short_are_left_out_and_counted(tmp_path, film):
  times = [50 * i + 5000 * (i >= 20) for i in range(30)]
  path = film.write(tmp_path / 'a.mkv', film.greys(30), times=times)
  parsed, found = made(path)
  assert [each.frames for each in parsed] == [20]
  assert found.told.kinds == {'paused': 1, 'short': 1}
  assert found.told.pictures == {'too_short': 10}
  with pytest.raises(BadRecord, match=r'20 frames at a time \(paused\), fewer'):
    made(path, min_frames=25)


def test_what_was_done_is_told(tmp_path, film):
  mirror = (-1, 0, 0, 0, 1, 0, 64, 0, 1)
  path = film.write(
    *(tmp_path / 'a.mp4', film.texture(20)),
    matrix=mirror,
    colours=(9, 16, 9),  # PQ of BT.2020
  )
  (only,), found = made(path)
  assert found.told.kinds == {'mirrored': 1, 'hdr': 1}
  assert only.frames == 20
  path = film.write(tmp_path / 'a.mp4', film.texture(20), rotation=90)
  assert made(path)[1].told.kinds == {'turned': 1}


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


@pytest.mark.parametrize('size', [(16, 16), (16, 64), (64, 16), (20, 18)])
def test_small_videos_are_read_back(tmp_path, film, size):
  """FFmpeg counts the memory of a picture, which is larger."""
  path = film.write(tmp_path / 'a.mp4', film.greys(20, *size))
  (packed,) = transcode.records(path, 'a').records
  assert record.parse(packed).frames == 20
