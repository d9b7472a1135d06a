"""Pictures of labelled data: decoding, cutting, resizing."""

import struct

import cv2
import numpy as np
import pytest

from data import pictures
from data.formats import picture
from data.source import BadRecord


def ramp(height, width):
  """Red grows to the right, green downwards."""
  rows, columns = np.mgrid[:height, :width]
  return np.stack(
    [255 * columns / width, 255 * rows / height, 0 * rows], -1
  ).astype(np.uint8)


def jpeg(picture):
  coded = cv2.imencode('.jpg', picture[..., ::-1])[1]
  return coded.tobytes()


def test_pictures_are_rgb_and_can_be_reduced():
  picture = ramp(64, 96)
  for reduce in (1, 2, 4):
    found = pictures.decode(jpeg(picture), reduce=reduce)
    assert found.shape == (64 // reduce, 96 // reduce, 3)
    whole = pictures.resize(picture[None], *found.shape[:2])[0]
    assert np.abs(found.astype(int) - whole).max() < 16


@pytest.mark.parametrize('data', [b'', b'not a picture', b'\xff\xd8\xff\xe0'])
def test_what_is_no_picture_is_a_bad_record(data):
  with pytest.raises(BadRecord, match=f'{len(data)} bytes are not a picture'):
    pictures.decode(data)


def test_a_size_is_known_before_decoding():
  for ending in ('.png', '.jpg'):
    for flags in ([], [cv2.IMWRITE_JPEG_PROGRESSIVE, 1]):
      coded = cv2.imencode(ending, ramp(30, 41), flags)[1].tobytes()
      assert picture.size(coded) == (30, 41)
  for cut in range(len(coded)):
    assert picture.size(coded[:cut]) in ((0, 0), (30, 41))


@pytest.mark.parametrize('ending', ['.png', '.jpg'])
def test_a_picture_that_says_it_is_gigabytes_is_a_bad_record(ending):
  coded = bytearray(cv2.imencode(ending, ramp(30, 41))[1].tobytes())
  layout, old = ('>II', (41, 30)) if ending == '.png' else ('>HH', (30, 41))
  at = coded.index(struct.pack(layout, *old))
  struct.pack_into(layout, coded, at, 2**15, 2**14)
  with pytest.raises(BadRecord, match=r'pixels in \d+ bytes, at most 67108864'):
    pictures.decode(bytes(coded))


def test_a_png_whose_chunk_goes_beyond_its_end_is_a_bad_record():
  coded = cv2.imencode('.png', ramp(30, 41))[1].tobytes()
  assert picture.size(coded + b'behind') == (30, 41)
  at = coded.index(b'IDAT') - 4
  bad = coded[:at] + struct.pack('>I', 2**31 - 1) + coded[at + 4 :]
  for data in (bad, coded[:-9], coded[:20]):
    with pytest.raises(BadRecord, match='not a picture, or a damaged one'):
      pictures.decode(data)


def test_reduction_never_goes_below_what_is_asked_for():
  assert pictures.reduction((1280, 1920), (224, 336)) == 4
  assert pictures.reduction((968, 1296), (224, 224)) == 4
  assert pictures.reduction((447, 800), (224, 224)) == 1
  assert pictures.reduction((100, 100), (224, 224)) == 1


def test_intrinsics_follow_the_centred_part():
  camera = np.array([[50.0, 0, 44.0], [0, 60.0, 35.0], [0, 0, 1]])
  point = camera @ [0.2, -0.1, 1.0]
  found = pictures.centred_intrinsics(camera, (60, 90), 30, 24)
  # The part is 60 x 48 pixels from column 21, and then halved.
  u, v, _ = found @ [0.2, -0.1, 1.0]
  np.testing.assert_allclose([u, v], [(point[0] - 21) / 2, point[1] / 2])
  part = pictures.centred(ramp(60, 90)[None], 30, 24)
  np.testing.assert_array_equal(part[0], ramp(60, 90)[:, 21:69])


def test_a_shrunk_frame_is_averaged_over_its_pixels():
  video = np.zeros((2, 4, 6, 3), np.uint8)
  video[:, :2, :2] = [[[0], [40]], [[80], [120]]]
  small = pictures.resize(video, 2, 3)
  assert small.shape == (2, 2, 3, 3)
  assert small[:, 0, 0].tolist() == [[60] * 3] * 2
  assert not small[:, 1:].any()


def test_a_frame_is_resized_as_a_whole_to_any_shape():
  video = np.full((2, 5, 7, 3), 9, np.uint8)
  for size in ((3, 9), (9, 3), (8, 9), (2, 2), (5, 7)):
    resized = pictures.resize(video, *size)
    assert resized.shape == (2, *size, 3)
    assert (resized == 9).all()


def test_depth_is_never_mixed():
  depth = np.arange(2 * 4 * 6, dtype=np.float32).reshape(2, 4, 6, 1)
  assert pictures.resize_depth(depth, 4, 6).tolist() == depth.tolist()
  small = pictures.resize_depth(depth, 4, 2)  # centres: columns 1.5 and 4.5
  assert small[0, :, :, 0].tolist() == depth[0, :, [1, 4], 0].T.tolist()
  large = pictures.resize_depth(depth, 8, 12)
  expected = depth.repeat(2, axis=1).repeat(2, axis=2)
  assert large.tolist() == expected.tolist()
