"""Every picture has a time of one clock that never runs back."""

import itertools
from fractions import Fraction

import av
import pytest
from av.bitstream import BitStreamFilterContext

from data import film as film_lib
from data.film import clock, decoded, streams
from data.film.told import Told
from data.source import BadRecord


def times(path) -> tuple[list[float], list[str], Told]:
  """Seconds of each picture, and what parts it from the one before."""
  told = Told()
  with film_lib.opened(path) as stream:
    frames = decoded.clean(stream, told)
    found = list(clock.timed(stream, frames, told))
  return [float(x.time) for x in found], [x.after for x in found], told


def test_times_are_those_of_the_file(tmp_path, film):
  at = [500, 533, 600, 1700, 1733]
  path = film.write(
    tmp_path / 'a.mkv', film.greys(5), times=at, options={'bf': '0'}
  )
  found, after, _ = times(path)
  assert found == pytest.approx([(each - 500) / 1000 for each in at])
  assert after == [''] * 5


@pytest.mark.parametrize('rate', [15, 24, 25, 30])
@pytest.mark.parametrize('copied', [True, False])
def test_b_frames_in_avi_have_the_times_of_the_film(
  tmp_path, film, rate, copied
):
  """An avi has no presentation times: FFmpeg takes those of decoding."""
  options = {'bf': '2', 'b_strategy': '0', 'g': '12', 'sc_threshold': '0'}
  source = tmp_path / f'a.{"mp4" if copied else "avi"}'
  path = film.write(source, film.greys(30), rate=rate, options=options)
  if copied:
    path = copy(path, tmp_path / 'b.avi')
  found, _, told = times(path)
  steps = [round(b - a, 6) for a, b in itertools.pairwise(found)]
  assert steps == [round(1 / rate, 6)] * 29
  assert not told.kinds


def copy(path, target):
  with av.open(str(path)) as source, av.open(str(target), 'w') as file:
    stream = file.add_stream_from_template(source.streams.video[0])
    # As ffmpeg does for an avi.
    annexb = BitStreamFilterContext('h264_mp4toannexb', source.streams.video[0])
    for packet in source.demux(video=0):
      for each in annexb.filter(packet if packet.size else None):
        each.stream = stream
        file.mux(each)
  return target


def test_a_clock_that_starts_again_goes_on(tmp_path, film):
  """As of joined transport streams."""
  path = film.write(
    tmp_path / 'a.ts', film.greys(20), options={'g': '8', 'bf': '0'}
  )
  path.write_bytes(path.read_bytes() * 2)
  found, after, told = times(path)
  assert found == pytest.approx([n / 10 for n in range(40)], abs=1e-4)
  assert after == [''] * 20 + ['clock'] + [''] * 19
  assert told.kinds == {'clock': 1}


def test_a_clock_that_overflows_goes_on(tmp_path, film):
  """That of a transport stream has 33 bits: 26 hours and a half."""
  path = tmp_path / 'a.ts'
  offset = {'output_ts_offset': str(2**33 / 90000 - 2.4)}
  with av.open(str(path), 'w', options=offset) as file:
    stream = file.add_stream('libx264', rate=10, options={'bf': '0'})
    stream.height, stream.width, stream.pix_fmt = 48, 64, 'yuv420p'
    for picture in film.greys(30):
      frame = av.VideoFrame.from_ndarray(picture, 'rgb24')
      file.mux(stream.encode(frame))
    file.mux(stream.encode(None))
  found, after, _ = times(path)
  assert found == pytest.approx([n / 10 for n in range(30)], abs=1e-4)
  assert not any(after)


@pytest.mark.parametrize(
  ('delays', 'shown'),
  [
    ([0, 0, 0, 0], [10, 10, 10]),
    ([1, 1, 1, 1], [10, 10, 10]),
    ([2, 1, 3, 0], [2, 10, 3]),
    ([4, 300, 4, 4], [4, 300, 4]),
  ],
)
def test_delays_of_a_gif_are_those_of_browsers(tmp_path, film, delays, shown):
  """In hundredths of a second. FFmpeg takes a delay of 1 as it is."""
  path = film.write(
    tmp_path / 'a.gif', film.greys(4), codec='gif', pixels='rgb8'
  )
  data, at = bytearray(path.read_bytes()), -1
  for delay in delays:
    at = data.index(b'\x21\xf9\x04', at + 1)  # a control of one picture
    data[at + 4 : at + 6] = delay.to_bytes(2, 'little')
  path.write_bytes(data)
  found, *_ = times(path)
  assert [round(100 * (b - a)) for a, b in itertools.pairwise(found)] == shown


def test_two_pictures_may_have_one_time(tmp_path, film):
  at = [0, 100, 200, 200, 300, 400]
  path = film.write(
    tmp_path / 'a.mkv', film.greys(6), times=at, options={'bf': '0'}
  )
  found, after, _ = times(path)
  assert found == pytest.approx([each / 1000 for each in at])
  assert not any(after)


def test_another_size_parts_pictures(tmp_path, film):
  parts = b''
  for size in (48, 64), (72, 96), (72, 96):
    path = film.write(
      tmp_path / 'a.ts', film.greys(10, *size), options={'bf': '0'}
    )
    parts += path.read_bytes()
  path.write_bytes(parts)
  _, after, told = times(path)
  assert [after[n] for n in (10, 20)] == ['resized', 'clock']
  assert told.kinds['resized'] == 1


TICKS = 1024  # of a tenth of a second, in an mp4 of ten frames a second


def frame(pts, dts):
  """A frame with these times, in tenths of a second."""
  made = av.VideoFrame(16, 16, 'yuv420p')
  made.pts = None if pts is None else TICKS * pts
  made.dts = None if dts is None else TICKS * dts
  return made


def timed(path, pairs):
  """The pictures of frames with these (pts, dts), as of a stream of `path`."""
  frames = ((frame(*pair), False) for pair in pairs)
  with film_lib.opened(path) as stream:
    assert stream.time_base == Fraction(1, 10 * TICKS)
    return list(clock.timed(stream, frames, Told()))


@pytest.mark.parametrize(
  'pairs',
  [
    # Wrong presentation times, as some avi have, of I B B P B B P.
    [(2, 2), (3, 3), (5, 4), (4, 5), (6, 6), (8, 7), (7, 8), (9, 9)],
    # Some, or all, are not known.
    [(2, None), (3, None), (None, None), (5, None), (6, None)],
    [(None, None)] * 6,
    [(None, 4), (None, 5), (None, 6)],
  ],
)
def test_a_clock_that_is_wrong_or_silent_is_not_trusted(tmp_path, film, pairs):
  path = film.write(tmp_path / 'a.mp4', film.greys(4))
  found = timed(path, pairs)
  at = [each.time * 10 for each in found]
  assert at == pytest.approx(range(len(pairs)))


def test_no_time_and_no_rate_is_refused(tmp_path, film, monkeypatch):
  path = film.write(tmp_path / 'a.mp4', film.greys(4))
  monkeypatch.setattr(streams, 'rates', lambda stream: [])
  with pytest.raises(BadRecord, match='its frame rate is unknown'):
    timed(path, [(None, None)] * 3)
