"""A file that is cut off is told by its own size, not by its times."""

import av
import pytest

from data import film as film_lib


def written(path, film, **options):
  return film.write(path, film.texture(40), **options).read_bytes()


@pytest.mark.parametrize(
  'suffix', ['mp4', 'mov', 'mkv', 'webm', 'avi', 'ts', 'flv']
)
def test_whole_files_miss_nothing(tmp_path, film, suffix):
  codec = 'libvpx-vp9' if suffix == 'webm' else 'libx264'
  path = tmp_path / f'a.{suffix}'
  data = written(path, film, codec=codec)
  assert film_lib.missing(path) == film_lib.missing(data) == 0
  assert film_lib.missing(data + b'some more') == 0


@pytest.mark.parametrize('part', [0.4, 0.7, 0.99])
@pytest.mark.parametrize('suffix', ['mkv', 'avi', 'ts', 'flv'])
def test_a_remnant_is_told(tmp_path, film, suffix, part):
  data = written(tmp_path / f'a.{suffix}', film)
  kept = int(len(data) * part)
  lost = film_lib.missing(data[:kept])
  # The last two tell the rest of a packet only.
  whole = suffix in ('mkv', 'avi')
  assert lost == len(data) - kept if whole else 0 < lost <= len(data) - kept


@pytest.mark.parametrize('part', [0.4, 0.7])
def test_a_remnant_of_an_mp4_whose_index_is_first_is_told(tmp_path, film, part):
  path = tmp_path / 'a.mp4'
  with av.open(str(path), 'w', options={'movflags': 'faststart'}) as file:
    stream = file.add_stream('libx264', rate=10, options={'crf': '5'})
    stream.height, stream.width = 48, 64
    for picture in film.texture(40):
      file.mux(stream.encode(av.VideoFrame.from_ndarray(picture, 'rgb24')))
    file.mux(stream.encode(None))
  data = path.read_bytes()
  assert film_lib.missing(data) == 0
  kept = int(len(data) * part)
  assert film_lib.missing(data[:kept]) == len(data) - kept


@pytest.mark.parametrize(
  'data',
  [
    *(b'', b'x', b'RIFF', b'\x1a\x45\xdf\xa3', b'\x00\x00\x00\x08ftyp'),
    *(b'\x00\x00\x00\x00mdat' + bytes(99), b'\x00\x00\x00\x01mdat' + bytes(9)),
  ],
)
def test_odd_heads_miss_nothing_that_is_known(data):
  assert film_lib.missing(data) <= len(data) or data[:4] == b'RIFF'
