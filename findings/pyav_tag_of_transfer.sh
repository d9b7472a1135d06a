#!/bin/sh
# PyAV 18.1.0: reformat(dst_color_trc=...) converts pixels, where its docstring
# says that it sets a tag.
#
# Guessed: by the docstring ("This sets frame metadata only; it does not perform
# a pixel-level transfer function conversion") a frame of PQ asked for with the
# tag of BT.709 has the same numbers.
# Seen: a flat frame of 40019 of 65535 in PQ comes out as 65535: it is taken for
# light above SDR's white, and clipped. With neither option it stays 40019. The
# FFmpeg in the wheel (8.1) converts between transfers when frames differ in
# them, and the tag is set before.
# Ours: data/film/colour.py asks for no transfer, and converts by itself, with
# the roll-off of BT.2390.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet av==18.1.0 numpy==2.4.6
"$work/venv/bin/python" - <<'END'
import sys

import av
import numpy as np

PQ, BT709, BT2020 = 16, 1, 9
flat = np.full((32, 64, 3), 40000, np.uint16)
frame = av.VideoFrame.from_ndarray(flat, 'rgb48le').reformat(
  format='yuv420p10le'
)
frame.color_trc, frame.color_primaries, frame.colorspace = PQ, BT2020, BT2020
values = {}
for name, options in (
  ('as it is', {}),
  ('dst_color_trc of BT.709', {'dst_color_trc': BT709}),
):
  out = frame.reformat(format='rgb48le', **options)
  values[name] = int(out.to_ndarray()[0, 0, 0])
  print(f'{name}: {values[name]}, tagged {int(out.color_trc)}')
if values != {'as it is': 40019, 'dst_color_trc of BT.709': 65535}:
  print('it is otherwise now')
  sys.exit(1)
END
