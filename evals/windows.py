"""A film of any length in windows of as many frames as a backbone sees."""

import contextlib
import itertools
import os
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
from jaxtyping import UInt8

from base import files
from data import film as film_lib
from data.source import BadRecord
from data.transforms import Box, centre_box


class Window(NamedTuple):
  """As many frames as the model sees at once."""

  clip: UInt8[np.ndarray, 't h w 3']  # for the model
  picture: UInt8[np.ndarray, 't y x 3']  # the same, larger, to draw on
  count: int  # frames that the film has; the rest repeat the last
  start: int  # number of the first one in the film


class Film:
  """A video file, read in windows. See `opened`."""

  def __init__(
    self, name: str, stream: av.VideoStream, *, stride: int, crop: bool
  ):
    self.name = name
    self.box = None  # of the whole picture, what is seen; known once it is
    self.told = film_lib.Told()  # grows as the film is read
    self._stream, self._stride, self._crop = stream, stride, crop
    self._rate = None  # of the first stretch, at which all are shown
    stretches = film_lib.stretches(stream, self._shown_at, self.told)
    self._stretches = itertools.chain([next(stretches)], stretches)

  def _shown_at(self, own: Fraction) -> Fraction:
    self._rate = self._rate or own
    return self._rate

  @property
  def rate(self) -> Fraction:
    """Frames per second of windows, at the speed of the film."""
    return self._rate / self._stride

  @property
  def total(self) -> int:
    """About how many frames windows will show; 0 if the file does not tell."""
    seconds = (self._stream.container.duration or 0) / av.time_base
    if self._stream.duration:
      seconds = float(self._stream.duration * self._stream.time_base)
    return round(seconds * self.rate)

  def windows(
    self, frames: int, height: int, width: int, zoom: int = 1
  ) -> Iterator[Window]:
    """Windows one after another.

    `picture` is `zoom` times as large as `clip`.

    Frames come at a constant rate, as clips that models learn from do, and
    none spans a pause, damage or a change of size: the last window before it
    is filled with its last frame, as that at the end of the film is.

    Raises:
      BadRecord: not a video.
    """
    number = 0
    for stretch in self._stretches:
      for window in self._windows(stretch, frames, height, width, zoom):
        start = number + window.start
        yield window._replace(start=start)
      number = start + window.count * self._stride

  def _windows(
    self,
    stretch: film_lib.Stretch,
    frames: int,
    height: int,
    width: int,
    zoom: int,
  ) -> Iterator[Window]:
    """Windows of one stretch, numbered from its start."""
    large, small, start, last = [], [], 0, None

    def window():
      count, more = len(small), frames - len(small)
      clips = [np.stack(x + x[-1:] * more) for x in (small, large)]
      return Window(*clips, count, start)

    for number, frame in enumerate(stretch.frames):
      if number % self._stride:
        continue
      if not small:
        start = number
      if frame is not last:
        shown = self._shown(frame, height, width)
        shown_large = shown
        if zoom > 1:
          shown_large = self._shown(frame, zoom * height, zoom * width)
      last = frame
      small.append(shown)
      large.append(shown_large)
      if len(small) == frames:
        yield window()
        small.clear()
        large.clear()
    if small:
      yield window()

  def _shown(self, frame, height, width):
    """The frame as a picture of this size: its middle, or all of it."""
    size = film_lib.upright_size(self._stream, frame)
    box = Box(0, 0, *size)
    if self._crop:
      box = centre_box(*size, width / height)
    self.box = self.box or box
    # Resized such that the box has the size, then cut: FFmpeg's scaler averages
    # what shrinks, with the right colours.
    tall = round(size[0] * height / box.height)
    wide = round(size[1] * width / box.width)
    top = round(box.top * height / box.height)
    left = round(box.left * width / box.width)
    picture = film_lib.upright(frame, tall, wide)
    return picture[top : top + height, left : left + width]


@contextlib.contextmanager
def opened(path: str, *, stride: int, crop: bool) -> Iterator[Film]:
  """A video file of any container and codec that FFmpeg knows.

  Args:
    path: of the file.
    stride: every how many-th frame is seen.
    crop: see the middle of the picture only, of the shape of the windows;
      otherwise the whole picture is squeezed into it.

  Raises:
    ValueError: not a video.
  """
  if stride < 1:
    raise ValueError(f'--stride={stride} must be at least 1')
  if not files.is_local(path):
    raise ValueError(
      f'--video={path} is in an object store, and is read as a file of a disk: '
      'copy it to one'
    )
  if not os.path.isfile(path):
    raise ValueError(f'--video={path} does not exist')
  with contextlib.ExitStack() as stack:
    try:
      stream = stack.enter_context(film_lib.opened(Path(path)))
      film = Film(path, stream, stride=stride, crop=crop)
    except BadRecord as error:
      raise ValueError(f'--video={path}: {error}') from error
    yield film
