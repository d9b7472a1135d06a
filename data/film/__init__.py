"""Any video file of other people, as pictures that can be trained on.

file -> the stream that is the video (`streams`) -> clean pictures (`decoded`)
-> one moment of an interlaced one (`interlaced`) -> what is meant to be seen of
it (`aperture`) -> times (`clock`) -> stretches of a steady rate, without pauses
or damage (`pace`) -> upright, square, SDR (`shape`, `colour`, `light`). What
was done is counted in a `told.Told`.
"""

from collections.abc import Callable, Iterator
from fractions import Fraction

import av

from data.film import aperture, clock, decoded, interlaced, lost, pace, streams
from data.film.colour import kind as colours
from data.film.colour import upright, upright_planes
from data.film.ends import missing
from data.film.pace import Stretch, stored_rate
from data.film.shape import UPRIGHT, aspect, common_size, turn, upright_size
from data.film.streams import opened
from data.film.told import Told
from data.source import BadRecord

__all__ = [
  'UPRIGHT',
  'Stretch',
  'Told',
  'aspect',
  'colours',
  'common_size',
  'is_of_fields',
  'missing',
  'opened',
  'stored_rate',
  'stretches',
  'turn',
  'upright',
  'upright_planes',
  'upright_size',
  'whole',
]


def stretches(
  stream: av.VideoStream, stored: Callable[[Fraction], Fraction], told: Told
) -> Iterator[Stretch]:
  """The stretches of an opened file, one after another.

  Args:
    stream: of `opened`.
    stored: frames per second of a stretch, from those of its pictures; see
      `stored_rate`.
    told: learns what is found, and what is done about it.

  Raises:
    BadRecord: nothing decodes, or no rate is known.
  """
  frames = _moments(stream, told)
  pictures = clock.timed(stream, frames, told)
  return pace.stretches(pictures, streams.rates(stream), stored, told)


def _moments(stream: av.VideoStream, told: Told) -> decoded.Frames:
  """Clean frames of one moment each, of which only what is meant is seen."""
  frames = decoded.clean(stream, told)
  frames = interlaced.deinterlaced(frames, told, interlaced.order(stream))
  return aperture.cropped(frames, aperture.of(stream))


def is_of_fields(stream: av.VideoStream) -> bool:
  """Whether a packet may hold half of a frame: one of its two fields."""
  codec = stream.codec_context
  return codec.name == 'h264' and lost.Numbers(codec).fields


def whole(
  stream: av.VideoStream, on_lost: Callable[[float], object] | None = None
) -> Iterator[av.VideoFrame]:
  """Every frame of a stream without damage, in display order, deinterlaced.

  A stream may begin in the middle of things, or with a bad keyframe: who gives
  `on_lost` gets what comes from the first good keyframe on.

  Args:
    stream: of `opened`.
    on_lost: called with the seconds that do not decode at the start, before
      the first frame is given, if there are any.

  Raises:
    BadRecord: damaged; at the start too without `on_lost`.
  """
  told, count = Told(), 0
  frames = _moments(stream, told)
  for frame, damaged in frames:
    if damaged and count:
      raise BadRecord(f'damaged after frame {count}')
    if damaged:
      lost = told.gaps[-1].seconds
      if on_lost is None:
        raise BadRecord(f'damaged: its first {lost:.1f} s do not decode')
      on_lost(lost)
    yield frame
    count += 1
    told.gaps.clear()
  if told.gaps:
    raise BadRecord(f'damaged after frame {count}')
