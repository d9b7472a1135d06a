"""A video masked autoencoder on the built-in world, in minutes on a laptop.

The published method (SimpleMAE, arXiv 2412.15212) at a size that two cores
train in a few minutes; sizes, masking and schedule are ours. `make quickstart`
runs it, then trains readouts of five tasks on the frozen features.

    python -m train --config=configs/quickstart.py --workdir=runs/quickstart
"""

from ml_collections import ConfigDict

from configs import common

FRAMES, HEIGHT, WIDTH = 8, 48, 48


def get_config(arg: str | None = None) -> ConfigDict:
  """Arguments: seed (also of the world), steps."""
  args = common.parse(arg, seed=0, steps=3000)
  steps = args['steps']
  return ConfigDict(
    {
      'seed': args['seed'],
      'steps': steps,
      'model': {
        'name': 'mae',
        'size': 'tiny',
        # Narrower still than tiny: minutes on two cores.
        'dim': 128,
        'depth': 6,
        'mlp': 512,
        'heads': 4,
        'frames': FRAMES,
        'height': HEIGHT,
        'width': WIDTH,
        # Large patches, half of them seen: motion is then within a patch, and
        # near every hidden patch something of its past or future is seen. With
        # patches of 8 and 75% hidden, motion is learned late, if at all.
        'patch': (2, 12, 12),
        'output_patch': (4, 12, 12),
        'mask': 'random',
        'mask_ratio': 0.5,
        'loss_on': 'all',
        # Weighs texture as much as brightness: what moves, and how, is then
        # worth knowing after minutes. The published target is the pixels.
        'normalise_target': True,
        'dtype': 'float32',
        'remat': 'none',
        'scan': False,
        'attention': 'auto',
        'positions': 'waves',
      },
      'data': {
        'batch_size': 8,
        'seed': args['seed'],
        'sources': {'world': {**world(args['seed']), 'weight': 1.0}},
        'keys': ('video',),
        'shuffle': True,
        'workers': 2,
        'max_bad': 0.0,
      },
      **common.training(
        lr=2e-3,
        warmup_steps=steps // 15,
        every=600,
        log_every=100,
        eval_batches=32,
      ),
    }
  )


def world(seed: int) -> dict:
  """The built-in world as all laptop recipes see it: one cache for them."""
  return {
    'name': 'world',
    'seed': seed,
    'frames': FRAMES,
    'height': HEIGHT,
    'width': WIDTH,
    'clips': 4096,
    'validation_clips': 256,
    'test_clips': 256,
    # Things move a quarter of a patch in a frame: less can be filled in
    # without knowing the motion.
    'fps': 3.0,
    'points': 16,
    'cache': 'runs/world',
  }
