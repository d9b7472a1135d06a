"""Distillation of a large 4DS backbone into a small one.

Reproduces: nothing that is public. 4DS-B-dist-e was made of 4DS-e (arXiv
2412.15212); how is not known. The loss (`models/distill.py`), the schedule and
all numbers here are ours.
Laptop: a student with a fifth of the parameters learns of what `make
quickstart` left in runs/quickstart,

    python -m train --config=configs/distill.py:data=world --workdir=RUN

Pod: `topology` has no layouts for it; hours were not estimated.

    python -m train --config=configs/distill.py:teacher=E.npz,data=DATA \\
      --workdir=RUN

The teacher is a published file, or the folder of a run of `configs/mae.py` of
`teacher_size`; the student may start from one as well
(`--config.init_from.path=B.npz`). Readouts of the student: `python -m evals
--checkpoint=RUN`.
Reached: on the world, one seed, a cosine of 0.994 with the teacher's features
on validation clips; what the student then knows is in docs/training.md. A
student B of a teacher e on videos: not run.
"""

from ml_collections import ConfigDict, config_dict

from base import names
from configs import common, mae, quickstart

# Ours. Batch and rate are those that the student would be pretrained with, in
# configs/quickstart.py and configs/mae.py; there are fewer steps.
RECIPES = {
  'world': {'steps': 1_200, 'batch_size': 8, 'lr': 2e-3},
  'videos': {'steps': 200_000, 'batch_size': 2048, 'lr': 6e-4},
}
# Half as wide as the quickstart's, and two thirds as deep.
LAPTOP = {'dim': 64, 'depth': 4, 'mlp': 256, 'heads': 2}


def get_config(arg: str | None = None) -> ConfigDict:
  """Arguments.

  teacher: a published file or a run's folder. teacher_size, size: keys of
  `configs/mae.py: RECIPES`, of the teacher and the student; not of the world.
  data: 'world', or a folder that `data.ingest` made; data.OPTION=VALUE, as in
  `configs/mae.py`. steps, batch_size: 0 for the recipe's. seed.

  Raises:
    ValueError: videos without a teacher, or an unknown size.
  """
  args = common.parse(
    arg,
    sources=('data',),
    **{'teacher': '', 'teacher_size': 'e', 'size': 'B', 'data': 'world'},
    **{'steps': 0, 'batch_size': 0, 'seed': 0},
  )
  laptop, seed = args['data'] == 'world', args['seed']
  recipe = RECIPES['world' if laptop else 'videos']
  if laptop:
    known = quickstart.get_config().model.to_dict()
    clip = {key: known[key] for key in ('frames', 'height', 'width')}
    teacher = {key: known[key] for key in _OPTIONS}
    student = teacher | LAPTOP
    data = {**quickstart.world(seed), 'weight': 1.0}
  else:
    if not args['teacher']:
      raise ValueError(
        'a distillation on videos needs a teacher: '
        'configs/distill.py:teacher=FILE.npz,data=DATA'
      )
    clip = {'frames': 16, 'height': 224, 'width': 224}  # published
    student, teacher = (
      _backbone(args[key]) for key in ('size', 'teacher_size')
    )
    # Nothing of the teacher is kept for a backward pass.
    teacher['remat'] = 'none'
    data = mae.source(args['data'], clip)
  steps = args['steps'] or recipe['steps']
  config = common.training(
    lr=recipe['lr'],
    # Ours.
    warmup_fraction=1 / 15 if laptop else 5_000 / recipe['steps'],
    every=min(600 if laptop else 5_000, steps),
    log_every=100,
    health_every=300 if laptop else 1_000,
  )
  # The student's, where it does not start anew.
  config['init_from'] |= {'at': 'student'}
  path = args['teacher'] or 'runs/quickstart'
  config['init_parts'] = {
    'teacher': {**config['init_from'], 'path': path, 'at': 'teacher'}
  }
  config['step'] |= {'freeze': ('teacher/.*',)}
  return ConfigDict(
    {
      'seed': seed,
      'steps': steps,
      'model': {
        'name': 'distill',
        **clip,
        'student': student,
        'teacher': teacher,
        'depth': 0.95,  # the features that published readouts see
      },
      'data': {
        'batch_size': args['batch_size'] or recipe['batch_size'],
        'seed': seed,
        'sources': {
          'world' if laptop else 'videos': data | args['data.'],
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


_OPTIONS = (
  *('size', 'dim', 'depth', 'mlp', 'heads', 'patch'),
  *('dtype', 'remat', 'scan', 'attention', 'positions'),
)


def _backbone(size: str) -> dict:
  names.choose('size', size, mae.RECIPES)
  model = mae.get_config(f'size={size}').model.to_dict()
  # Other dimensions than the size's, if they are set.
  free = {key: config_dict.placeholder(int) for key in LAPTOP}
  return {key: free.get(key, model[key]) for key in _OPTIONS}
