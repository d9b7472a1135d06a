import dataclasses
import io

import av
import cv2
import numpy as np
import pytest
from av.video.reformatter import Colorspace

from data import video
from data.source import BadRecord
from data.transforms import Box


@pytest.fixture(scope='module')
def every_frame(film_record):
  """The record's mp4 as a plain PyAV loop sees it."""
  with av.open(io.BytesIO(film_record.payload)) as container:
    return list(container.decode(video=0))


@pytest.mark.parametrize(
  'frames',
  [
    [0],
    [49],
    [15, 16, 17],
    [3, 7, 11, 45],
    [30, 2, 2, 49, 49],  # in any order, repeated
    list(range(1, 50, 3)),
    list(range(50)),
  ],
)
def test_decode_is_bit_exact(film_record, every_frame, frames):
  decoded = video.decode(film_record, np.array(frames))
  for number, frame in zip(frames, decoded, strict=True):
    np.testing.assert_array_equal(
      frame.to_ndarray(), every_frame[number].to_ndarray()
    )


def test_decode_skips_what_nobody_needs(film_record):
  packets = film_record.packets
  # Frame 46 needs the keyframe 32 and the reference frames after it.
  rows = video.needed(packets, np.array([46]))
  assert packets['frame'][rows].tolist() == [32, 36, 40, 44, 47, 46]
  # A group without a wanted frame is not decoded at all.
  rows = video.needed(packets, np.array([1, 33]))
  assert packets['frame'][rows].tolist() == [0, 4, 1, 32, 36, 33]


def test_decode_refuses_frames_outside(film_record):
  with pytest.raises(ValueError, match='ask for 0 to 49'):
    video.decode(film_record, np.array([50]))


def test_decode_names_the_record_when_frames_are_missing(film_record):
  empty = dataclasses.replace(film_record, payload=bytes(10**6), start=320)
  with pytest.raises(BadRecord, match=r'a\.mp4 from frame 320'):
    video.decode(empty, np.array([5]))


def test_render_agrees_with_converting_first(every_frame):
  frames = every_frame[:3]
  box = Box(6, 10, 30, 40)
  ours = video.render(frames, box, 24, 32)
  for frame, picture in zip(frames, ours):
    whole = frame.to_ndarray(format='rgb24')[6:36, 10:50]
    other = cv2.resize(whole, (32, 24)).astype(int)
    assert np.abs(picture - other).mean() < 5  # chroma, interpolated


@pytest.mark.parametrize('size', [(25, 40), (25, 41), (11, 15)])
def test_render_flips(every_frame, size):
  box = Box(0, 0, 48, 64)
  plain = video.render(every_frame[:2], box, *size)
  flipped = video.render(every_frame[:2], box, *size, flip=True)
  difference = flipped[:, :, ::-1].astype(int) - plain
  assert np.abs(difference).max() <= 2  # chroma is interpolated


@pytest.mark.parametrize('size', [(21, 33), (1, 1), (96, 128)])
def test_render_has_any_size(every_frame, size):
  shown = video.render(every_frame[:2], Box(1, 3, 45, 61), *size)
  assert shown.shape == (2, *size, 3)
  assert shown.dtype == np.uint8


def test_small_renders_average_what_they_cover(every_frame):
  whole = video.render(every_frame[:1], Box(0, 0, 48, 64), 48, 64)
  small = video.render(every_frame[:1], Box(0, 0, 48, 64), 6, 8)
  blocks = whole.reshape(6, 8, 8, 8, 3).mean((1, 3))
  assert np.abs(small[0] - blocks).mean() < 3


@pytest.mark.parametrize(
  ('codec', 'pixels', 'suffix'),
  [
    ('libx264', 'yuv420p', 'mp4'),
    ('libx264', 'yuv444p', 'mov'),
    ('mjpeg', 'yuvj420p', 'avi'),  # full range
    ('ffv1', 'bgr0', 'mkv'),
    ('libvpx-vp9', 'yuv420p', 'webm'),
  ],
)
def test_load_keeps_colours(tmp_path, film, codec, pixels, suffix):
  colours = [(200, 60, 30), (30, 180, 60), (250, 250, 250), (5, 5, 5)]
  clip = np.empty((4, 40, 56, 3), np.uint8)
  clip[:] = np.array(colours, np.uint8)[:, None, None]
  path = film.write(tmp_path / f'a.{suffix}', clip, codec=codec, pixels=pixels)
  loaded = video.load(path)
  assert loaded.shape == clip.shape
  assert np.abs(loaded.astype(int) - clip).max() <= 6
  np.testing.assert_array_equal(video.load(path.read_bytes()), loaded)


@pytest.mark.parametrize(
  ('height', 'meant', 'other'),
  [(718, 'ITU601', 'ITU709'), (720, 'ITU709', 'ITU601')],
)
def test_untagged_films_have_the_colours_of_their_size(height, meant, other):
  """As players show them: no file says so."""

  def frame(space):
    made = av.VideoFrame(16, height, 'yuv420p')
    for plane, level in zip(made.planes, (120, 90, 180)):
      plane.update(bytes([level]) * plane.buffer_size)
    made.colorspace = space
    return made

  shown, same, wrong = (
    video.upright(frame(space), height, 16).astype(int)
    for space in (2, Colorspace[meant], Colorspace[other])
  )
  np.testing.assert_array_equal(shown, same)
  assert np.abs(shown - wrong).max() > 8


@pytest.mark.parametrize('rotation', [90, -90, 180])
def test_load_turns_pictures_upright(tmp_path, film, rotation):
  clip = film.texture(4)
  path = film.write(tmp_path / 'a.mp4', clip, rotation=rotation)
  expected = np.rot90(clip, rotation // 90, axes=(1, 2))
  loaded = video.load(path)
  assert loaded.shape == expected.shape
  assert np.abs(loaded.astype(int) - expected).mean() < 8


def refusal(source) -> str:
  with pytest.raises(BadRecord) as caught:
    video.load(source)
  return str(caught.value)


def test_files_that_are_no_video_say_so(tmp_path, film):
  assert refusal(b'') == 'empty file'
  assert 'not a video' in refusal(b'some bytes' * 100)
  picture = cv2.imencode('.png', film.texture(1)[0])[1].tobytes()
  assert 'reads as png_pipe' in refusal(picture)
  text = tmp_path / 'a.txt'
  text.write_text('FFmpeg draws text files as videos of a terminal')
  assert 'not a video' in refusal(text)
  playlist = tmp_path / 'a.mp4'
  playlist.write_text('#EXTM3U\n#EXTINF:1\nhttp://127.0.0.1:9/a.ts\n')
  assert 'not a video' in refusal(playlist)


def test_sound_is_no_video(tmp_path):
  path = tmp_path / 'a.wav'
  with av.open(str(path), 'w') as container:
    stream = container.add_stream('pcm_s16le', rate=8000, layout='mono')
    sound = av.AudioFrame.from_ndarray(
      np.zeros((1, 800), np.int16), 's16', 'mono'
    )
    sound.rate = 8000
    container.mux(stream.encode(sound))
    container.mux(stream.encode(None))
  assert refusal(path) == 'no video stream'


@pytest.mark.parametrize('suffix', ['mp4', 'mkv', 'avi'])
@pytest.mark.parametrize('part', [0.4, 0.7])
def test_truncated_files_are_refused(tmp_path, film, suffix, part):
  options = {'movflags': 'faststart'} if suffix == 'mp4' else {}
  with av.open(str(tmp_path / f'a.{suffix}'), 'w', options=options) as file:
    stream = file.add_stream('libx264', rate=10, options={'g': '8', 'crf': '5'})
    stream.height, stream.width = 48, 64
    for picture in film.texture(40):
      file.mux(stream.encode(av.VideoFrame.from_ndarray(picture, 'rgb24')))
    file.mux(stream.encode(None))
  whole = (tmp_path / f'a.{suffix}').read_bytes()
  assert video.load(whole).shape == (40, 48, 64, 3)
  reason = refusal(whole[: int(len(whole) * part)])
  assert 'truncated' in reason or 'damaged' in reason


def test_damage_inside_is_refused(tmp_path, film):
  data = bytearray(
    film.write(tmp_path / 'a.mp4', film.texture(40)).read_bytes()
  )
  begin = data.index(b'mdat') + len(data) // 2
  data[begin : begin + 4000] = bytes(4000)
  assert 'damaged' in refusal(bytes(data))


def test_a_bad_start_is_left_out_only_by_who_asks(tmp_path, film):
  path = film.write_bad_start(tmp_path / 'a.mp4')
  assert refusal(path) == 'damaged: its first 0.8 s do not decode'
  lost = []
  with video.opened(path) as stream:
    shown = [
      video.upright(frame, 48, 64)
      for frame in video.each_frame(stream, on_lost=lost.append)
    ]
  assert lost == [pytest.approx(0.8)]
  assert np.abs(np.array(shown, int) - film.texture(40)[8:]).mean() < 8


def test_a_good_start_loses_nothing(tmp_path, film):
  path = film.write(
    tmp_path / 'a.mkv', film.texture(20), times=range(500, 2500, 100)
  )
  with video.opened(path) as stream:
    assert len(list(video.each_frame(stream, on_lost=pytest.fail))) == 20


def test_a_video_of_huge_pictures_is_a_bad_record(film, tmp_path, monkeypatch):
  file = film.write(tmp_path / 'a.mp4', film.greys(4))
  with video.opened(file) as stream:
    assert len(list(video.each_frame(stream))) == 4
  monkeypatch.setattr(video, '_PIXELS', 100)
  with video.opened(file) as stream, pytest.raises(BadRecord):
    list(video.each_frame(stream))


def test_titles_that_are_no_utf_8_do_not_matter(film, tmp_path):
  file = film.write(tmp_path / 'a.mp4', film.greys(4))
  whole = file.read_bytes()
  assert b'VideoHandler' in whole
  file.write_bytes(whole.replace(b'VideoHandler', b'Vid\xe9oHandler'))
  with video.opened(file) as stream:
    assert len(list(video.each_frame(stream))) == 4
