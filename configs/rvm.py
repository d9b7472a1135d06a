r"""RVM: later frames from what a recurrent core has seen, nearly all hidden.

Reproduces: "Recurrent Video Masked-Autoencoders" (arXiv 2512.13684). Published
are the encoder and the core (google-deepmind/representations4d has their code
and weights), four frames that are seen whole, four that are told from them 4 to
48 frames later with 95% hidden, the decoder's sizes, raw pixels, AdamW with a
cosine, 1M steps of 2,048 clips. Learning rates, warm-up, augmentation, how far
apart frames are, how gaps are drawn and all else of the decoder are ours, and
so is the world's recipe; nothing was tuned.
Laptop:

    python -m train --config=configs/rvm.py:data=world --workdir=RUN

Pod: the same line on every host at once, DATA as `data.ingest` made it;
`config.mesh` shares it out. Hours were not estimated.

    python -m train --config=configs/rvm.py:size=base,data=DATA --workdir=RUN

    size   encoder and core, published   here   ours
    small                          34M  31.7M   width, blocks and heads of S
    base                          117M   126M   of B
    large                         375M   375M   of L
    huge                          743M   742M   of H

The core has 4 blocks here; published is that of large. What small and base have
in its place is not known: a published file says so by itself (docs/rvm.md).
Reached: not run.
"""

from ml_collections import ConfigDict, config_dict

from base import names
from configs import common, mae
from configs.moog import FPS
from configs.quickstart import FRAMES, HEIGHT, WIDTH, world

# Published, all of it but what is marked.
PUBLISHED = {
  # Ours: as many as the largest gap needs. Features take any number.
  'frames': 4 + 48,
  'height': 256,
  'width': 256,
  'patch': (16, 16),
  'sources': 4,
  'targets': 4,
  'gap': (4, 48),
  'mask_ratio': 0.95,
  'core_layers': 4,
  'core_heads': config_dict.placeholder(int),  # the encoder's
  'core_mlp': config_dict.placeholder(int),  # the encoder's
  'decoder_layers': 8,
  'decoder_dim': 512,
  'decoder_heads': 16,
  'decoder_mlp': 2048,
  'normalise_target': False,
  'positions': 'sines',
  'dtype': 'bfloat16',
  'remat': 'named',  # ours, as in configs/mae.py
  'scan': True,  # ours
  'attention': 'auto',
}
# Ours, for two cores.
LAPTOP = PUBLISHED | {
  'size': 'tiny',
  'dim': 96,
  'depth': 4,
  'mlp': 384,
  'heads': 3,
  'frames': FRAMES,
  'height': HEIGHT,
  'width': WIDTH,
  'patch': (8, 8),
  # All frames that are left of a clip, so that none is read in vain.
  'gap': (1, 4),
  # Of 36 patches four are seen: 95% would leave two.
  'mask_ratio': 0.9,
  'core_layers': 2,
  'decoder_layers': 2,
  'decoder_dim': 96,
  'decoder_heads': 3,
  'decoder_mlp': 192,
  'positions': 'waves',  # as in configs/quickstart.py
  'dtype': 'float32',
  'remat': 'none',
  'scan': False,
}
# Sizes of `models.sizes`; rates are ours, those of configs/mae.py.
SIZES = {
  'small': {'size': 'S', 'lr': 6e-4},
  'base': {'size': 'B', 'lr': 6e-4},
  'large': {'size': 'L', 'lr': 4e-4},
  'huge': {'size': 'H', 'lr': 3e-4},
}
# Of videos published but for warm-ups, of the world ours.
RECIPES = {
  'world': {'steps': 3_000, 'warmup_fraction': 1 / 15, 'batch_size': 8},
  'videos': {'steps': 1_000_000, 'warmup_fraction': 0.02, 'batch_size': 2048},
}


def get_config(arg: str | None = None) -> ConfigDict:
  """Arguments.

  size: a key of SIZES, not of the world. data: 'world', 'tfds', or a folder
  that `data.ingest` made; data.OPTION=VALUE as in `configs/mae.py`. steps,
  batch_size: 0 for the recipe's. seed: also of the world.

  Raises:
    ValueError: an unknown size.
  """
  args = common.parse(
    arg,
    sources=('data',),
    **{'size': 'base', 'data': 'world'},
    **{'steps': 0, 'batch_size': 0, 'seed': 0},
  )
  seed, laptop = args['seed'], args['data'] == 'world'
  size = SIZES[names.choose('size', args['size'], SIZES)]
  recipe = RECIPES['world' if laptop else 'videos']
  model = LAPTOP if laptop else PUBLISHED | {'size': size['size']}
  # Other dimensions than the size's, if they are set.
  free = ('dim', 'depth', 'mlp', 'heads')
  model = {key: config_dict.placeholder(int) for key in free} | model
  clip = {key: model[key] for key in ('frames', 'height', 'width')}
  if laptop:
    # MooG's frames: of slower ones a copy is hardly worse than what moves on.
    source = {**world(seed), 'fps': FPS, 'weight': 1.0}
  else:
    source = mae.source(args['data'], clip)
    if source['name'] == 'videos':
      source['stride'] = (1, 1)  # ours: gaps are in frames of the video
  steps = args['steps'] or recipe['steps']
  config = common.training(
    lr=2e-3 if laptop else size['lr'],  # the world's as in other recipes of it
    warmup_fraction=recipe['warmup_fraction'],
    every=1_000 if laptop else 5_000,
    log_every=50 if laptop else 100,
    health_every=300 if laptop else 1_000,
    eval_batches=16 if laptop else 4,
  )
  return ConfigDict(
    {
      'seed': seed,
      'steps': steps,
      'model': {'name': 'rvm', **model},
      'data': {
        'batch_size': args['batch_size'] or recipe['batch_size'],
        'seed': seed,
        'sources': {
          'world' if laptop else 'videos': source | args['data.'],
        },
        'keys': ('video',),
        'shuffle': True,
        'workers': 2 if laptop else 16,  # as in configs/mae.py
        'stalled_sec': common.STALLED_SEC,
        'remote': common.REMOTE,
        'max_bad': 0.0 if laptop else 1e-3,
      },
      **config,
    }
  )
