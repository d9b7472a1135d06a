"""What `python -m data.inspect VIDEO` says before a file is ingested."""

import numpy as np
import pytest

from data.inspect import file
from data.source import BadRecord


def lines(path) -> list[str]:
  return list(file.describe(path))


def test_says_what_a_file_is_and_what_becomes_of_it(tmp_path, film):
  times = [50 * i + 5000 * (i >= 20) for i in range(40)]
  path = film.write(
    *(tmp_path / 'a.mp4', film.texture(40)),
    times=times,
    matrix=(-1, 0, 0, 0, 1, 0, 64, 0, 1),
    colours=(9, 18, 9),
  )
  said = lines(path)
  text = '\n'.join(said)
  for part in (
    'mov,mp4',
    'stream 0: h264, 64 x 48, yuv420p',
    'disposition default, taken',
    'shown: 64 x 48, mirrored left to right (a mirror); pixels square',
    'matrix BT.2020, range limited, primaries bt2020, transfer arib_std_b67'
    '; HDR',
    'from 0.00 s: 20 pictures a second; 20 frames at 20, 64 x 48',
    'from 6.00 s, paused before it: 20 pictures a second; 20 frames at 20',
    'told: 1 video HDR',
    'told: 1 video mirrored',
  ):
    assert part in text
  assert said[-1] == '  ingested: 2 records, 40 frames, 2.0 s'


def test_tells_gaps_and_a_truncated_end(tmp_path, film):
  options = {'g': '20', 'sc_threshold': '0', 'bf': '0'}
  path = film.write(tmp_path / 'a.mkv', film.texture(60), options=options)
  data = bytearray(path.read_bytes())
  middle = len(data) // 2
  data[middle : middle + 400] = bytes(400)
  path.write_bytes(data[:-50])
  text = '\n'.join(lines(path))
  assert 's on do not decode' in text
  assert 'told: 1 video truncated' in text


@pytest.mark.parametrize(
  ('write', 'reason'),
  [
    (lambda path, film: path.write_bytes(b''), 'empty file'),
    (lambda path, film: path.write_text('words'), 'not a video'),
    (lambda path, film: film.write(path, film.texture(9)), 'too short: 9 fr'),
    (
      lambda path, film: film.write(path, film.texture(1)),
      'too short: 1 frame, fewer than 16',
    ),
  ],
)
def test_says_why_ingestion_refuses_a_file(tmp_path, film, write, reason):
  write(tmp_path / 'a.mp4', film)
  with pytest.raises(BadRecord, match=reason):
    lines(tmp_path / 'a.mp4')


@pytest.mark.parametrize(
  ('frames', 'end'),
  [(16, '1 record, 16 frames, 1.6 s'), (161, '2 records, 161 frames, 16.1')],
)
def test_says_one_of_one(tmp_path, film, frames, end):
  path = film.write(tmp_path / 'a.mp4', film.texture(frames))
  assert end in lines(path)[-1]


def test_a_raw_stream_does_not_tell_its_length(tmp_path, film):
  path = film.write(tmp_path / 'a.mp4', film.texture(16))
  assert '1.6 s as FFmpeg has it' in lines(path)[0]
  path = film.write(tmp_path / 'a.h264', film.texture(16))
  assert lines(path)[0].endswith('does not tell its length')


def test_the_aspect_of_a_gif_is_not_told_as_if_it_counted(tmp_path, film):
  path = film.write(
    tmp_path / 'a.gif', film.greys(16), codec='gif', pixels='rgb8'
  )
  data = bytearray(path.read_bytes())
  data[12] = 113  # of the logical screen descriptor
  path.write_bytes(data)
  assert 'shown: 64 x 48, upright; pixels square' in '\n'.join(lines(path))


def test_tells_of_several_streams_and_turns(tmp_path, film):
  path = film.write(tmp_path / 'a.mp4', film.texture(20), rotation=90)
  text = '\n'.join(lines(path))
  assert 'shown: 48 x 64, rows and columns swapped, mirrored top' in text
  assert '(a mirror)' not in text
  assert np.char.count(text, 'taken') == 1
