"""J and F of DAVIS against the definitions, counted pixel by pixel."""

import itertools
import math

import numpy as np
import pytest

from evals import metrics
from evals.metrics import regions


def blobs(seed, frames=5, height=23, width=31):
  """Masks of a few rectangles, some frames empty."""
  rng = np.random.default_rng(seed)
  masks = np.zeros((frames, height, width), bool)
  for mask in masks[1:]:
    for _ in range(rng.integers(1, 4)):
      top, left = rng.integers(0, height - 3), rng.integers(0, width - 3)
      tall, wide = rng.integers(1, 12, 2)
      mask[top : top + tall, left : left + wide] ^= True
  return masks


def slow_outline(mask):
  """The pixels whose right, lower or diagonal neighbour is of the other kind.

  As the official code: at the last row and column there is no such neighbour
  but the one along it, and the last corner is never one.
  """
  height, width = mask.shape
  found = set()
  for y, x in itertools.product(range(height), range(width)):
    others = [
      (y + dy, x + dx)
      for dy, dx in ((0, 1), (1, 0), (1, 1))
      if y + dy < height and x + dx < width
    ]
    if any(mask[other] != mask[y, x] for other in others):
      found.add((y, x))
  return found


def slow_f(predicted, true, radius):
  ours, theirs = slow_outline(predicted), slow_outline(true)
  if not ours or not theirs:
    return float(not ours and not theirs)

  def share(some, others):
    near = [
      any(math.dist(point, other) <= radius for other in others)
      for point in some
    ]
    return sum(near) / len(near)

  precision, recall = share(ours, theirs), share(theirs, ours)
  if not precision + recall:
    return 0.0
  return 2 * precision * recall / (precision + recall)


@pytest.mark.parametrize('seed', range(4))
def test_f_is_what_every_pair_of_points_says(seed):
  one, other = blobs(seed), blobs(seed + 10)
  other[2] = one[2]
  found = regions.contour(one, other)
  # 0.8% of a diagonal of 38.6 pixels, rounded up.
  want = [slow_f(x, y, radius=1) for x, y in zip(one, other)]
  np.testing.assert_allclose(found, want, atol=1e-12)
  assert found[0] == found[2] == 1.0
  assert found[3] < 1


def test_how_near_is_near_grows_with_the_picture():
  # A diagonal of 424 pixels, of which 0.8% are 3.4: four pixels are near.
  true = np.zeros((1, 300, 300), bool)
  true[:, 50:150, 50:150] = True
  for shift, near in ((4, True), (5, False)):
    found = regions.contour(np.roll(true, shift, axis=2), true)[0]
    assert (found == 1) == near


def test_j_is_intersection_over_union():
  one, other = blobs(1), blobs(2)
  found = regions.region(one, other)
  assert found[0] == 1  # both are empty
  for x, y, j in zip(one[1:], other[1:], found[1:]):
    both = sum(a and b for a, b in zip(x.flat, y.flat))
    either = sum(a or b for a, b in zip(x.flat, y.flat))
    assert j == pytest.approx(both / either)


def test_objects_weigh_the_same_whatever_their_sequences():
  """As DAVIS: the mean over all objects, each of which is one over frames."""
  true = np.zeros((9, 12, 16), np.uint8)
  true[:, :6, :8], true[:, 8:, 8:] = 1, 2
  worse = true.copy()
  worse[5:][true[5:] == 2] = 0  # lost for the last four frames
  first = metrics.region_sums(worse, true, np.array([1, 2]))
  second = metrics.region_sums(true, true, np.array([1]))
  assert first['count'] == 2
  assert first['j'] == pytest.approx(1 + 5 / 9)
  assert first['j_recall'] == pytest.approx(1 + 5 / 9)
  assert first['j_decay'] == pytest.approx(1)  # from the first quarter to last
  together = {key: first[key] + second[key] for key in first}
  scores = metrics.region_scores(together)
  assert scores['j'] == pytest.approx((2 + 5 / 9) / 3)
  assert scores['j_and_f'] == pytest.approx((scores['j'] + scores['f']) / 2)
