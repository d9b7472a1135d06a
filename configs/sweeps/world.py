r"""The scaling study on the built-in world, for `python -m launch.sweep`.

Reproduces: the form of 4DS's study (arXiv 2412.15212, a figure of five panels
over size) at a ten-thousandth of its sizes; all else of it is ours.
Laptop: two cores, forecast and report included,

    make scaling

Pod: `configs/sweeps/scaling.py` has the sizes of 4DS. Reached, in 51 minutes
(docs/scaling.md): from the smallest size to the largest a loss of 0.748 (mean
of three seeds) to 0.582, frozen boxes 0.299 to 0.343.

`--sweep=rates` is the loss over learning rates and widths, with and without
muP; those below it change one thing of the middle size.
"""

import itertools
from collections.abc import Iterator
from typing import Any

from configs import common, moog

# Of depth 6, each about three times the parameters of the one before: 0.07,
# 0.2, 0.8, 2.2 and 5.3 million in the backbone. Heads are 24 wide.
WIDTHS = (24, 48, 96, 168, 264)
HEAD = 24
DEPTH = 6
MIDDLE = WIDTHS[2]
# Model FLOPs of training on a clip, by width; a test compares.
FLOPS = {24: 2.477e7, 48: 7.078e7, 96: 2.265e8, 168: 6.193e8, 264: 1.440e9}
# So too, of the recipes that `methods` compares, by model.name.
METHODS = {
  'mae': 3.775e8,
  'moog': 2.403e9,
  'rvm': 1.073e9,
  'distill': 2.286e8,
}
# Seeds that say by how much runs differ by chance: of the two smallest sizes.
SEEDS = 3
SEVERAL = WIDTHS[:2]
# Clips that each size is trained on, each of the world's 4,096 six times; and
# those of a batch. What a model has learned after minutes goes by its steps: in
# a third of them, of batches of 16, the two narrowest learned nothing that a
# readout could tell from chance.
CLIPS = 24_576
BATCH = 8
LR = 2e-3
# A world of its own: worlds 0 to 2 are those of the quickstart, by whose test
# clips some of its recipe was chosen.
WORLD = 10
# Of `rates`: five octaves, and eight times the width.
RATES = tuple(5e-4 * 2**n for n in range(6))
RATE_WIDTHS = (24, 48, 96, 144, 192)

Runs = Iterator[dict[str, Any]]


def sweep_ladder(arg: str = '') -> Runs:
  """Sizes on as many clips, the largest forecast; then at as many FLOPs.

  Arguments: clips, that all sizes of the first series see.
  """
  clips = common.parse(arg, clips=CLIPS)['clips']
  *smaller, largest = WIDTHS
  for width in smaller:
    for seed in range(SEEDS if width in SEVERAL else 1):
      yield {'name': f'clips-{width}-{seed}', **_run(width, clips, seed)}
  yield {
    'name': f'clips-{largest}-0',
    'forecast': True,
    **_run(largest, clips),
  }
  for width in reversed(WIDTHS):
    # The middle one is in both series.
    if width != MIDDLE:
      same = round(clips * FLOPS[MIDDLE] / FLOPS[width])
      yield {'name': f'flops-{width}-0', **_run(width, same)}


def sweep_rates(arg: str = '') -> Runs:
  """Learning rates over widths, with and without muP, three blocks deep.

  Arguments: clips.
  """
  # In a few hundred steps nothing is learned that could tell rates apart.
  clips = common.parse(arg, clips=9600)['clips']
  for width, lr, name in itertools.product(
    RATE_WIDTHS, RATES, ('mup', 'standard')
  ):
    # As wide as the base, both are one.
    if name == 'standard' and width == MIDDLE:
      continue
    yield {
      'name': f'{name}-{width}-lr-{lr:.2g}',
      **_run(width, clips),
      'model.depth': 3,
      'optim.lr': lr,
      'optim.parametrisation': name,
      'optim.base_width': MIDDLE if name == 'mup' else 0,
      # Looked at when it is over.
      'checkpoint.every': clips // BATCH,
      'eval.every': clips // BATCH,
      'health.every': 0,
    }


def sweep_mask(arg: str = '') -> Runs:
  """Shares of patches that are hidden. One seed. Arguments: clips."""
  for ratio in (0.25, 0.5, 0.75, 0.9):
    yield _changed(arg, f'hidden-{ratio:g}', {'model.mask_ratio': ratio})


def sweep_patch(arg: str = '') -> Runs:
  """Sizes of patches, and of what is predicted. One seed. Arguments: clips."""
  for side in (8, 12, 16, 24):
    patches = {
      'model.patch': (2, side, side),
      'model.output_patch': (4, side, side),
    }
    yield _changed(arg, f'patch-{side}', patches)


def sweep_decoder(arg: str = '') -> Runs:
  """Blocks of the six that see all patches. One seed. Arguments: clips."""
  for blocks in (1, 2, 3, 4):
    yield _changed(arg, f'decoder-{blocks}', {'model.decoder_blocks': blocks})


def sweep_stride(arg: str = '') -> Runs:
  """Pictures a second of the clips. One seed. Arguments: clips."""
  for fps in (1.5, 3.0, 6.0, 12.0):
    yield _changed(arg, f'fps-{fps:g}', {'data.sources.world.fps': fps})


def sweep_videos(arg: str = '') -> Runs:
  """Sizes on own videos, as `data.ingest` stores them; losses alone.

  Arguments: path, clips.
  """
  args = common.parse(arg, path='data/clips', clips=CLIPS // 4)
  steps = args['clips'] // BATCH
  for width in WIDTHS:
    ours = _run(width, args['clips'])
    yield {
      'name': f'videos-{width}',
      **{key: x for key, x in ours.items() if not key.startswith('data.')},
      'config': f'configs/mae.py:size=tiny,data={args["path"]},steps={steps},'
      f'batch_size={BATCH}',
    }


def sweep_methods(arg: str = '') -> Runs:
  """MAE, MooG, RVM and a distilled student, of as many FLOPs. One seed.

  Arguments: flops. Those of the student's teacher, which is in its folder too,
  are half of them, and a teacher's features are counted as the student's.
  """
  flops = common.parse(arg, flops=3e13)['flops']
  # MooG's frames: of slower ones it learns to copy (configs/moog.py).
  world = {
    'data.sources.world.seed': WORLD,
    'data.sources.world.fps': moog.FPS,
  }
  for name, model, recipe, part in (
    ('mae', 'mae', 'quickstart.py:', 1.0),
    ('moog', 'moog', 'moog.py:data=world,', 1.0),
    ('rvm', 'rvm', 'rvm.py:data=world,', 1.0),
    ('teacher', 'mae', 'quickstart.py:', 0.5),
    ('distilled', 'distill', 'distill.py:data=world,', 0.5),
  ):
    steps = round(part * flops / METHODS[model] / BATCH)
    run = {'name': name, 'config': f'configs/{recipe}steps={steps}', **world}
    if name == 'distilled':
      run['init_parts.teacher.path'] = {'run': 'teacher'}
    yield run


def _changed(arg: str, name: str, change: dict[str, Any]) -> dict[str, Any]:
  """The middle size, with one thing changed."""
  clips = common.parse(arg, clips=CLIPS)['clips']
  return {'name': name, **_run(MIDDLE, clips), **change}


def _run(width: int, clips: int, seed: int = 0) -> dict[str, Any]:
  return {
    'config': f'configs/quickstart.py:steps={round(clips / BATCH)}',
    'seed': seed,
    'data.seed': seed,
    'model.dim': width,
    'model.depth': DEPTH,
    'model.mlp': 4 * width,
    'model.heads': width // HEAD,
    'data.batch_size': BATCH,
    'data.sources.world.seed': WORLD,
    'optim.lr': LR,
    # Found at the middle width, and used at all: docs/scaling.md.
    'optim.parametrisation': 'mup',
    'optim.base_width': MIDDLE,
  }
