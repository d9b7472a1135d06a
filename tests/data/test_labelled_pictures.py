"""Decoding, centring and windows that labelled readers share."""

import cv2
import numpy as np
import pytest

from data import labelled
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
    found = labelled.picture(jpeg(picture), reduce=reduce)
    assert found.shape == (64 // reduce, 96 // reduce, 3)
    whole = labelled.resize(picture[None], *found.shape[:2])[0]
    assert np.abs(found.astype(int) - whole).max() < 16


@pytest.mark.parametrize('data', [b'', b'not a picture', b'\xff\xd8\xff\xe0'])
def test_what_is_no_picture_is_a_bad_record(data):
  with pytest.raises(BadRecord, match=f'{len(data)} bytes are not a picture'):
    labelled.picture(data)


def test_reduction_never_goes_below_what_is_asked_for():
  assert labelled.reduction((1280, 1920), (224, 336)) == 4
  assert labelled.reduction((968, 1296), (224, 224)) == 4
  assert labelled.reduction((447, 800), (224, 224)) == 1
  assert labelled.reduction((100, 100), (224, 224)) == 1


def test_intrinsics_follow_the_centred_part():
  camera = np.array([[50.0, 0, 44.0], [0, 60.0, 35.0], [0, 0, 1]])
  point = camera @ [0.2, -0.1, 1.0]
  found = labelled.centred_intrinsics(camera, (60, 90), 30, 24)
  # The part is 60 x 48 pixels from column 21, and then halved.
  u, v, _ = found @ [0.2, -0.1, 1.0]
  np.testing.assert_allclose([u, v], [(point[0] - 21) / 2, point[1] / 2])
  part = labelled.centred(ramp(60, 90)[None], 30, 24)
  np.testing.assert_array_equal(part[0], ramp(60, 90)[:, 21:69])


def test_clips_are_spread_from_start_to_end():
  found = [
    labelled.spread_window(20, 4, (1, 3), n, 3).tolist() for n in range(3)
  ]
  assert found == [[0, 2, 4, 6], [6, 8, 10, 12], [13, 15, 17, 19]]
  assert labelled.spread_window(20, 4, (1, 3), 0, 1).tolist() == found[1]
  short = labelled.spread_window(3, 4, (1, 1), 1, 2)
  assert short.tolist() == [0, 1, 2, 2]
