"""Which files are a video, and which of their streams it is."""

from fractions import Fraction

import av
import cv2
import numpy as np
import pytest
from av.stream import Disposition

from data import film as film_lib
from data.film import streams
from data.source import BadRecord


def whole(source) -> list[av.VideoFrame]:
  with film_lib.opened(source) as stream:
    return list(film_lib.whole(stream))


def refusal(source) -> str:
  with pytest.raises(BadRecord) as caught:
    whole(source)
  return str(caught.value)


def test_files_that_are_no_video_say_so(tmp_path, film):
  assert refusal(b'') == 'empty file'
  assert 'not a video' in refusal(b'some bytes' * 100)
  picture = cv2.imencode('.png', film.texture(1)[0])[1].tobytes()
  said = 'a picture: make a video of several, docs/data.md tells how'
  assert refusal(picture) == f'not a video: it reads as png_pipe, {said}'
  jpeg = tmp_path / 'a.jpg'
  cv2.imwrite(str(jpeg), film.texture(1)[0])
  assert refusal(jpeg).endswith(said)
  text = tmp_path / 'a.txt'
  text.write_text('FFmpeg draws text files as videos of a terminal')
  assert 'not a video' in refusal(text)
  playlist = tmp_path / 'a.mp4'
  playlist.write_text('#EXTM3U\n#EXTINF:1\nhttp://127.0.0.1:9/a.ts\n')
  assert 'not a video' in refusal(playlist)
  drawn = tmp_path / 'a.ans'
  drawn.write_text('a text of a terminal\n' * 50)
  assert refusal(drawn) == 'not a video: it reads as tty, a text'
  mp4 = film.write(tmp_path / 'b.mp4', film.texture(4)).read_bytes()
  assert 'not a video' in refusal(mp4[: mp4.index(b'moov')])


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


def test_a_video_of_huge_pictures_is_a_bad_record(film, tmp_path, monkeypatch):
  file = film.write(tmp_path / 'a.mp4', film.greys(4))
  assert len(whole(file)) == 4
  monkeypatch.setattr(streams, '_PIXELS', 100)
  with pytest.raises(BadRecord):
    whole(file)


def test_titles_that_are_no_utf_8_do_not_matter(film, tmp_path):
  file = film.write(tmp_path / 'a.mp4', film.greys(4))
  data = file.read_bytes()
  assert b'VideoHandler' in data
  file.write_bytes(data.replace(b'VideoHandler', b'Vid\xe9oHandler'))
  assert len(whole(file)) == 4


def several(path, film, parts):
  """A file of several streams: (frames, size, disposition, codec) of each."""
  with av.open(str(path), 'w') as file:
    made = []
    for count, size, disposition, codec in parts:
      stream = file.add_stream(codec, rate=10)
      stream.height, stream.width = size
      stream.pix_fmt = 'yuvj420p' if codec == 'mjpeg' else 'yuv420p'
      stream.disposition = disposition
      made.append((stream, film.greys(count, *size)))
    for stream, pictures in made:
      for picture in pictures:
        frame = av.VideoFrame.from_ndarray(picture, 'rgb24')
        file.mux(stream.encode(frame))
      file.mux(stream.encode(None))
  return path


NONE, DEFAULT = Disposition(0), Disposition.default
LARGE, SMALL = (48, 64), (24, 32)


@pytest.mark.parametrize('suffix', ['mp4', 'mkv'])
@pytest.mark.parametrize(
  ('parts', 'taken'),
  [
    # A preview first; the default one is the large one, or the small one.
    ([(5, SMALL, NONE), (6, LARGE, DEFAULT)], 6),
    ([(5, SMALL, DEFAULT), (6, LARGE, NONE)], 5),
    # Of several the largest; of equals the first.
    ([(5, SMALL, DEFAULT), (6, LARGE, DEFAULT)], 6),
    ([(5, LARGE, DEFAULT), (6, LARGE, DEFAULT)], 5),
  ],
)
def test_the_default_stream_is_taken_or_the_largest(
  tmp_path, film, suffix, parts, taken
):
  parts = [(*part, 'libx264') for part in parts]
  path = several(tmp_path / f'a.{suffix}', film, parts)
  told = film_lib.Told()
  with film_lib.opened(path, told) as stream:
    assert len(list(film_lib.whole(stream))) == taken
  assert told.kinds == {'chosen': 1}


def test_a_single_picture_beside_a_video_is_its_thumbnail(tmp_path, film):
  parts = (1, (96, 128), DEFAULT, 'mjpeg'), (6, LARGE, NONE, 'libx264')
  assert len(whole(several(tmp_path / 'a.mp4', film, parts))) == 6


@pytest.mark.parametrize('suffix', ['mkv', 'nut'])
@pytest.mark.parametrize('disposition', [NONE, DEFAULT])
def test_so_is_one_of_a_file_that_does_not_count_its_pictures(
  tmp_path, film, suffix, disposition
):
  parts = (1, (96, 128), disposition, 'mjpeg'), (6, LARGE, NONE, 'mpeg4')
  path = several(tmp_path / f'a.{suffix}', film, parts)
  told = film_lib.Told()
  with film_lib.opened(path, told) as stream:
    assert len(list(film_lib.whole(stream))) == 6
  assert told.kinds == {'chosen': 1}


def test_covers_are_no_video(tmp_path, film):
  cover = 1, LARGE, Disposition.attached_pic, 'mjpeg'
  path = several(tmp_path / 'a.mp4', film, [cover])
  assert refusal(path) == 'no video stream'


@pytest.mark.parametrize(
  ('codec', 'suffix'), [('mpeg2video', 'm2v'), ('libx264', 'h264')]
)
def test_raw_streams_have_the_rate_that_they_say(tmp_path, film, codec, suffix):
  """Their demuxers invent 25 frames a second."""
  path = film.write(
    tmp_path / f'a.{suffix}', film.greys(20), codec=codec, rate=30
  )
  told = film_lib.Told()
  with film_lib.opened(path) as stream:
    found = [
      (each.rate, len(list(each.frames)))
      for each in film_lib.stretches(stream, lambda own: own, told)
    ]
    assert found == [(30, 20)]
    assert streams.rates(stream) == [Fraction(30)]
