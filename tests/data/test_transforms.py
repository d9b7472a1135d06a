import numpy as np
import pytest

from data import transforms


def rng():
  return np.random.default_rng(0)


def test_random_window_draws_every_stride_and_reaches_both_ends():
  draw = rng()
  windows = [transforms.random_window(draw, 20, 5, (2, 4)) for _ in range(500)]
  steps = {int(window[1] - window[0]) for window in windows}
  assert steps == {2, 3, 4}
  for window in windows:
    assert len(set(np.diff(window))) == 1
  assert min(window[0] for window in windows) == 0
  assert max(window[-1] for window in windows) == 19


def test_short_videos_get_the_largest_stride_that_fits():
  draw = rng()
  windows = [transforms.random_window(draw, 9, 4, (1, 4)) for _ in range(200)]
  assert {int(step) for each in windows for step in np.diff(each)} == {1, 2}
  assert max(window[-1] for window in windows) == 8
  middle = transforms.middle_window(9, 4, (2, 5))
  assert middle.tolist() == [1, 3, 5, 7]


@pytest.mark.parametrize(
  ('total', 'stride', 'expected'),
  [
    (10, (4, 4), [0, 4, 8, 9]),
    (5, (2, 4), [0, 2, 4, 4]),
    (1, (2, 4), [0, 0, 0, 0]),
  ],
)
def test_where_no_stride_fits_the_last_frame_is_repeated(
  total, stride, expected
):
  for window in (
    transforms.random_window(rng(), total, 4, stride),
    transforms.middle_window(total, 4, (stride[0], stride[0])),
  ):
    assert window.tolist() == expected


def test_middle_window_is_in_the_middle():
  window = transforms.middle_window(21, 5, (2, 4))
  assert window.tolist() == [4, 7, 10, 13, 16]


def test_random_box_keeps_its_promises():
  draw = rng()
  for _ in range(300):
    box = transforms.random_box(draw, 40, 60, (0.3, 0.8), (0.5, 2.0))
    assert 0 <= box.top <= 40 - box.height
    assert 0 <= box.left <= 60 - box.width
    assert 0.25 < box.height * box.width / 2400 < 0.85
    assert 0.45 < box.width / box.height < 2.2


def test_random_boxes_are_drawn_as_their_paper_has_it():
  """Areas uniform, aspects log-uniform, corners anywhere."""
  draw = rng()
  boxes = np.array(
    [
      transforms.random_box(draw, 400, 400, (0.1, 0.2), (0.5, 2.0))
      for _ in range(1000)
    ]
  )
  top, left, height, width = boxes.T
  # Five deviations of such a mean.
  np.testing.assert_allclose((height * width / 400**2).mean(), 0.15, atol=0.005)
  assert abs(np.log2(width / height).mean()) < 5 / np.sqrt(3 * 1000)
  assert np.log2(width / height).std() == pytest.approx(3**-0.5, rel=0.1)
  for place in (top / (400 - height), left / (400 - width)):
    assert place.min() < 0.02
    assert place.max() > 0.98


def test_random_boxes_that_do_not_fit_are_drawn_again():
  """Of a picture four times as wide as high, four of five are too high."""
  draw = rng()
  boxes = [
    transforms.random_box(draw, 100, 400, (0.25, 0.5), (0.5, 2.0))
    for _ in range(200)
  ]
  whole = [box for box in boxes if box.height == 100 and box.width == 200]
  assert len(whole) < 40


def test_random_box_falls_back_to_the_nearest_centred_shape():
  box = transforms.random_box(rng(), 10, 1000, (1.0, 1.0), (0.5, 2.0))
  assert box == (0, 490, 10, 20)


@pytest.mark.parametrize(
  ('size', 'aspect', 'box'),
  [
    ((40, 60), 1.0, (0, 10, 40, 40)),
    ((60, 40), 1.0, (10, 0, 40, 40)),
    ((40, 60), 2.0, (5, 0, 30, 60)),
  ],
)
def test_centre_box_is_the_largest(size, aspect, box):
  assert transforms.centre_box(*size, aspect) == box


def test_flip_has_its_probability():
  draw = rng()
  assert not any(transforms.random_flip(draw, 0.0) for _ in range(50))
  assert all(transforms.random_flip(draw, 1.0) for _ in range(50))
  drawn = [transforms.random_flip(draw, 0.3) for _ in range(1000)]
  assert np.mean(drawn) == pytest.approx(0.3, abs=5 * (0.21 / 1000) ** 0.5)


def test_a_window_is_random_with_a_generator_only():
  middle = transforms.window(None, 20, 4, (1, 3))
  assert middle.tolist() == [6, 8, 10, 12]
  rng = np.random.default_rng(0)
  drawn = {tuple(transforms.window(rng, 20, 4, (1, 3))) for _ in range(20)}
  assert len(drawn) > 10


def test_clips_are_spread_from_start_to_end():
  found = [
    transforms.spread_window(20, 4, (1, 3), n, 3).tolist() for n in range(3)
  ]
  assert found == [[0, 2, 4, 6], [6, 8, 10, 12], [13, 15, 17, 19]]
  assert transforms.spread_window(20, 4, (1, 3), 0, 1).tolist() == found[1]
  short = transforms.spread_window(3, 4, (1, 1), 1, 2)
  assert short.tolist() == [0, 1, 2, 2]
