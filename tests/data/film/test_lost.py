"""Pictures that are missing are noticed, where FFmpeg says nothing."""

import av
import pytest

from data.film import lost


def numbers(path):
  """What follows a file's pictures, and its packets."""
  with av.open(str(path)) as file:
    stream = file.streams.video[0]
    packets = [packet for packet in file.demux(stream) if packet.size]
    return lost.Numbers(stream.codec_context), packets


OPTIONS = {
  'no B-frames': {'bf': '0'},
  'B-frames': {'bf': '2', 'b_strategy': '0'},
  'pyramid': {'bf': '5', 'b_strategy': '0', 'x264-params': 'b-pyramid=normal'},
  'open groups': {'bf': '2', 'x264-params': 'open-gop=1:bframes=2:b-adapt=0'},
  'two slices': {'x264-params': 'slices=2'},
  'interlaced': {'x264-params': 'tff=1'},
  'refreshed': {'x264-params': 'intra-refresh=1'},
}


@pytest.mark.parametrize('options', OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize('suffix', ['mp4', 'h264'])
def test_of_whole_films_nothing_is_missing(tmp_path, film, suffix, options):
  path = film.write(
    *(tmp_path / f'a.{suffix}', film.texture(60)),
    options={'g': '24', 'refs': '4', **options},
  )
  followed, packets = numbers(path)
  assert not any(map(followed.misses, packets))
  assert followed.fields == ('tff' in str(options))


@pytest.mark.parametrize('suffix', ['mp4', 'mkv', 'ts', 'h264'])
def test_a_missing_reference_is_noticed_at_the_next_picture(
  tmp_path, film, suffix
):
  path = film.write(
    *(tmp_path / f'a.{suffix}', film.texture(40)),
    options={'g': '20', 'bf': '0'},
  )
  followed, packets = numbers(path)
  assert [
    n for n, each in enumerate(packets) if n != 9 and followed.misses(each)
  ] == [10]


def test_nobody_misses_what_nothing_refers_to(tmp_path, film):
  options = {'bf': '2', 'b_strategy': '0', 'x264-params': 'b-pyramid=none'}
  path = film.write(tmp_path / 'a.mp4', film.texture(30), options=options)
  followed, packets = numbers(path)
  # The second of I P B B P B B ... is referred to, the third is not.
  assert not any(followed.misses(each) for each in [*packets[:2], *packets[3:]])


def test_what_is_no_parameter_set_teaches_nothing(tmp_path, film):
  path = film.write(tmp_path / 'a.mp4', film.texture(4))
  followed, (packet, *_) = numbers(path)
  codec = av.CodecContext.create('h264', 'r')
  for extra in (b'', b'\1', b'\1' * 9, b'\0\0\1\x67', b'\0\0\1\x67\x64\0\x1f'):
    codec.extradata = extra
    assert not lost.Numbers(codec).misses(packet)
  assert not followed.misses(av.Packet(b'\0\0\0\0'))
  assert not followed.misses(av.Packet(b'\0\0\0\1\x41'))
