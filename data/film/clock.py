"""When each picture is shown: seconds of one clock that never runs back."""

import itertools
from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

import av

from data.film import shape, streams
from data.film.decoded import Frames
from data.film.told import Told
from data.source import BadRecord

_HEAD = 8  # frames, of which is seen which of a file's clocks is right
_BACK = 8  # frames: a clock that runs back further was set anew


class Picture(NamedTuple):
  """A frame with its time."""

  frame: av.VideoFrame
  time: float  # seconds after the file's first picture
  after: str  # a kind of `told.KINDS` that parts it from the one before, or ''
  size: tuple[int, int]  # (height, width) as it is to be shown


def timed(
  stream: av.VideoStream, frames: Frames, told: Told
) -> Iterator[Picture]:
  """Each picture with its time.

  Frames come in display order. Files whose presentation times do not (avi with
  B-frames, wrong reordering in mp4) have good decoding times: the clock of
  those two that runs back less often in the first pictures is trusted. Where
  none ticks (raw streams) pictures come at the rate that the stream says.
  Joined files start their clock again: it goes on where the last one ended. The
  delays of a GIF are those of browsers.

  Args:
    stream: of `opened`.
    frames: of `decoded.clean`.
    told: counts what parts pictures.

  Raises:
    BadRecord: no time, and no rate, is known.
  """
  rates, base = streams.rates(stream), stream.time_base
  # In ticks of the file's clock: fractions of seconds would cost more than all
  # else here.
  step = float(1 / rates[0] / base) if rates else None
  if stream.container.format.name == 'gif':
    frames = _as_browsers(frames)
  head = deque(itertools.islice(frames, _HEAD))
  raw = streams.is_raw(stream)
  trusted = None if raw else _trusted([frame for frame, _ in head])
  time, last, size, coded = 0, None, None, None
  for number, (frame, damaged) in enumerate(_again(head, frames)):
    at, after = getattr(frame, trusted) if trusted else None, ''
    if number:
      ticks = step if at is None or last is None else at - last
      if ticks is None:
        raise BadRecord('its frame rate is unknown')
      if ticks < 0 and (step is None or -ticks > _BACK * step):
        after, ticks, last = 'clock', step or 0, None
      time += max(ticks, 0)
      if ticks > 0:
        step = ticks  # what a frame without a time comes after the last
    # A picture that is late by less stays where the one before it is.
    known = at if at is not None or last is None else last + step
    last = known if last is None else max(last, known)
    # Turns change with the size, or at keyframes.
    if coded != (frame.width, frame.height) or frame.key_frame:
      coded = frame.width, frame.height
      shown = shape.upright_size(stream, frame)
    if size not in (None, shown):
      after = 'resized'
    size = shown
    if after:
      told.kinds[after] += 1
    if damaged and number:
      after = 'damaged'  # counted with its gap
    yield Picture(frame, float(time * base), after, shown)


def _again(head: deque, frames: Frames) -> Frames:
  """All frames; those of `head` are not held any longer than the others."""
  while head:
    yield head.popleft()
  yield from frames


def _as_browsers(frames: Frames) -> Frames:
  """The frames of a GIF, at the times at which all browsers show them.

  A delay of 0 or 1 hundredth of a second is one of 10: old programs wrote it
  for "as fast as you can", which was not faster.
  """
  at = 0
  for frame, damaged in frames:
    frame.pts = at
    at += frame.duration if frame.duration > 1 else 10
    yield frame, damaged


def _trusted(frames: list[av.VideoFrame]) -> str:
  """The clock that runs back, or is silent, less often: 'pts' or 'dts'."""

  def faults(kind):
    ticks = [getattr(frame, kind) for frame in frames]
    known = [tick for tick in ticks if tick is not None]
    back = sum(b < a for a, b in itertools.pairwise(known))
    return back + len(ticks) - len(known)

  return 'pts' if faults('pts') <= faults('dts') else 'dts'
