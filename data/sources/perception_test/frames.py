"""Pictures of a video, by the numbers that its annotations give them.

A frame's number is that of a picture. Where a file has another number of
pictures than the annotations tell (a copy at another rate, an encoder that
dropped some), it is a time: number / frame_rate after the first picture; what
is nearest to it is shown. That is said once of each such video.
"""

import functools
from typing import NamedTuple

import av
import numpy as np
from jaxtyping import Int, UInt8

from base.console import say
from data import film
from data.remote import Path
from data.source import BadRecord


class Told(NamedTuple):
  """What the annotations say of a video."""

  frames: int
  rate: float  # frames in a second


def decode(
  file: Path, told: Told, numbers: Int[np.ndarray, 't'], height: int, width: int
) -> UInt8[np.ndarray, 't {height} {width} 3']:
  """These frames, decoded from the keyframe before them.

  The times of all packets, which need no decoding, tell which frame is which.

  Args:
    file: of the video.
    told: see there.
    numbers: of frames, in order.
    height: pixels; the whole picture is resized.
    width: pixels.

  Raises:
    BadRecord: damaged, shorter than the annotations say, or of pictures that
      change their shape.
    OSError: no such file.
  """
  with film.opened(file) as stream:
    try:
      times = sorted(
        packet.pts
        for packet in stream.container.demux(stream)
        if packet.pts is not None and not packet.is_discard
      )
      if not times:
        raise BadRecord('no frame')
      seconds = (np.array(times) - times[0]) * float(stream.time_base)
      places = _places(file, told, numbers, seconds)
      wanted = [times[place] for place in places]
      # To the keyframe before: frames up to the first wanted one are decoded
      # and dropped.
      stream.container.seek(wanted[0], stream=stream)
    except av.FFmpegError as error:
      raise BadRecord(f'damaged: {error.strerror}') from error
    shown, sizes = {}, []
    # What is missing is found below.
    for frame in film.whole(stream, on_lost=lambda seconds: None):
      if frame.pts in wanted:
        shown[frame.pts] = film.upright(frame, height, width)
        sizes.append(film.upright_size(stream, frame))
      if frame.pts >= wanted[-1]:
        break
  if shown.keys() != set(wanted):
    raise BadRecord(f'frames are missing among {numbers.tolist()}')
  film.common_size(sizes)
  return np.stack([shown[time] for time in wanted])


def _places(
  file: Path, told: Told, numbers: Int[np.ndarray, 't'], seconds: np.ndarray
) -> Int[np.ndarray, 't']:
  """Which of the pictures, that are shown at `seconds`, have these numbers."""
  count = len(seconds)
  if count == told.frames:
    return numbers
  asked = numbers / told.rate
  steps = np.diff(seconds)
  # The last picture is on show for a while: half of it is nearest to it.
  last = seconds[-1] + max(1 / told.rate, float(steps.max(initial=0))) / 2
  if asked[-1] > last:
    raise BadRecord(
      f'{count} frames, frame {numbers[-1]} is annotated: that is at '
      f'{asked[-1]:.2f} s, and the last picture is at {seconds[-1]:.2f} s'
    )
  _say_once(file, count, told)
  between = (seconds[1:] + seconds[:-1]) / 2
  return np.searchsorted(between, asked)


@functools.lru_cache(maxsize=4096)
def _say_once(file: Path, count: int, told: Told):
  say(
    f'perception_test: {file} has {count} frames, its annotations tell '
    f'{told.frames} at {told.rate:g} in a second: labels go by time, to the '
    'nearest picture'
  )
