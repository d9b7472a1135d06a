"""Contact sheets: a row per clip, time from left to right."""

import numpy as np

from data import contact_sheet


def test_a_plain_sheet_has_white_gaps_and_keeps_pixels():
  clips = np.linspace(0, 0.9, 3 * 2 * 4 * 5 * 3).reshape(3, 2, 4, 5, 3)
  sheet = contact_sheet.plain(clips)
  assert sheet.shape == (3 * (4 + 4), 2 * (5 + 4), 3)
  for b in range(3):
    for t in range(2):
      tile = sheet[8 * b : 8 * b + 8, 9 * t : 9 * t + 9]
      assert (tile[:2] == 255).all()
      assert (tile[:, -2:] == 255).all()
      inner = np.round(255 * clips[b, t])
      np.testing.assert_allclose(tile[2:-2, 2:-2], inner, atol=1)


def test_numbers_are_spread_from_first_to_last():
  assert contact_sheet.spread(10, 4) == [0, 3, 6, 9]
  assert contact_sheet.spread(3, 8) == [0, 1, 2]
