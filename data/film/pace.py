"""Pictures with times to stretches: a steady rate, one size, no gap.

A film's cadence is that of its own pictures, not the average rate of its file,
in which pauses count. A stretch ends where the next picture comes late by more
than a few frames, has another size, or does not follow (damage, a clock that
was set anew): what is cut of it spans no pause unknowingly. Ours, both.
"""

import itertools
import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from typing import NamedTuple

import av
import numpy as np

from data.film.clock import Picture
from data.film.told import Told

PAUSE = 8.5  # frames: a later picture, times rounded, begins a new stretch
_SHORTEST = 1 / 30  # seconds of a frame, of which a pause is counted
_LOOK = 24  # pictures, of which a stretch's cadence is seen
_LOOK_BYTES = 2**28  # of raw pictures, at most: 4K has less than _LOOK
_CLOSER = 0.6  # of the cadence: closer pictures do not keep it
_FINER = 0.03  # of the pictures may be lost by a longer step
_OTHER = 12  # steps in a row of another cadence: it has changed
_KEEPS = Fraction(4, 5)  # of the most: a part 1/n of the rate that is as fast
# Of a frame: so near to the next time a picture is taken for it, or else one
# that lies between two times would be dropped and repeated by turns.
_NEXT = 0.6
_STANDARD = [
  *(Fraction(rate) for rate in (5, 6, 8, 10, 12, 15, 20, 24, 25, 30)),
  *(Fraction(1000 * rate, 1001) for rate in (15, 24, 30, 60, 120)),
  *(Fraction(rate) for rate in (48, 50, 60, 90, 100, 120, 240)),
]


class Stretch(NamedTuple):
  """Pictures that follow each other.

  Attributes:
    rate: frames per second of `frames`.
    size: (height, width) of each as it is to be shown.
    begin: seconds after the file's first picture.
    after: a kind of `told.KINDS` why it begins here; '' for the first.
    own: pictures per second in the file, about.
    frames: to be read before the next stretch is asked for.
  """

  rate: Fraction
  size: tuple[int, int]
  begin: float
  after: str
  own: float
  frames: Iterator[av.VideoFrame]


def stretches(
  pictures: Iterator[Picture],
  rates: Sequence[Fraction],
  stored: Callable[[Fraction], Fraction],
  told: Told,
) -> Iterator[Stretch]:
  """The stretches of a film, one after another.

  Args:
    pictures: of `clock.timed`.
    rates: that the file may have, see `streams.rates`.
    stored: the rate of a stretch whose pictures have that rate of their own.
    told: counts pictures that are left out or repeated, and why stretches end.
  """
  ahead = _Ahead(pictures)
  after = ''
  while window := ahead.look():
    step = cadence([each.time for each in window])
    own = _own_rate(window, step, rates)
    rate = stored(own)
    # Resampled is what does not keep each picture, or each n-th.
    if (own / rate).denominator > 1:
      told.kinds['resampled'] += 1
    first = window[0]
    begins = first.size, first.time, after or first.after
    # Frames that nobody holds are memory that the decoder uses again.
    del window, first
    steady = _Steady(ahead, float(1 / own), float(rate), told)
    yield Stretch(rate, *begins, float(own), steady.frames())
    after = steady.ended


def cadence(times: Sequence[float]) -> float:
  """Seconds from picture to picture, 0.0 if there is one picture only.

  The longest step at which pictures are kept, each at its nearest time (all but
  3 % of what can be), and none comes later than a pause. So pictures that are
  missing now and then do not count, nor do pauses; of jitter, and of delays
  such as 30, 30, 40 ms, it is the mean.
  """
  at = np.array(times)
  steps = np.diff(at)
  best = [(0.0, 0)]  # step, and how many pictures it keeps
  for step in np.unique(steps[steps > 0]):
    mean = float(_near(steps, step).mean())
    parted = (steps > PAUSE * max(mean, _SHORTEST)).sum()
    slots = np.unique(np.floor((at - at[0]) / mean + 0.5))
    best.append((mean, len(slots) - parted))
  most = max(kept for _, kept in best)
  return max(step for step, kept in best if kept >= most - _FINER * len(at))


def _near(steps: np.ndarray, step: float) -> np.ndarray:
  """Those that are about as long."""
  return steps[(steps >= _CLOSER * step) & (steps < 1.5 * step)]


def stored_rate(own: Fraction, most: int | Fraction) -> Fraction:
  """Frames per second at which pictures of the rate `own` are stored.

  A rate of at most `most` stays. A faster one is divided by 2, 3 ..., as steps
  are then even; where that leaves less than 4/5 of `most`, it is `most` (ours).
  """
  part = own / math.ceil(own / most)
  return part if own <= most or part >= _KEEPS * most else Fraction(most)


def _own_rate(
  window: Sequence[Picture], step: float, rates: Sequence[Fraction]
) -> Fraction:
  """The cadence as frames per second: as the file says it, if that is near.

  Times are rounded (to a millisecond in Matroska): what differs by no more
  than that from a rate of the file, or a usual one, is that.
  """
  if not step:
    return rates[0] if rates else Fraction(1)
  near = _near(np.diff([each.time for each in window]), step)
  unsure = 5e-4 + float(np.ptp(near)) / float(near.sum())
  for known in (rates, _STANDARD):
    found = [rate for rate in known if abs(float(rate) * step - 1) <= unsure]
    if found:
      return min(found, key=lambda rate: abs(float(rate) * step - 1))
  return Fraction(1 / step).limit_denominator(1001)


class _Ahead:
  """Pictures, some of which were looked at before they are taken."""

  def __init__(self, pictures: Iterator[Picture]):
    self._pictures = pictures
    self._held: deque[Picture] = deque()

  def look(self) -> list[Picture]:
    """Pictures that follow each other, up to _LOOK; none at the end."""
    size = 0
    while len(self._held) < _LOOK and size < _LOOK_BYTES:
      picture = next(self._pictures, None)
      if picture is None:
        break
      self._held.append(picture)
      size += sum(plane.buffer_size for plane in picture.frame.planes)
      if picture.after and len(self._held) > 1:
        break
    together = itertools.islice(self._held, 1, None)
    rest = itertools.takewhile(lambda each: not each.after, together)
    return [*itertools.islice(self._held, 1), *rest]

  def next(self) -> Picture | None:
    """The next picture is taken."""
    if self._held:
      return self._held.popleft()
    return next(self._pictures, None)

  def back(self, picture: Picture):
    """It is not taken after all."""
    self._held.appendleft(picture)


class _Steady:
  """A stretch: its pictures, each at its nearest time of a steady rate."""

  def __init__(
    self,
    ahead: _Ahead,
    step: float,
    rate: float,
    told: Told,
  ):
    self.ended = ''  # why, if by the cadence: a pause, or another one
    self._ahead, self._rate, self._told = ahead, rate, told
    self._half = step * rate / 2  # of the pictures' own step, in frames
    self._close, self._far = _CLOSER * step, 1.6 * step
    self._pause = PAUSE * max(step, _SHORTEST)
    self._closer = self._farther = 0  # steps of another cadence, in a row

  def frames(self) -> Iterator[av.VideoFrame]:
    """One frame for each time."""
    shown = self._ahead.next()
    begin, last = shown.time, shown.time
    slot, off = 0, 0.0
    while (picture := self._ahead.next()) is not None:
      if picture.after or self._ends(picture.time - last):
        self._ahead.back(picture)
        break
      last = picture.time
      exact = (picture.time - begin) * self._rate
      own = slot + 1
      if abs(exact - own) > _NEXT:
        own = math.floor(exact + 0.5)
      away = abs(exact - own)
      if own == slot:
        self._told.pictures['dropped'] += 1
        if away < off:
          shown, off = picture, away
        continue
      if own > slot + 1:
        self._told.pictures['repeated'] += own - slot - 1
      for _ in range(own - slot):
        yield shown.frame
      shown, slot, off = picture, own, away
    # A picture of the end that is nearer to a time after it is not shown then.
    if off < self._half:
      yield shown.frame
    else:
      self._told.pictures['dropped'] += 1

  def _ends(self, step: float) -> bool:
    """Whether a picture that comes so late is of another stretch."""
    if step > self._pause:
      self.ended = 'paused'
    self._closer = self._closer + 1 if step < self._close else 0
    self._farther = self._farther + 1 if step > self._far else 0
    if max(self._closer, self._farther) >= _OTHER:
      self.ended = 'rate'
    if self.ended:
      self._told.kinds[self.ended] += 1
    return bool(self.ended)
