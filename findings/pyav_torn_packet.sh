#!/bin/sh
# PyAV 18.1.0: of a transport stream that lost bytes, the packet that says
# is_corrupt is whole; the one after it is not.
#
# Guessed: the packet in which a packet of 188 bytes is missing is marked; who
# leaves out what is marked leaves out what is damaged.
# Seen: of H.264, MPEG-2 and HEVC without one packet of 188 bytes of picture 20,
# picture 19 is marked, with all its bytes, and 20 is shorter, not marked, and
# decodes without an error. The mark goes with the bytes that come in; the parser
# gives out the picture that they end, which is the one before.
# Ours: data/film/decoded.py takes the next packet for the torn one, unless a
# keyframe follows it: there another file was joined.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet av==18.1.0 numpy==2.4.6
"$work/venv/bin/python" - "$work/film.ts" <<'END'
import sys

import av
import numpy as np

path, torn = sys.argv[1], 20
av.logging.set_level(av.logging.PANIC)
noise = np.random.default_rng(0).integers(0, 255, (30, 96, 128, 3), np.uint8)


def packets():
  with av.open(path) as file:
    return [packet for packet in file.demux(video=0) if packet.size]


found = {}
for codec in ('libx264', 'mpeg2video', 'libx265'):
  options = {'g': '12', 'bf': '0', 'x265-params': 'bframes=0:log-level=none'}
  with av.open(path, 'w') as out:
    stream = out.add_stream(codec, rate=25, options=options)
    stream.width, stream.height, stream.pix_fmt = 128, 96, 'yuv420p'
    stream.bit_rate = 4_000_000
    for picture in noise:
      out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, 'rgb24')))
    out.mux(stream.encode())
  whole = packets()
  data = open(path, 'rb').read()
  # A packet of the same stream that begins no picture.
  at = next(
    at
    for at in range(whole[torn].pos + 188, len(data), 188)
    if data[at + 1 : at + 3] == b'\x01\x00'
  )
  open(path, 'wb').write(data[:at] + data[at + 188 :])
  left = packets()
  marked = [n for n, each in enumerate(left) if each.is_corrupt]
  shorter = [n for n, each in enumerate(left) if each.size != whole[n].size]
  found[codec] = marked, shorter
  print(f'{codec}: marked {marked}, not whole {shorter}')
if set(map(str, found.values())) != {str(([torn - 1], [torn]))}:
  print('it is otherwise now')
  sys.exit(1)
END
