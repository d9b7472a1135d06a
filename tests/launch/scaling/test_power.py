import numpy as np
import pytest

from launch.scaling import power
from launch.scaling.power import Law, Point

SIZES = (5e4, 1.5e5, 5e5, 1.5e6)
LAW = Law(floor=0.2, scale=0.3, power=0.4, unit=1e6)


def drawn(deviation, seeds, *, rng=0, law=LAW, sizes=SIZES):
  """Runs of sizes that follow a law, but for the chance of each."""
  rng = np.random.default_rng(rng)
  return [
    Point(size, tuple(law.at(size) + rng.normal(0, deviation, seeds)))
    for size in sizes
  ]


@pytest.mark.parametrize('floor', [0.0, 0.2])
def test_a_law_is_found_again(floor):
  law = Law(floor, 0.3, 0.4, 1e6)
  found = power.fit(drawn(0.0, 1, law=law))
  assert found.power == pytest.approx(0.4, rel=0.03)
  assert found.floor == pytest.approx(floor, abs=0.01)
  assert found.at(5e6) == pytest.approx(law.at(5e6), rel=2e-3)


def test_no_error_falls_below_zero():
  falling = Law(-0.5, 1.0, 0.2, 1e6)
  points = drawn(0.0, 1, law=falling)
  found = power.fit(points)
  assert found.floor == 0
  # As near as any law without a floor is.
  errors = np.array([point.mean for point in points])
  left = []
  for at in np.geomspace(0.02, 2.0, 400):
    x = np.array(SIZES)[:, None] ** -at
    left.append(np.linalg.lstsq(x, errors, rcond=None)[1].item())
  ours = sum((found.at(point.size) - point.mean) ** 2 for point in points)
  assert ours <= 1.01 * min(left)


def test_where_more_is_worse_the_law_says_so():
  worse = Law(0.5, -0.1, 0.3, 1e6)
  assert power.fit(drawn(0.0, 1, law=worse)).at(5e6) > worse.at(1.5e6)


def test_many_seeds_weigh_more():
  sizes = (1e4, 1e5, 1e6, 1e7)
  points = drawn(0.0, 1, sizes=sizes)
  off = Point(1e5, (points[1].mean + 0.05,))
  sure = Point(1e5, off.errors * 9)
  one, many = (
    power.fit([points[0], point, *points[2:]]) for point in (off, sure)
  )
  assert abs(many.at(1e5) - off.mean) < abs(one.at(1e5) - off.mean)


def test_a_band_holds_the_run_nine_times_in_ten():
  held = 0
  for rng in range(30):
    found = power.forecast(drawn(0.01, 3, rng=rng), 5e6, seed=rng)
    reached = LAW.at(5e6) + np.random.default_rng(1000 + rng).normal(0, 0.01)
    held += found.low <= reached <= found.high
  assert held >= 22  # 27 of 30 expected


def test_four_times_the_seeds_halve_the_band():
  def width(seeds):
    points = [
      Point(size, tuple(LAW.at(size) + 0.01 * (-1) ** x for x in range(seeds)))
      for size in SIZES
    ]
    low, high = power.band(points, [1e5])
    return (high - low).item()

  # A half, but for the deviation of four values and of sixteen.
  assert 0.4 < width(16) / width(4) < 0.5


def test_the_same_points_give_the_same_numbers():
  points = drawn(0.01, 2)
  assert power.forecast(points, 5e6) == power.forecast(points, 5e6)


def test_chance_is_pooled_over_sizes_or_read_off_what_is_left():
  assert power.noise(drawn(0.02, 400)) == pytest.approx(0.02, rel=0.1)
  sizes = tuple(np.geomspace(1e4, 1e7, 200))
  alone = drawn(0.02, 1, sizes=sizes)
  assert power.noise(alone) == pytest.approx(0.02, rel=0.2)
  with pytest.raises(ValueError, match='another seed, or another size'):
    power.noise(drawn(0.02, 1)[:3])


def test_two_sizes_meet_any_law():
  with pytest.raises(ValueError, match='three sizes or more'):
    power.fit(drawn(0.0, 2)[:2])
