"""MooG: next-frame prediction with tokens that belong to no place.

Reproduces: "Moving Off-the-Grid" (arXiv 2411.05927), 35M parameters, on MOVi-E
(`data=movi_e`), as its public training code has it
(google-deepmind/representations4d, `moog/configs/movi.py`). What the model for
natural video was trained on, and how long, is not public: batch, steps and
augmentation for `data=DATA` are ours, and so is the world's recipe.
Laptop: `make moog`, half an hour on two cores with its readouts,

    python -m train --config=configs/moog.py:data=world --workdir=RUN

Pod, or one chip: MOVI is a version of MOVi-E, such as
gs://kubric-public/tfds/movi_e/256x256/1.0.0 copied; DATA is a folder that
`data.ingest` made. `topology=v5e:4x4` shares a recipe out over a slice, as
`configs/layouts.json` has it.

    python -m train --config=configs/moog.py:data=movi_e,path=MOVI --workdir=RUN
    python -m train --config=configs/moog.py:data=DATA --workdir=RUN

1M steps of MOVi-E would take, by the roofline model's step (docs/pods.md;
nothing ran on a TPU): 44 hours on v5e:4x4 (700 chip-hours), 22 on v5p:2x2x4
(350).
Published: frozen, with readouts trained on MOVi-E, AJ 0.687 on DAVIS (8 frames;
as TRecViT, arXiv 2412.14294, quotes it).
Reached: on the world, three seeds (docs/moog.md): the next frame at 23.4 dB
(copying 21.7), points AJ 0.165 (random 0.085), boxes IoU 0.551 (random 0.487).
The others: not run.

`layout=grid` and `layout=grid_recurrent` are baselines that hold a token for
each place of the picture.
"""

from ml_collections import ConfigDict

from configs import common, mae
from configs.quickstart import FRAMES, HEIGHT, WIDTH, world

# The public training code, all of it but what is marked.
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
  'loss_gradient': False,  # in the code, and off
  'stop_gradient': 0.0,  # in the code, and off
  'subsample': 8,
  'eval_subsample': 4,
  'dtype': 'bfloat16',  # ours
  # Ours: then memory hardly grows with the frames (measured, docs/moog.md).
  'remat': 'full',
  'scan': True,  # ours: the code unrolls, which takes longer to compile
  'attention': 'auto',
}
# Ours, for two cores: 20 minutes of one (docs/moog.md).
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
  # The shortest wavelength of a place is three pixels.
  'encoder_bases': 5,
  'decoder_bases': 5,
  # Minutes are too few for tokens and attention that start blind.
  'start': 'places',
  'subsample': 6,  # a divisor of 48, near the published 8
  'dtype': 'float32',
  'remat': 'none',
  'scan': False,  # a step is a quarter shorter than scanned (docs/moog.md)
}
# Three times as many as other laptop recipes look at. Where frames are a third
# of a second apart, the motion of the last step tells no more of the next frame
# than a blurred copy does, so nothing would teach it
# (`python -m data.inspect.motion`).
FPS = 9.0
# The weights for natural video are of variant B; the notebook that runs them
# says how it is built. The size of the frames it was trained on is ours.
VIDEOS = PUBLISHED | {
  'variant': 'B',
  'height': 256,
  'width': 256,
  'strides': (2, 1, 1, 2, 1, 1),
}
# Of MOVi-E published, of the others ours.
RECIPES = {
  'world': {
    'model': LAPTOP,
    'steps': 3_000,
    'warmup_fraction': 1 / 15,
    'batch_size': 8,
    'lr': 2e-3,
  },
  'movi_e': {
    'model': PUBLISHED,
    'steps': 1_000_000,
    'warmup_fraction': 1_000 / 1_000_000,  # published
    'batch_size': 128,
    'lr': 1e-4,
  },
  'videos': {
    'model': VIDEOS,
    'steps': 500_000,
    'warmup_fraction': 0.002,
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
    # Ours: nearer frames than a masked autoencoder's, so that the next one can
    # be told.
    'videos': lambda: mae.source(data, clip) | {'stride': (1, 2)},
  }
  steps = args['steps'] or recipe['steps']
  config = common.training(
    lr=recipe['lr'],
    warmup_fraction=recipe['warmup_fraction'],
    every=1_000 if laptop else 5_000,  # 5,000 published, of evaluations
    log_every=50 if laptop else 100,
    health_every=300 if laptop else 1_000,  # ours: under 1% of the time
    eval_batches=16 if laptop else 4,  # 128 clips: those of docs/moog.md
  )
  # Published: optax.adamw as it is but for b2, which decays everything by 1e-4.
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
        'workers': 2 if laptop else 16,  # as in configs/mae.py
        'stalled_sec': common.STALLED_SEC,
        'remote': common.REMOTE,
        'max_bad': 0.0 if laptop else 1e-3,
      },
      **config,
    },
    f'moog.{name}',
    args['topology'],
    args['batch_size'],
  )
  return ConfigDict(config)
