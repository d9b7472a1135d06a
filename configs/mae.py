"""4DS: video masked autoencoding at every published size.

Reproduces: "Scaling 4D Representations" (arXiv 2412.15212): 16 frames of
224 x 224, 95% of the patches hidden, pixel L2. Architecture and masking are
published; learning rate, batch, steps, stride and augmentation are not, and
those here are ours, tuned on nothing.
Laptop: `size=tiny`; without `data` it sees the built-in world. The recipe that
has figures there is configs/quickstart.py.

    python -m data.ingest --videos='DIR/**' --out=DATA
    python -m train --config=configs/mae.py:size=S,data=DATA --workdir=RUN

Pod: the same line with another size, on every host at once. `config.mesh`
shares it out; `topology=v5p:8x8x8` takes mesh, batch, rematerialisation and
options of the compiler from `configs/layouts.json`, which
`launch.plan.search` writes.
500,000 steps would take, by the roofline model's step (docs/pods.md; nothing
ran on a TPU, and input, checkpoints and evaluation are not in it):

    size  slice, batch         hours  chip-hours
    B     v5e:4x4, 512             7         110
    L     v5e:8x8, 2048           14         880
    H     v5p:4x4x4, 2048          9         580
    G     v5p:4x4x4, 2048         21       1,400
    e     v5p:4x4x4, 4096         65       4,200
    j     v5p:8x8x8, 4096         52      26,000

Published, frozen features, read off a figure: top-1 of SSv2, AbsRel of ScanNet,
end-point error of RealEstate10K, AJ of Perception Test, IoU of Waymo:

    S  .408  .224  .734  .759  .696        G  .631  .102  .275  .827  .774
    B  .496  .162  .509  .789  .727        e  .645  .094  .265  .824  .780
    L  .578  .124  .326  .815  .760        j  .678  .084  .242  .834  .783
    H  .604  .115  .287  .818  .761

Reached: not run, since no pod was here.
"""

from ml_collections import ConfigDict, config_dict

from base import names
from configs import common

# Ours, not tuned: lower rates for wider models, larger batches for the largest.
# 2,048 is the batch of RVM (arXiv 2512.13684), by the same group. S fits one
# machine, so that a first run on one's own videos starts anywhere; for a sweep
# over sizes give all of them one batch_size.
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

  size: a key of RECIPES. data: a folder that `data.ingest` made, 'world' for
  the built-in world, or 'tfds' for a data set that TensorFlow Datasets
  prepared; data.OPTION=VALUE: any option of `make` in `data/sources/videos.py`,
  `data/sources/world/source.py` or `data/sources/tfds/source.py`, as
  data.window=middle or data.path=DIR. steps, batch_size: 0 for the recipe's.
  topology: a slice of a pod that `configs/layouts.json` has a layout of this
  size for. seed.
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
  clip = {'frames': 16, 'height': 224, 'width': 224}  # published
  if laptop:
    clip = {'frames': 16, 'height': 64, 'width': 64}  # ours
  # Ours, half of RVM's million.
  steps = args['steps'] or (2_000 if laptop else 500_000)
  patch = (2, 8, 8) if laptop else (2, 16, 16)  # of 224 x 224, published
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
        # Half as many latents as patches: the published counts of parameters
        # have 784.
        'output_patch': (4, *patch[1:]),
        'mask': 'random',  # published: no tubes
        'mask_ratio': 0.95,  # published
        'decoder_blocks': 2,  # published: the last two see the latents
        # Ours: a latent covers hidden and seen patches alike.
        'loss_on': 'all',
        'normalise_target': False,  # published: raw pixels
        # Not public (ours). All chips of the ladder multiply in bfloat16.
        'dtype': 'float32' if laptop else 'bfloat16',
        # What products make is kept, the rest made again: the ladder's choice
        # for every size (docs/pods.md).
        'remat': 'none' if laptop else 'named',
        'scan': not laptop,  # up to 64 blocks compile as one
        'attention': 'auto',
        'positions': 'normal',  # published: deviation 0.02
      },
      'data': {
        'batch_size': recipe['batch_size'],
        'seed': seed,
        'sources': {'train': source(args['data'], clip) | args['data.']},
        'keys': ('video',),
        'shuffle': True,
        # Ours: of a machine of two cores, and of a pod's host.
        'workers': 2 if size in ('tiny', 'S') else 16,
        'stalled_sec': common.STALLED_SEC,
        'remote': common.REMOTE,
        'max_bad': 1e-3,  # ours: a damaged file here and there stops no run
      },
      **common.training(
        lr=recipe['lr'],
        warmup_fraction=0.02,  # ours
        every=max(1, min(1000, steps // 4)),  # ours
        log_every=10 if laptop else 50,
        # Ours. Features are of all patches, of which a step sees 5%: a look at
        # a clip costs four steps of it.
        health_every=1000,
      ),
    },
    f'mae.{size}',
    args['topology'],
    args['batch_size'],
  )
  return ConfigDict(config)


def source(data: str, clip: dict) -> dict:
  """Options of the built-in world, of a data set by TFDS, or of videos."""
  if data in ('world', 'tfds'):
    return {'name': data, 'weight': 1.0, **clip}
  return {
    'name': 'videos',
    'weight': 1.0,
    'path': data,
    **clip,
    # All ours, since the published ones are not known.
    'stride': (2, 4),  # a clip is one to two seconds at 30 frames a second
    'window': 'random',
    'crop': 'random',
    'scale': (0.5, 1.0),  # of the area: half of it still shows what moves
    'aspect': (0.75, 1.3333),
    'flip': 0.5,
    'validation_fraction': 0.05,
    'fingerprint': config_dict.placeholder(str),
  }
