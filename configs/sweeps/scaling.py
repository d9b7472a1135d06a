r"""Scaling of 4DS: sweeps over sizes, for `python -m launch.sweep`.

Each function yields the runs of a sweep: dicts of overrides, with the recipe
that they go over under 'config' and, where it should not be made of what
differs, a name under 'name'.

All sizes on the same clips, one slice after another (not run: no pod was here):

    python -m launch.sweep --config=configs/sweeps/scaling.py:data=DATA \
      --on=tpu --workdir=gs://BUCKET/ladder

`--sweep=iso_flops` spends each of three budgets on several sizes. The six runs
of `--sweep=tiny` see the built-in world, on a laptop:

    python -m launch.sweep --config=configs/sweeps/scaling.py --sweep=tiny \
      --on=local --workdir=runs/tiny \
      --readouts=configs/readout.py:task=depth,data=world,steps=100
"""

import itertools
from collections.abc import Iterator
from typing import Any

from configs import common

# Ours: what configs/mae.py has for sizes from B to G, for all of them.
BATCH = 2048
STEPS = 500_000

# Size -> the smallest slice that configs/layouts.json has it on, by which mesh
# and rematerialisation are chosen; docs/pods.md has the hours.
SLICES = {
  'S': 'v5e:2x4',
  'B': 'v5e:4x4',
  'L': 'v5e:8x8',
  'H': 'v5p:4x4x4',
  'G': 'v5p:4x4x4',
  'e': 'v5p:4x4x4',
  'j': 'v5p:8x8x8',
}

# Model FLOPs of training on a clip, forward and backward, as `launch.plan
# --shapes_only` counts them; a test compares.
FLOPS = {
  'S': 3.945e10,
  'B': 1.321e11,
  'L': 2.949e11,
  'H': 5.241e11,
  'G': 1.282e12,
  'e': 2.484e12,
  'j': 1.336e13,
}

Runs = Iterator[dict[str, Any]]


def sweep(arg: str = '') -> Runs:
  """The ladder: every size on as many clips. Arguments: data, steps."""
  args = common.parse(arg, data='world', steps=STEPS)
  for size in SLICES:
    yield _run(size, args['data'], args['steps'])


def sweep_iso_flops(arg: str = '') -> Runs:
  """Sizes at equal FLOPs, where a budget is 10,000 steps of one or more.

  Arguments: data.
  """
  args = common.parse(arg, data='world')
  for budget, size in itertools.product((1e19, 3e19, 1e20), SLICES):
    steps = round(budget / FLOPS[size] / BATCH)
    if steps >= 10_000:  # ours: fewer are not a schedule
      name = f'{budget:.0e}_{size}'.replace('+', '')
      yield {'name': name, **_run(size, args['data'], steps)}


def sweep_tiny(arg: str = '') -> Runs:
  """Three widths by two rates, of 300 steps each. Arguments: steps."""
  args = common.parse(arg, steps=300)
  for width, lr in itertools.product((64, 96, 128), (1e-3, 4e-3)):
    yield {
      'config': f'configs/quickstart.py:steps={args["steps"]}',
      'model.dim': width,
      'model.mlp': 4 * width,
      'model.heads': width // 32,
      'optim.lr': lr,
      # A stop then loses little.
      'checkpoint.every': 100,
    }


def _run(size: str, data: str, steps: int) -> dict[str, Any]:
  """A size with its rate, and with the layout of its slice."""
  topology = SLICES[size]
  saved = common.layouts()[f'mae.{size}'][topology]['data.batch_size']
  return {
    'config': f'configs/mae.py:size={size},data={data},topology={topology},'
    f'batch_size={BATCH},steps={steps}',
    # Never more of the batch at once than the layout was found to hold.
    'step.accumulate': max(1, BATCH // saved),
  }
