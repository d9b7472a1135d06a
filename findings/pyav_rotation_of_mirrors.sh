#!/bin/sh
# PyAV 18.1.0: VideoFrame.rotation gives one number for a half turn and for a
# mirror from left to right, and 0 for one from top to bottom.
#
# Guessed: it is the angle of the display matrix, as its docstring says, and a
# mirrored video either has none or is told apart; who turns frames by it shows
# what players show.
# Seen: of mp4 files with the matrices (a, d) of a half turn (-1, -1) and of a
# mirror (-1, 1) both are -180, and (1, -1) is 0 as (1, 1) is: front cameras
# come out upside down. FFmpeg's own function for the angle looks at one row of
# the matrix; its players look at the sign of the determinant first.
# Ours: data/film/shape.py reads the matrix itself.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet av==18.1.0 numpy==2.4.6
"$work/venv/bin/python" - "$work/film.mp4" <<'END'
import struct
import sys

import av
import numpy as np

path = sys.argv[1]


def film():
  with av.open(path, 'w') as out:
    stream = out.add_stream('libx264', rate=10)
    stream.width, stream.height, stream.pix_fmt = 64, 32, 'yuv420p'
    picture = np.zeros((32, 64, 3), np.uint8)
    for _ in range(3):
      out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, 'rgb24')))
    out.mux(stream.encode())


def show(a, d, x, y):
  """Writes the matrix of the track's header: it scales by a and d, moves."""
  data = bytearray(open(path, 'rb').read())
  at = data.index(b'tkhd') + 44
  sixteen = [value << 16 for value in (a, 0, 0, 0, d, 0, x, y)]
  data[at : at + 36] = struct.pack('>9i', *sixteen, 1 << 30)
  open(path, 'wb').write(data)


found = {}
for name, matrix in (
  ('upright', (1, 1, 0, 0)),
  ('half turn', (-1, -1, 64, 32)),
  ('left and right change sides', (-1, 1, 64, 0)),
  ('top and bottom change sides', (1, -1, 0, 32)),
):
  film()
  show(*matrix)
  with av.open(path) as file:
    found[name] = next(file.decode(video=0)).rotation
  print(f'{name}: rotation {found[name]}')
if list(found.values()) != [0, -180, -180, 0]:
  print('it is otherwise now')
  sys.exit(1)
END
