"""What decodes cleanly is kept; what does not is a gap that is told."""

import av
import numpy as np
import pytest

from data import film as film_lib
from data.film import decoded
from data.film.told import Gap, Told
from data.source import BadRecord

GOP = {'g': '8', 'sc_threshold': '0', 'bf': '0'}


def clean(source, film) -> tuple[list[int], list[Gap]]:
  """Numbers of the frames of `film.greys` that are clean, and the gaps."""
  told = Told()
  with film_lib.opened(source) as stream:
    frames = [frame for frame, _ in decoded.clean(stream, told)]
    shown = [film.number(film_lib.upright(each, 48, 64)) for each in frames]
  return shown, told.gaps


def packets(path) -> list[av.Packet]:
  with av.open(str(path)) as file:
    return [packet for packet in file.demux(video=0) if packet.size]


def damaged(path, *numbers):
  """The file's bytes without those of these packets."""
  data, coded = bytearray(path.read_bytes()), packets(path)
  for packet in (coded[number] for number in numbers):
    data[packet.pos + 8 : packet.pos + packet.size] = bytes(packet.size - 8)
  return bytes(data)


@pytest.mark.parametrize(
  ('bad', 'kept', 'gaps'),
  [
    # Of a keyframe all that refers to it; of another what comes after it.
    ([8], [*range(8), *range(16, 40)], [(0.8, 0.8)]),
    ([11], [*range(11), *range(16, 40)], [(1.1, 0.5)]),
    ([0], range(8, 40), [(0.0, 0.8)]),
    ([34], range(34), [(3.4, 0.6)]),
    (
      [3, 24],
      [*range(3), *range(8, 24), *range(32, 40)],
      [(0.3, 0.5), (2.4, 0.8)],
    ),
  ],
)
@pytest.mark.parametrize('suffix', ['mp4', 'mkv', 'avi'])
def test_damage_is_a_gap_up_to_the_next_keyframe(
  tmp_path, film, suffix, bad, kept, gaps
):
  if suffix == 'avi' and bad == [0]:
    pytest.skip('its first packet says what the codec needs to know')
  path = film.write(tmp_path / f'a.{suffix}', film.greys(40), options=GOP)
  shown, found = clean(damaged(path, *bad), film)
  assert shown == list(kept)
  found = [(gap.begin, gap.seconds) for gap in found]
  np.testing.assert_allclose(found, gaps, atol=0.02)


def test_frames_that_wait_for_their_turn_are_not_lost(tmp_path, film):
  """With B-frames a decoder holds some when it meets damage."""
  options = {'g': '12', 'sc_threshold': '0', 'bf': '2', 'b_strategy': '0'}
  path = film.write(tmp_path / 'a.mp4', film.greys(36), options=options)
  shown, (gap,) = clean(damaged(path, 12), film)
  assert shown == [*range(12), *range(24, 36)]
  assert (gap.begin, gap.seconds) == pytest.approx((1.2, 1.2), abs=0.02)


def slices(packet) -> list[tuple[int, int]]:
  """Where the slices of a keyframe are in a packet of mp4, and their sizes."""
  data, at, found = bytes(packet), 0, []
  while at < len(data):
    size = int.from_bytes(data[at : at + 4], 'big')
    if data[at + 4] & 31 == 5:
      found.append((at + 4, size))
    at += 4 + size
  return found


@pytest.mark.parametrize('number', [0, 20])
def test_a_bad_slice_costs_its_picture_alone(tmp_path, film, number):
  """FFmpeg conceals it; what refers to it differs little."""
  options = {'x264-params': 'slices=3:keyint=20:scenecut=0:bframes=0'}
  whole = film.texture(40)
  path = film.write(tmp_path / 'a.mp4', whole, options=options)
  bad, data = packets(path)[number], bytearray(path.read_bytes())
  at, size = slices(bad)[-1]
  for place in range(bad.pos + at + size // 2, bad.pos + at + size - 2):
    data[place] ^= 0x5A
  told = Told()
  with film_lib.opened(bytes(data)) as stream:
    frames = list(decoded.clean(stream, told))
    shown = [film_lib.upright(frame, 48, 64) for frame, _ in frames]
    at = [round(frame.time * 10) for frame, _ in frames]
  assert at == [n for n in range(40) if n != number]
  (gap,) = told.gaps
  assert (gap.begin, gap.seconds) == pytest.approx((number / 10, 0.1), abs=0.01)
  assert told.kinds['concealed'] == 1
  off = np.abs(np.array(shown, int) - whole[at]).max(-1) > 60
  assert off.mean((1, 2)).max() < 1 / 3


def test_a_first_keyframe_that_is_mostly_lost_costs_what_refers_to_it(
  tmp_path, film
):
  options = {'x264-params': 'slices=1:keyint=20:scenecut=0:bframes=0'}
  path = film.write(tmp_path / 'a.mp4', film.texture(40), options=options)
  bad, data = packets(path)[0], bytearray(path.read_bytes())
  at, size = slices(bad)[0]
  for place in range(bad.pos + at + size // 5, bad.pos + at + size - 2):
    data[place] ^= 0x5A
  told = Told()
  with film_lib.opened(bytes(data)) as stream:
    frames = [frame for frame, _ in decoded.clean(stream, told)]
    assert [round(frame.time * 10) for frame in frames] == list(range(20, 40))
  assert told.lost == pytest.approx(2, abs=0.01)


def test_a_file_that_does_not_decode_at_all_is_refused(tmp_path, film):
  path = film.write(tmp_path / 'a.mp4', film.greys(8), options=GOP)
  with pytest.raises(BadRecord, match='no picture of its h264 decodes'):
    clean(damaged(path, *range(8)), film)


def test_joined_transport_streams_lose_nothing(tmp_path, film):
  """At the seam a packet says that it may be damaged."""
  path = film.write(tmp_path / 'a.ts', film.greys(20), options=GOP)
  twice = path.read_bytes() * 2
  (tmp_path / 'b.ts').write_bytes(twice)
  assert any(packet.is_corrupt for packet in packets(tmp_path / 'b.ts'))
  assert clean(twice, film) == ([*range(20), *range(20)], [])


def test_readers_that_want_every_frame_refuse_damage(tmp_path, film):
  path = film.write(tmp_path / 'a.mp4', film.greys(40), options=GOP)
  for bad, reason in (([11], 'damaged after frame 11'), ([34], 'frame 34')):
    with (
      film_lib.opened(damaged(path, *bad)) as stream,
      pytest.raises(BadRecord, match=reason),
    ):
      list(film_lib.whole(stream))


def test_a_bad_start_is_left_out_only_by_who_asks(tmp_path, film):
  path = film.write_bad_start(tmp_path / 'a.mp4')
  with (
    film_lib.opened(path) as stream,
    pytest.raises(BadRecord, match=r'damaged: its first 0\.8 s do not decode'),
  ):
    list(film_lib.whole(stream))
  lost = []
  with film_lib.opened(path) as stream:
    shown = [
      film_lib.upright(frame, 48, 64)
      for frame in film_lib.whole(stream, on_lost=lost.append)
    ]
  assert lost == [pytest.approx(0.8)]
  assert np.abs(np.array(shown, int) - film.texture(40)[8:]).mean() < 8


def test_a_good_start_loses_nothing(tmp_path, film):
  path = film.write(
    tmp_path / 'a.mkv', film.texture(20), times=range(500, 2500, 100)
  )
  with film_lib.opened(path) as stream:
    assert len(list(film_lib.whole(stream, on_lost=pytest.fail))) == 20


def cut(path, target, start):
  """The film from a frame on, copied from the keyframe before, as editors do.

  Frames before `start` are in the file for others to refer to: its edit list
  says that they are not shown.
  """
  with av.open(str(path)) as source, av.open(str(target), 'w') as file:
    stream = file.add_stream_from_template(source.streams.video[0])
    coded = [packet for packet in source.demux(video=0) if packet.size]
    begin = start * coded[0].duration
    first = max(
      n
      for n, each in enumerate(coded)
      if each.is_keyframe and each.pts <= begin
    )
    for packet in coded[first:]:
      packet.pts, packet.dts = packet.pts - begin, packet.dts - begin
      packet.stream = stream
      file.mux(packet)
  return target


def test_frames_before_an_edit_list_are_not_shown(tmp_path, film):
  path = film.write(tmp_path / 'a.mp4', film.greys(40), options=GOP)
  path = cut(path, tmp_path / 'b.mp4', 13)
  assert any(packet.is_discard for packet in packets(path))
  assert clean(path, film) == (list(range(13, 40)), [])


def left_out(path, target, *numbers):
  """A copy without these packets."""
  with av.open(str(path)) as source, av.open(str(target), 'w') as file:
    stream = file.add_stream_from_template(source.streams.video[0])
    for number, packet in enumerate(source.demux(video=0)):
      if packet.size and number not in numbers:
        packet.stream = stream
        file.mux(packet)
  return target


@pytest.mark.parametrize('suffix', ['mp4', 'mkv', 'ts'])
def test_what_refers_to_missing_pictures_is_left_out(tmp_path, film, suffix):
  """FFmpeg shows it smeared, and says nothing."""
  path = film.write(tmp_path / 'a.mp4', film.greys(40), options=GOP)
  path = left_out(path, tmp_path / f'b.{suffix}', 19)
  shown, (gap,) = clean(path, film)
  assert shown == [*range(19), *range(24, 40)]
  # In an mp4 the picture before it stays.
  expected = (2.0, 0.4) if suffix == 'mp4' else (1.9, 0.5)
  assert (gap.begin, gap.seconds) == pytest.approx(expected, abs=0.02)


def torn(path, number):
  """Bytes of a transport stream without a packet of 188 of this picture."""
  data, begin = path.read_bytes(), packets(path)[number].pos
  at = next(
    at
    for at in range(begin + 188, len(data), 188)
    if not data[at + 1] & 0x40 and data[at + 1 : at + 3] == b'\1\0'
  )
  return data[:at] + data[at + 188 :]


@pytest.mark.parametrize(
  ('codec', 'kept'),
  [
    ('libx264', [*range(10), *range(11, 24)]),
    ('mpeg2video', [*range(10), *range(11, 24)]),
    # What it makes up it does not say.
    ('libx265', [*range(10), *range(16, 24)]),
  ],
)
def test_a_torn_picture_of_a_transport_stream_is_left_out(
  tmp_path, film, codec, kept
):
  """The demuxer marks the packet before it."""
  options = {'x265-params': 'keyint=8:min-keyint=8:bframes=0:log-level=none'}
  if codec != 'libx265':
    options = {**GOP, 'crf': '1'}
  video = np.random.default_rng(0).integers(0, 255, (24, 48, 64, 3), np.uint8)
  path = film.write(tmp_path / 'a.ts', video, codec=codec, options=options)
  told = Told()
  with film_lib.opened(torn(path, 10)) as stream:
    at = [round(frame.time * 10) for frame, _ in decoded.clean(stream, told)]
  assert [each - at[0] for each in at] == kept
  (gap,) = told.gaps
  assert gap.begin == pytest.approx(1, abs=0.01)
  assert gap.seconds == pytest.approx((23 - len(kept) + 1) / 10, abs=0.01)


@pytest.mark.parametrize(
  ('suffix', 'codec'), [('avi', 'mpeg4'), ('h264', 'libx264')]
)
def test_a_bad_last_picture_is_as_long_as_a_picture(
  tmp_path, film, suffix, codec
):
  """A raw stream has no times: its pictures are counted."""
  video = np.random.default_rng(0).integers(0, 255, (20, 48, 64, 3), np.uint8)
  path = film.write(
    *(tmp_path / f'a.{suffix}', video), codec=codec, options=GOP
  )
  last = packets(path)[-1]
  told = Told()
  with film_lib.opened(path.read_bytes()[: last.pos + last.size // 2]) as file:
    assert len(list(decoded.clean(file, told))) == 19
  (gap,) = told.gaps
  assert (gap.begin, gap.seconds) == pytest.approx((1.9, 0.1), abs=0.01)
