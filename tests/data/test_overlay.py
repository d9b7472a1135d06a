"""Labels land where they belong, in colours that stay."""

import numpy as np
import pytest

from data import overlay

T, H, W = 3, 20, 30


def black():
  return np.zeros((T, H, W, 3), np.uint8)


def drawn(video):
  """(rows, columns) of what is not black, of each frame."""
  return [np.argwhere(picture.any(-1)) for picture in video]


def test_a_point_is_drawn_at_x_y_where_it_is_visible():
  # The centre of the pixel in column 12, row 5: x first, raster coordinates.
  at = np.tile(np.float32([12.5 / W, 5.5 / H]), (1, T, 1))
  visible = np.array([[True, False, True]])
  before = black()
  shown = drawn(overlay.tracks(before, at, visible, trail=2))
  np.testing.assert_allclose(shown[0].mean(0), [5, 12], atol=0.4)
  assert len(shown[1]) == 0
  assert len(shown[2]) == len(shown[0])
  assert not before.any()


def test_a_trail_has_the_asked_length():
  at = np.array([[[0.1, 0.5], [0.5, 0.5], [0.9, 0.5]]], np.float32)
  seen = np.ones((1, T), bool)
  columns = [
    drawn(overlay.tracks(black(), at, seen, trail=trail))[2][:, 1].min()
    for trail in (0, 1, 2)
  ]
  assert columns[0] > 22
  assert 11 < columns[1] < 15
  assert columns[2] < 4


def test_a_colour_depends_on_the_row_only():
  assert overlay.colours(40)[:7] == overlay.colours(7)
  assert len(set(overlay.colours(40))) == 40
  assert overlay.colours(0) == []


def test_points_far_outside_or_not_finite_do_no_harm():
  at = np.array([[[1e9, -1e9]] * T, [[np.nan, 0.5]] * T], np.float32)
  assert not overlay.tracks(black(), at, np.ones((2, T), bool)).any()


def test_a_box_is_ymin_xmin_ymax_xmax():
  corners = np.float32([4.5 / H, 6.5 / W, 10.5 / H, 24.5 / W])
  found = drawn(
    overlay.boxes(
      black(), np.tile(corners, (1, T, 1)), np.array([[True, False, True]])
    )
  )
  assert found[0].min(0).tolist() == [4, 6]
  assert found[0].max(0).tolist() == [10, 24]
  assert len(found[1]) == 0


def test_near_is_bright_far_is_dark_unknown_is_black():
  metres = np.float32([0, 1, 2, 3, 9]).reshape(1, 1, 5, 1)
  unknown, near, middle, far, farther = overlay.depth(metres, 1.0, 3.0)[
    0, 0
  ].astype(int)
  assert (unknown == 0).all()
  assert near.sum() > middle.sum() > far.sum()
  assert (far == farther).all()
  # Magma, red first: its bright end is a pale yellow, its middle purple red.
  assert near[0] > near[2]
  assert middle[0] > middle[2] > middle[1]


def test_text_fits_and_can_be_read_on_white():
  clip = np.full((T, 20, 200, 3), 255, np.uint8)
  line = 'a line that is very much longer than its clip is'
  long, short = overlay.text(clip, line), overlay.text(clip, line[:9])
  assert (long[:, :, -2:] < 255).any()  # the band
  for shown in (long, short):
    assert shown[:, :8].max() > 200
    assert np.median(shown[:, :8]) < 128
  letters = [np.argwhere(shown[0, :8].min(-1) > 170) for shown in (long, short)]
  assert 100 < letters[0][:, 1].max() < 199
  assert letters[1][:, 1].max() < 80


def test_zoom_makes_squares_of_pixels():
  clip = np.arange(T * H * W * 3).reshape(T, H, W, 3).astype(np.uint8)
  large = overlay.enlarge(clip, 3)
  assert large.shape == (T, 3 * H, 3 * W, 3)
  np.testing.assert_array_equal(large[:, 1::3, 2::3], clip)
  at = np.full((1, T, 2), 0.5, np.float32)
  (middle,) = {
    tuple(frame.mean(0).round())
    for frame in drawn(
      overlay.tracks(black(), at, np.ones((1, T), bool), zoom=3)
    )
  }
  assert middle == (30, 44)
  with pytest.raises(ValueError, match='zoom=0'):
    overlay.enlarge(clip, 0)
