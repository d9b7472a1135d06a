"""Colours as a player shows them, whatever they are coded as."""

import av
import numpy as np
import pytest
from av.video.reformatter import ColorPrimaries, Colorspace, ColorTrc

from data import film as film_lib
from data.film import light
from data.source import BadRecord
from tests.data.film.test_shape import load

COLOURS = [(200, 60, 30), (30, 180, 60), (250, 250, 250), (5, 5, 5)]


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
def test_colours_are_kept(tmp_path, film, codec, pixels, suffix):
  clip = np.empty((4, 40, 56, 3), np.uint8)
  clip[:] = np.array(COLOURS, np.uint8)[:, None, None]
  path = film.write(tmp_path / f'a.{suffix}', clip, codec=codec, pixels=pixels)
  loaded = load(path)
  assert loaded.shape == clip.shape
  assert np.abs(loaded.astype(int) - clip).max() <= 6
  np.testing.assert_array_equal(load(path.read_bytes()), loaded)


def coded(height, width, space, primaries=2, trc=2, pixels='yuv420p'):
  """A frame of one colour."""
  made = av.VideoFrame(width, height, pixels)
  for plane, level in zip(made.planes, (120, 90, 180)):
    plane.update(bytes([level]) * plane.buffer_size)
  made.colorspace = space
  made.color_primaries, made.color_trc = primaries, trc
  return made


@pytest.mark.parametrize(
  ('size', 'meant', 'other'),
  [
    ((576, 720), 'ITU601', 'ITU709'),
    ((480, 854), 'ITU601', 'ITU709'),
    ((854, 480), 'ITU601', 'ITU709'),
    ((720, 1280), 'ITU709', 'ITU601'),
    ((536, 1280), 'ITU709', 'ITU601'),  # a wide film
    ((1280, 536), 'ITU709', 'ITU601'),  # a phone held upright
    ((720, 960), 'ITU709', 'ITU601'),
  ],
)
def test_untagged_films_have_the_colours_of_their_size(size, meant, other):
  """As players show them: no file says so."""
  shown, same, wrong = (
    film_lib.upright(coded(*size, space), 4, 6).astype(int)
    for space in (2, Colorspace[meant], Colorspace[other])
  )
  np.testing.assert_array_equal(shown, same)
  assert np.abs(shown - wrong).max() > 8


@pytest.mark.parametrize('space', [8, 10, 14, 16])
def test_colours_that_are_not_read_are_refused_by_name(space):
  with pytest.raises(BadRecord, match=r'its colours are .*, which is not'):
    film_lib.upright(coded(48, 64, space), 48, 64)


def to_hdr(colours, pq: bool) -> np.ndarray:
  """SDR of BT.709 as HDR of BT.2020, in 16 bits (BT.2087, BT.2100, BT.2408)."""
  linear = (np.array(colours) / 255) ** 2.4
  wide = (
    linear
    @ np.array(
      [
        [0.6274, 0.3293, 0.0433],
        [0.0691, 0.9195, 0.0114],
        [0.0164, 0.0880, 0.8956],
      ]
    ).T
  )
  nits = 203 * wide
  if pq:
    power = (nits / 10000) ** 0.1593017578125
    signal = (
      (0.8359375 + 18.8515625 * power) / (1 + 18.6875 * power)
    ) ** 78.84375
  else:
    shown = nits / 1000
    luma = shown @ [0.2627, 0.6780, 0.0593]
    scene = shown * np.maximum(luma, 1e-9)[..., None] ** (1 / 1.2 - 1)
    low = np.sqrt(3 * scene)
    high = 0.17883277 * np.log(np.maximum(12 * scene - 0.28466892, 1e-9))
    signal = np.where(scene <= 1 / 12, low, high + 0.55991073)
  return np.rint(65535 * np.clip(signal, 0, 1)).astype(np.uint16)


DARK = [(120, 120, 120), (150, 60, 40), (40, 130, 50), (30, 30, 160), (5, 5, 5)]


@pytest.mark.parametrize('pq', [True, False])
def test_hdr_comes_back_as_the_sdr_that_it_was_made_of(pq):
  """Up to the knee of the tone curve, 45 % of white."""
  picture = to_hdr([DARK], pq)
  back = light.from_hdr(picture, pq, ColorPrimaries.BT2020, 1000.0)
  np.testing.assert_allclose(back[0], DARK, atol=3)
  # Without the mapping it is far off.
  assert np.abs((picture >> 8)[0].astype(int) - DARK).max() > 25


@pytest.mark.parametrize('pq', [True, False])
def test_what_is_brighter_than_white_is_compressed_in_order(pq):
  levels = np.arange(0, 65536, 257, dtype=np.uint16)
  greys = np.repeat(levels[None, :, None], 3, -1)
  shown = light.from_hdr(greys, pq, ColorPrimaries.BT2020, 1000.0)[0]
  assert (np.diff(shown.astype(int), axis=0) >= 0).all()
  assert (shown == shown[:, :1]).all()  # grey stays grey
  white = to_hdr([[(255, 255, 255)]], pq)
  seen = light.from_hdr(white, pq, ColorPrimaries.BT2020, 1000.0)
  assert 220 <= seen.min() < 250
  # Of content that says that it is no brighter, nothing is.
  if pq:
    seen = light.from_hdr(white, pq, ColorPrimaries.BT2020, 203.0)
    assert seen.min() >= 254


@pytest.mark.parametrize('trc', ['SMPTE2084', 'ARIB_STD_B67'])
def test_an_hdr_file_is_told_and_mapped(tmp_path, film, trc):
  pq = trc == 'SMPTE2084'
  colour = to_hdr([DARK[1:2]], pq)
  path = tmp_path / 'a.mkv'
  with av.open(str(path), 'w') as file:
    stream = file.add_stream('ffv1', rate=10)
    stream.height, stream.width, stream.pix_fmt = 48, 64, 'yuv444p16le'
    codec = stream.codec_context
    codec.color_primaries = ColorPrimaries.BT2020
    codec.color_trc, codec.colorspace = ColorTrc[trc], Colorspace.BT2020
    codec.color_range = 1
    frame = av.VideoFrame.from_ndarray(
      np.tile(colour, (48, 64, 1)), 'rgb48le'
    ).reformat(
      **{'format': 'yuv444p16le', 'dst_colorspace': Colorspace.BT2020},
      dst_color_range='MPEG',
    )
    file.mux(stream.encode(frame))
    file.mux(stream.encode(None))
  np.testing.assert_allclose(load(path)[0, 20, 30], DARK[1], atol=4)
  with film_lib.opened(path) as stream:
    assert film_lib.colours(next(film_lib.whole(stream))) == 'hdr'


@pytest.mark.parametrize(
  ('primaries', 'green'),
  [('BT2020', (0, 255, 0)), ('SMPTE432', (0, 255, 0))],
)
def test_wide_gamut_becomes_that_of_usual_displays(primaries, green):
  number = ColorPrimaries[primaries]
  greys = np.full((1, 1, 3), 30000, np.uint16)
  np.testing.assert_allclose(
    light.from_wide(greys, number)[0, 0], 30000 / 257, atol=1
  )
  pure = np.array([[[0, 65535, 0]]], np.uint16)
  assert light.from_wide(pure, number)[0, 0].tolist() == list(green)
  # A pale green is a stronger one in fewer colours.
  pale = np.array([[[30000, 40000, 30000]]], np.uint16)
  shown = light.from_wide(pale, number)[0, 0].astype(int)
  assert shown[1] - shown[0] > (40000 - 30000) / 257 + 5
  frame = coded(48, 64, Colorspace.ITU709, primaries=number, trc=1)
  assert film_lib.colours(frame) == 'wide'
  assert film_lib.upright(frame, 24, 32).shape == (24, 32, 3)
