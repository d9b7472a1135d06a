"""Uneven times to stretches of a steady rate: no picture lost or doubled."""

import itertools
import math
from fractions import Fraction

import av
import pytest

from data.film import pace
from data.film.clock import Picture
from data.film.told import Told


def picture(number, seconds, after='', size=(16, 16)):
  frame = av.VideoFrame(16, 16, 'yuv420p')
  frame.pts = number
  return Picture(frame, float(seconds), after, size)


def run(seconds, rates=(), most=30, parted=()):
  """[(rate, numbers of the pictures)] of each stretch, and what is told.

  Args:
    seconds: of each picture.
    rates: that the file says.
    most: frames per second.
    parted: {number of a picture: why it does not follow}.
  """
  told, parted = Told(), dict(parted)
  pictures = [picture(n, at, parted.get(n, '')) for n, at in enumerate(seconds)]
  found = pace.stretches(
    *(iter(pictures), [Fraction(rate) for rate in rates]),
    *(lambda own: pace.stored_rate(own, most), told),
  )
  return [
    (each.rate, [frame.pts for frame in each.frames]) for each in found
  ], told


def steps(*milliseconds):
  """Times of pictures that are so far apart."""
  at = itertools.accumulate(milliseconds, initial=0)
  return [Fraction(each) / 1000 for each in at]


@pytest.mark.parametrize('rounded', [math.floor, round, math.ceil])
@pytest.mark.parametrize('rate', ['30', '30000/1001', '24000/1001', '12.5'])
@pytest.mark.parametrize('said', [True, False])
def test_times_in_milliseconds_lose_and_double_no_frame(rate, rounded, said):
  """As Matroska has them: of 30 frames a second, 0, 33, 67, 100."""
  rate = Fraction(rate)
  at = [Fraction(rounded(1000 * n / rate), 1000) for n in range(300)]
  ((stored, shown),), told = run(at, [rate] if said else [])
  assert float(stored) == pytest.approx(rate, rel=2e-3)
  if said:
    assert stored == rate
    assert shown == list(range(300))
    assert not told.kinds
  assert len(shown) == pytest.approx(300, abs=1)


@pytest.mark.parametrize('average', ['13.3', '3.5'])
def test_the_rate_is_that_of_the_pictures_not_of_the_file(average):
  seconds = [n / Fraction(30) + n // 60 * 5 for n in range(240)]
  found, told = run(seconds, [average])
  assert [rate for rate, _ in found] == [30] * 4
  assert [n for _, shown in found for n in shown] == list(range(240))
  assert told.kinds == {'paused': 3}


@pytest.mark.parametrize(
  ('late', 'stretches'), [(100, 1), (240, 1), (300, 2), (60_000, 2)]
)
def test_a_pause_of_a_few_frames_is_shown_a_longer_one_parts(late, stretches):
  each = [Fraction(100, 3)] * 40
  found, told = run(steps(*each, late, *each))
  assert len(found) == stretches
  repeated = round(late * 30 / 1000) - 1 if stretches == 1 else 0
  assert told.pictures['repeated'] == repeated
  assert sum(len(shown) for _, shown in found) == 82 + repeated


@pytest.mark.parametrize('rate', [30.3, 30.5, 30.64, 32, 33.3, 36, 40, 45])
def test_a_rate_above_the_most_is_resampled_by_time(rate):
  seconds = [Fraction(n) / Fraction(rate) for n in range(200)]
  ((stored, shown),), told = run(seconds, [Fraction(rate)])
  assert stored == 30
  assert told.kinds == {'resampled': 1}
  for slot, number in enumerate(shown):
    off = [abs(at - Fraction(slot, 30)) for at in seconds]
    # Nearest, or all but.
    assert off[number] <= min(off) + Fraction(1, 30) / 4
  assert len(set(shown)) == len(shown)
  assert told.pictures['dropped'] == 200 - len(shown)
  assert told.pictures['repeated'] == 0


@pytest.mark.parametrize(
  ('rate', 'stored', 'step'),
  [(60, 30, 2), (50, 25, 2), (120, 30, 4), ('60000/1001', '30000/1001', 2)],
)
def test_a_part_of_a_fast_rate_has_even_steps(rate, stored, step):
  seconds = [n / Fraction(rate) for n in range(200)]
  ((found, shown),), told = run(seconds, [rate])
  assert found == Fraction(stored)
  assert shown == list(range(0, 200, step))
  assert not told.kinds


@pytest.mark.parametrize(
  ('delays', 'rate'),
  [
    ([30, 30, 40], 30),  # a GIF of 30 frames a second
    ([Fraction(100, 3)] * 11 + [25], 30),  # a phone
    ([28, 38, 33, 36, 31, 30, 37], 30),  # another
    ([33, 50, 33, 50], 24),  # film in video of 60
    ([100], 10),
    ([66, 67, 67], 15),
    ([1000], 1),  # slides
  ],
)
def test_jitter_loses_no_picture(delays, rate):
  count = 210
  delays = list(itertools.islice(itertools.cycle(delays), count))
  ((stored, shown),), _ = run(steps(*delays))
  assert float(stored) == pytest.approx(rate, rel=0.02)
  kept = len(set(shown)) / (count + 1)
  faster = float(stored) * sum(delays) / 1000 / count
  assert kept > 0.97 * min(1, faster)
  assert len(shown) - len(set(shown)) <= 0.03 * count


def test_pictures_that_are_missing_now_and_then_do_not_count():
  """A screen recorder writes none while nothing moves."""
  each = Fraction(100, 3)
  delays = [each, each, 2 * each, each, 5 * each, each, each, 3 * each] * 20
  ((rate, shown),), told = run(steps(*delays), ['16'])
  assert rate == 30
  assert sorted(set(shown)) == list(range(161))
  assert told.pictures['repeated'] == len(shown) - 161
  # Each is on show when it is in the film.
  at = steps(*delays)
  assert all(
    abs(at[number] - Fraction(shown.index(number), 30)) < 1e-3
    for number in range(161)
  )


@pytest.mark.parametrize(('first', 'then'), [(15, 30), (30, 15), (30, 10)])
def test_another_cadence_is_another_stretch(first, then):
  seconds = [Fraction(n, first) for n in range(100)]
  seconds += [seconds[-1] + Fraction(n, then) for n in range(1, 101)]
  found, told = run(seconds)
  assert [rate for rate, _ in found] == [first, then]
  assert told.kinds == {'rate': 1}
  shown = {number for _, numbers in found for number in numbers}
  assert len(shown) >= 193


def test_uneven_delays_keep_every_picture():
  """As of a GIF."""
  delays = [100, 50, 80, 100, 200, 60] * 12
  found, _ = run(steps(*delays))
  shown = {number for _, numbers in found for number in numbers}
  assert len(shown) >= 0.97 * 73
  # Not by repeating each of them many times.
  assert sum(len(numbers) for _, numbers in found) < 3 * 73


def test_events_without_a_cadence_keep_most_pictures():
  delays = [(7 * n % 20 + 1) * Fraction(100, 3) for n in range(200)]
  found, _ = run(steps(*delays))
  assert len({n for _, shown in found for n in shown}) > 120


def test_what_does_not_follow_begins_a_stretch():
  seconds = [Fraction(n, 10) for n in range(60)]
  found, _ = run(seconds, parted={20: 'damaged', 22: 'resized', 23: 'clock'})
  assert [shown for _, shown in found] == [
    *([*range(20)], [20, 21], [22], [*range(23, 60)])
  ]


def test_one_picture_is_a_stretch():
  assert run([Fraction(0)], ['25'])[0] == [(25, [0])]
