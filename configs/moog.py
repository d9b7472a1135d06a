"""MooG: next-frame prediction with tokens that belong to no place.

"Moving Off-the-Grid" (arXiv 2411.05927), 35M parameters. On the built-in world
at a size for two cores, on your own videos, or on MOVi-E as published:

    python -m train --config=configs/moog.py:data=world --workdir=RUN
    python -m train --config=configs/moog.py:data=DATA --workdir=RUN
    python -m train --config=configs/moog.py:data=movi_e,path=MOVI --workdir=RUN

DATA is a folder that `data.ingest` made; MOVI a version of MOVi-E, such as
gs://kubric-public/tfds/movi_e/256x256/1.0.0 copied. `data=movi_e` is the
published recipe: 8 frames of 128 x 128, batch 128, 1M steps, AdamW with b2 0.95
and weight decay 1e-4 on everything, clipping at 1, 1,000 steps of warm-up to
1e-4, cosine to 1e-7. What the model for natural video was trained on, and how
long, is not public: batch, steps and augmentation for videos are ours, and so
is the world's recipe: docs/moog.md has what it reaches, and why it is as it is.
The others have not been run.

`layout=grid` and `layout=grid_recurrent` are baselines that hold a token for
each place of the picture. `topology=v5e:4x4` shares a recipe out over a slice
of a pod, as `configs/layouts.json` has it.
"""

from ml_collections import ConfigDict

from configs import common
from configs.quickstart import FRAMES, HEIGHT, WIDTH, world

PUBLISHED = {
  'variant': 'A',
  'frames': 8,
  'height': 128,
  'width': 128,
  'layout': 'free',
  'tokens': 1024,
  'dim': 512,
  'channels': (64, 128, 128, 256, 256, 512),
  'strides': (1, 1, 1, 2, 1, 2),
  'predictor_layers': 3,
  'predictor_heads': 4,
  'corrector_layers': 2,
  'corrector_heads': 8,
  'decoder_layers': 6,
  'decoder_heads': 2,
  'head_dim': 64,
  'mlp': 2048,
  'encoder_bases': 20,
  'decoder_bases': 16,
  'start': 'noise',
  'start_std': 1e-4,
  'loss_gradient': False,
  'stop_gradient': 0.0,
  'subsample': 8,
  'eval_subsample': 4,
  'dtype': 'bfloat16',
  'remat': 'full',
  'scan': True,
  'attention': 'auto',
}
# Ours, for two cores. The shortest wavelength of a place is three pixels.
LAPTOP = PUBLISHED | {
  'frames': FRAMES,
  'height': HEIGHT,
  'width': WIDTH,
  'tokens': 64,
  'dim': 96,
  'channels': (16, 32, 96),
  'strides': (2, 1, 2),
  'predictor_layers': 2,
  'predictor_heads': 3,
  'corrector_layers': 2,
  'corrector_heads': 3,
  'decoder_layers': 2,
  'decoder_heads': 3,
  'head_dim': 32,
  'mlp': 192,
  'encoder_bases': 5,
  'decoder_bases': 5,
  # Minutes are too few for tokens and attention that start blind.
  'start': 'places',
  'subsample': 6,
  'dtype': 'float32',
  'remat': 'none',
  'scan': False,
}
# Three times as many as other laptop recipes look at. Where frames are a third
# of a second apart, the motion of the last step tells no more of the next frame
# than a blurred copy does, so nothing would teach it
# (`python -m data.inspect.motion`).
FPS = 9.0
# The published weights are of variant B, at 256 x 256.
VIDEOS = PUBLISHED | {
  'variant': 'B',
  'height': 256,
  'width': 256,
  'strides': (2, 1, 1, 2, 1, 1),
}
RECIPES = {
  'world': {'model': LAPTOP, 'steps': 3_000, 'batch_size': 8, 'lr': 2e-3},
  'movi_e': {
    'model': PUBLISHED,
    'steps': 1_000_000,
    'batch_size': 128,
    'lr': 1e-4,
  },
  'videos': {
    'model': VIDEOS,
    'steps': 500_000,
    'batch_size': 128,
    'lr': 1e-4,
  },
}


def get_config(arg: str | None = None) -> ConfigDict:
  """Arguments.

  data: 'world', 'movi_e', or a folder that `data.ingest` made. path: of MOVi-E.
  layout: of the tokens. topology: a slice of a pod that `configs/layouts.json`
  has a layout of this recipe for. steps, batch_size: 0 for the recipe's. seed:
  also of the world.

  Raises:
    ValueError: MOVi-E without a path.
  """
  args = common.parse(
    arg,
    **{'data': 'world', 'path': '', 'layout': 'free', 'topology': ''},
    **{'steps': 0, 'batch_size': 0, 'seed': 0},
  )
  data, seed = args['data'], args['seed']
  if data == 'movi_e' and not args['path']:
    raise ValueError(
      'data=movi_e needs the folder of a version of MOVi-E: '
      'configs/moog.py:data=movi_e,path=FOLDER'
    )
  name = data if data in RECIPES else 'videos'
  recipe = RECIPES[name]
  laptop = name == 'world'
  model = recipe['model'] | {'layout': args['layout']}
  if args['layout'] != 'free':
    stride = 1
    for step in model['strides']:
      stride *= step
    model['tokens'] = model['height'] // stride * (model['width'] // stride)
  clip = {key: model[key] for key in ('frames', 'height', 'width')}
  sources = {
    'world': lambda: {**world(seed), 'fps': FPS, 'weight': 1.0},
    'movi_e': lambda: {
      'name': 'movi',
      'weight': 1.0,
      'path': args['path'],
      **clip,
    },
    'videos': lambda: {
      'name': 'videos',
      'weight': 1.0,
      'path': data,
      **clip,
      'stride': (1, 2),
      'crop': 'random',
      'scale': (0.5, 1.0),
      'aspect': (0.75, 1.3333),
      'flip': 0.5,
      'validation_fraction': 0.05,
    },
  }
  steps = args['steps'] or recipe['steps']
  config = common.training(
    lr=recipe['lr'],
    warmup_steps=min(1_000, steps // 15),
    every=1_000 if laptop else 5_000,
    log_every=50 if laptop else 100,
    eval_batches=16 if laptop else 4,
  )
  config['optim'] |= {
    'final_lr': 1e-7,
    'b2': 0.95,
    'weight_decay': 1e-4,
    'decay': ('.*',),
    'clip_norm': 1.0,
  }
  config = common.with_layout(
    {
      'seed': seed,
      'steps': steps,
      'model': {'name': 'moog', **model},
      'data': {
        'batch_size': recipe['batch_size'],
        'seed': seed,
        'sources': {name: sources[name]()},
        'keys': ('video',),
        'shuffle': True,
        'workers': 2 if laptop else 16,
        'max_bad': 0.0 if laptop else 1e-3,
      },
      **config,
    },
    f'moog.{name}',
    args['topology'],
    args['batch_size'],
  )
  return ConfigDict(config)
