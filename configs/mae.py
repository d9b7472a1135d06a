"""4DS: video masked autoencoding at every published size.

"Scaling 4D Representations" (arXiv 2412.15212): 16 frames of 224 x 224,
95% of the patches hidden, pixel L2. The architecture is published; learning
rate, batch, steps, stride and augmentation are not, and those here are ours.

    python -m data.ingest --videos='DIR/**' --out=DATA
    python -m train --config=configs/mae.py:size=S,data=DATA --workdir=RUN

On a TPU the same line with another size, on every host of a pod at once;
`config.mesh` shares it out, and `topology=v5p:8x8x8` takes mesh, batch,
rematerialisation and options of the compiler from `configs/layouts.json`, which
`launch.plan.search` writes.
Expected numbers: not run, since no pod was here.
"""

from ml_collections import ConfigDict, config_dict

from base import names
from configs import common

# Ours. S fits one machine, so that a first run on one's own videos starts
# anywhere; for a sweep over sizes give all of them one batch_size.
RECIPES = {
  'tiny': {'lr': 1e-3, 'batch_size': 16},
  'S': {'lr': 3e-4, 'batch_size': 32},
  'B': {'lr': 6e-4, 'batch_size': 2048},
  'L': {'lr': 4e-4, 'batch_size': 2048},
  'H': {'lr': 3e-4, 'batch_size': 2048},
  'g': {'lr': 3e-4, 'batch_size': 2048},
  'G': {'lr': 2e-4, 'batch_size': 2048},
  'e': {'lr': 1.5e-4, 'batch_size': 4096},
  'j': {'lr': 1e-4, 'batch_size': 4096},
}


def get_config(arg: str | None = None) -> ConfigDict:
  """Arguments.

  size: a key of RECIPES. data: a folder that `data.ingest` made, or 'world'
  for the built-in world; data.OPTION=VALUE: any option of `make` in
  `data/sources/videos.py` or `data/sources/world/source.py`, as
  data.window=middle. steps, batch_size: 0 for the recipe's. topology: a slice
  of a pod that `configs/layouts.json` has a layout of this size for. seed.
  """
  args = common.parse(
    arg,
    sources=('data',),
    size='S',
    data='world',
    topology='',
    steps=0,
    batch_size=0,
    seed=0,
  )
  size, seed = args['size'], args['seed']
  recipe = RECIPES[names.choose('size', size, RECIPES)]
  laptop = size == 'tiny'
  clip = {'frames': 16, 'height': 224, 'width': 224}
  if laptop:
    clip = {'frames': 16, 'height': 64, 'width': 64}
  steps = args['steps'] or (2_000 if laptop else 500_000)
  patch = (2, 8, 8) if laptop else (2, 16, 16)
  config = common.with_layout(
    {
      'seed': seed,
      'steps': steps,
      'model': {
        'name': 'mae',
        'size': size,
        # Other dimensions than the size's, if they are set.
        **{
          key: config_dict.placeholder(int)
          for key in ('dim', 'depth', 'mlp', 'heads')
        },
        **clip,
        'patch': patch,
        'output_patch': (4, *patch[1:]),
        'mask': 'random',
        'mask_ratio': 0.95,
        'decoder_blocks': 2,
        'loss_on': 'all',
        'normalise_target': False,
        'dtype': 'float32' if laptop else 'bfloat16',
        'remat': 'none' if laptop else 'named',
        'scan': not laptop,
        'attention': 'auto',
        'positions': 'normal',
      },
      'data': {
        'batch_size': recipe['batch_size'],
        'seed': seed,
        'sources': {'train': source(args['data'], clip) | args['data.']},
        'keys': ('video',),
        'shuffle': True,
        'workers': 2 if size in ('tiny', 'S') else 16,
        'max_bad': 1e-3,
      },
      **common.training(
        lr=recipe['lr'],
        warmup_steps=steps // 50,
        every=max(1, min(1000, steps // 4)),
        log_every=10 if laptop else 50,
      ),
    },
    f'mae.{size}',
    args['topology'],
    args['batch_size'],
  )
  return ConfigDict(config)


def source(data: str, clip: dict) -> dict:
  """Options of the built-in world, or of ingested videos."""
  if data == 'world':
    return {'name': 'world', 'weight': 1.0, **clip}
  return {
    'name': 'videos',
    'weight': 1.0,
    'path': data,
    **clip,
    'stride': (2, 4),
    'window': 'random',
    'crop': 'random',
    'scale': (0.5, 1.0),
    'aspect': (0.75, 1.3333),
    'flip': 0.5,
    'validation_fraction': 0.05,
    'fingerprint': config_dict.placeholder(str),
  }
