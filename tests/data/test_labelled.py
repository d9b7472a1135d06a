"""What the readers of labelled data share."""

import numpy as np
import pytest

from data import labelled


def test_a_shrunk_frame_is_averaged_over_its_pixels():
  video = np.zeros((2, 4, 6, 3), np.uint8)
  video[:, :2, :2] = [[[0], [40]], [[80], [120]]]
  small = labelled.resize(video, 2, 3)
  assert small.shape == (2, 2, 3, 3)
  assert small[:, 0, 0].tolist() == [[60] * 3] * 2
  assert not small[:, 1:].any()


def test_a_frame_is_resized_as_a_whole_to_any_shape():
  video = np.full((2, 5, 7, 3), 9, np.uint8)
  for size in ((3, 9), (9, 3), (8, 9), (2, 2), (5, 7)):
    resized = labelled.resize(video, *size)
    assert resized.shape == (2, *size, 3)
    assert (resized == 9).all()


def test_depth_is_never_mixed():
  depth = np.arange(2 * 4 * 6, dtype=np.float32).reshape(2, 4, 6, 1)
  assert labelled.resize_depth(depth, 4, 6).tolist() == depth.tolist()
  small = labelled.resize_depth(depth, 4, 2)  # centres: columns 1.5 and 4.5
  assert small[0, :, :, 0].tolist() == depth[0, :, [1, 4], 0].T.tolist()
  large = labelled.resize_depth(depth, 8, 12)
  expected = depth.repeat(2, axis=1).repeat(2, axis=2)
  assert large.tolist() == expected.tolist()


def test_rows_are_padded_with_what_is_never_seen():
  values = np.ones((2, 3, 4), np.float32)
  visible = np.ones((2, 3), bool)
  padded, seen = labelled.pad_rows(values, visible, 5)
  assert padded.dtype == np.float32
  assert padded[:, 0, 0].tolist() == [1, 1, 0, 0, 0]
  assert seen[:, 2].tolist() == [True, True, False, False, False]


def test_the_first_rows_are_kept():
  values = np.arange(3, dtype=np.float64)[:, None, None] * np.ones((1, 4, 2))
  padded, seen = labelled.pad_rows(values, values[..., 0] > 0, 2)
  assert padded[:, 3, 1].tolist() == [0, 1]
  assert seen[:, 3].tolist() == [False, True]


def test_a_window_is_random_with_a_generator_only():
  middle = labelled.window(None, 20, 4, (1, 3))
  assert middle.tolist() == [6, 8, 10, 12]
  rng = np.random.default_rng(0)
  drawn = {tuple(labelled.window(rng, 20, 4, (1, 3))) for _ in range(20)}
  assert len(drawn) > 10


def test_what_a_source_cannot_give_is_told():
  labelled.check_keys('movi', ('video',), ('video', 'depth'))
  with pytest.raises(ValueError, match=r"movi: .*\['label'\].*'depth'"):
    labelled.check_keys('movi', ('video', 'label'), ('video', 'depth'))
  with pytest.raises(ValueError, match='nothing'):
    labelled.check_keys('movi', (), ('video', 'depth'))
  with pytest.raises(ValueError, match=r"tapvid: split='train'.*'test'"):
    labelled.check_split('tapvid', 'train', ('test',))
  with pytest.raises(ValueError, match='points=0'):
    labelled.check_positive('movi', frames=1, points=0)
