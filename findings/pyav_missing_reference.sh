#!/bin/sh
# PyAV 18.1.0: H.264 of which a picture is missing that others refer to decodes
# without an error and without is_corrupt, with err_detect=explode too.
#
# Guessed: as of HEVC, whose decoder stops there ("Invalid data") once it is asked
# to explode, or at least marks what it makes up.
# Seen: without one packet of an mkv no exception comes, no frame is corrupt, and
# all pictures up to the next keyframe are wrong, by 50 of 255 of a film that
# moves: the decoder puts a copy of another picture in the place of the one
# whose number it misses, and says so on its debug log alone.
# Ours: data/film/lost.py reads the numbers in the slices.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet av==18.1.0 numpy==2.4.6
"$work/venv/bin/python" - "$work/film.mkv" "$work/less.mkv" <<'END'
import sys

import av
import numpy as np

path, less, missing = sys.argv[1], sys.argv[2], 10
OPTIONS = {'g': '24', 'bf': '0', 'refs': '1'}
av.logging.set_level(av.logging.PANIC)
still = np.random.default_rng(0).integers(0, 255, (96, 256, 3), np.uint8)
with av.open(path, 'w') as out:
  stream = out.add_stream('libx264', rate=25, options=OPTIONS)
  stream.width, stream.height, stream.pix_fmt = 128, 96, 'yuv420p'
  for number in range(40):
    picture = np.ascontiguousarray(still[:, 3 * number :][:, :128])
    out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, 'rgb24')))
  out.mux(stream.encode())
with av.open(path) as source, av.open(less, 'w') as out:
  stream = out.add_stream_from_template(source.streams.video[0])
  for number, packet in enumerate(source.demux(video=0)):
    if packet.size and number != missing:
      packet.stream = stream
      out.mux(packet)


def decoded(file):
  with av.open(file) as container:
    container.streams.video[0].codec_context.options = {'err_detect': 'explode'}
    return {
      round(frame.time * 25): frame for frame in container.decode(video=0)
    }


whole, left = decoded(path), decoded(less)
marked = sum(frame.is_corrupt for frame in left.values())
off = {
  number: abs(
    frame.to_ndarray(format='gray').astype(int)
    - whole[number].to_ndarray(format='gray')
  ).mean()
  for number, frame in left.items()
}
wrong = [number for number, each in off.items() if each > 10]
print(f'{len(left)} frames, {marked} of them marked; wrong: {wrong}')
print(f'by {max(off.values()):.0f} of 255')
if marked or wrong != list(range(missing + 1, 24)):
  print('it is otherwise now')
  sys.exit(1)
END
