#!/bin/sh
# torch 2.13.0, CPU: F.interpolate(mode='bicubic') has another kernel with
# antialias=True than without, also where a picture only grows.
#
# Guessed: antialias widens the kernel where a picture shrinks, and changes
# nothing where it grows, as with mode='bilinear' and in other libraries. But the
# cubic's coefficient a is -0.75 without and -0.5 with it. So positions that are
# resized to a larger grid differ by the flag alone, and encoders that were saved
# by one library set it for one model and not for its neighbour.
# Seen: a single 1 of 9, resized to 18: -0.1055, 0.2617, 0.8789 without, -0.0703,
# 0.2266, 0.8672 with it; bilinear is the same with and without.
# Ours: both are there (models/nn/positions.py: bicubic).
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet torch==2.13.0 numpy==2.3.5
"$work/venv/bin/python" - <<'END'
import sys

import torch
from torch.nn import functional

print('torch', torch.__version__)
impulse = torch.zeros(1, 1, 1, 9)
impulse[..., 4] = 1
found = {}
for mode in ('bicubic', 'bilinear'):
  for antialias in (False, True):
    larger = functional.interpolate(
      impulse,
      size=(1, 18),
      mode=mode,
      align_corners=False,
      antialias=antialias,
    )
    found[mode, antialias] = [round(x, 4) for x in larger.flatten().tolist()]
    print(mode, 'antialias', antialias, found[mode, antialias][5:9])
if (
  found['bicubic', False][5:9] != [-0.0352, -0.1055, 0.2617, 0.8789]
  or found['bicubic', True][5:9] != [-0.0234, -0.0703, 0.2266, 0.8672]
  or found['bilinear', False] != found['bilinear', True]
):
  print('it is otherwise now')
  sys.exit(1)
END
