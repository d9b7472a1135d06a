"""Video in and out of a prediction: windows of any length of film."""

import contextlib
import itertools
import os
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
from jaxtyping import UInt8

from base import files
from base.console import progress, say
from data import film as film_lib
from data import overlay
from data.source import BadRecord
from data.transforms import Box, centre_box

_READABLE = 360  # pixels that the smaller side of a picture has at least
_BT601 = 6  # as the numbers in a file name it


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

  def windows(self, frames: int, height: int, width: int) -> Iterator[Window]:
    """Windows one after another.

    Frames come at a constant rate, as clips that models learn from do, and
    none spans a pause, damage or a change of size: the last window before it
    is filled with its last frame, as that at the end of the film is.

    Raises:
      BadRecord: not a video.
    """
    number = 0
    for stretch in self._stretches:
      for window in self._windows(stretch, frames, height, width):
        start = number + window.start
        yield window._replace(start=start)
      number = start + window.count * self._stride

  def _windows(
    self, stretch: film_lib.Stretch, frames: int, height: int, width: int
  ) -> Iterator[Window]:
    """Windows of one stretch, numbered from its start."""
    zoom = zoom_of(height, width)
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


def zoom_of(height: int, width: int) -> int:
  """How many times larger than the model sees it a picture is drawn; even."""
  return 2 * -(-_READABLE // (2 * min(height, width)))


def redraw(
  film: Film,
  shape: tuple[int, int, int],
  draw: Callable[[Window], UInt8[np.ndarray, 't y x 3']],
  out: str,
) -> None:
  """Writes an mp4 of a film, window by window, and says how far it is.

  Args:
    film: whose windows it is of.
    shape: frames, height and width of a window.
    draw: a window's pictures, of even height and width; those of frames that
      only fill it are dropped.
    out: the file.

  Raises:
    ValueError: the film cannot be read.
    OSError: the file cannot be written.
  """
  with (
    writing(out, film.rate) as writer,
    # A file tells about how many frames it has, or does not.
    progress(os.path.basename(film.name), film.total or None, 'frame') as bar,
  ):
    try:
      for window in film.windows(*shape):
        writer.add(draw(window)[: window.count])
        bar.update(window.count)
    except BadRecord as error:
      raise ValueError(f'{film.name}: {error}') from error
  for gap in film.told.gaps:
    say(f'{film.name}: {gap} do not decode: they are left out')


@contextlib.contextmanager
def writing(path: str, rate: Fraction) -> Iterator['Writer']:
  """An mp4 (H.264, yuv420p) that is there once it is whole.

  Args:
    path: of the file; its folder is made if need be.
    rate: frames per second.

  Raises:
    OSError: it cannot be written.
  """
  files.make_parents(path)
  with files.replacing(path) as draft:
    try:
      draft.touch()  # FFmpeg names no file that it cannot write
    except OSError as error:
      raise OSError(error.errno, error.strerror, path) from error
    with av.open(str(draft), 'w', format='mp4') as file:
      writer = Writer(file, rate)
      yield writer
      writer.finish()


class Writer:
  """Appends to the file of `writing`; the first clip says the size, even."""

  def __init__(self, file: av.container.OutputContainer, rate: Fraction):
    self._file, self._rate, self._stream = file, rate, None

  def add(self, clip: UInt8[np.ndarray, 't h w 3']) -> None:
    """Appends frames."""
    if self._stream is None:
      self._stream = self._file.add_stream('libx264', rate=self._rate)
      codec = self._stream.codec_context
      codec.height, codec.width = clip.shape[1:3]
      codec.pix_fmt, codec.options = 'yuv420p', {'crf': '18'}
      codec.color_range = av.video.reformatter.ColorRange.MPEG
      codec.colorspace = _BT601
    for picture in clip:
      frame = av.VideoFrame.from_ndarray(picture, 'rgb24').reformat(
        format='yuv420p', dst_colorspace='ITU601', dst_color_range='MPEG'
      )
      self._file.mux(self._stream.encode(frame))

  def finish(self) -> None:
    """Writes what the encoder still holds."""
    self._file.mux(self._stream.encode(None))


def captioned(
  clip: UInt8[np.ndarray, 't h w 3'], lines: list[str]
) -> UInt8[np.ndarray, 't y w 3']:
  """The clip under black strips with a line of text each."""
  strip = np.zeros((len(clip), 18, clip.shape[2], 3), np.uint8)
  strips = [overlay.text(strip, line) for line in lines]
  return np.concatenate([*strips, clip], axis=1)
