"""Films that tests look at."""

from fractions import Fraction

import av


def film(path, frames):
  """An mp4 of 12.5 frames a second, all but lossless."""
  with av.open(str(path), 'w') as file:
    stream = file.add_stream('libx264', rate=Fraction(25, 2))
    stream.height, stream.width = frames.shape[1:3]
    stream.pix_fmt, stream.options = 'yuv420p', {'crf': '4', 'g': '4'}
    for frame in frames:
      file.mux(stream.encode(av.VideoFrame.from_ndarray(frame, 'rgb24')))
    file.mux(stream.encode(None))
  return str(path)
