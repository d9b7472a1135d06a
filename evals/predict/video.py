"""The mp4 of a prediction: pictures of one window of film after another."""

import contextlib
import os
from collections.abc import Callable, Iterator
from fractions import Fraction

import av
import numpy as np
from jaxtyping import UInt8

from base import files
from base.console import progress, say
from data import overlay
from data.source import BadRecord
from evals.windows import Film, Window

_READABLE = 360  # pixels that the smaller side of a picture has at least
_BT601 = 6  # as the numbers in a file name it


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
      for window in film.windows(*shape, zoom_of(*shape[1:])):
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
