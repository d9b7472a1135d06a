r"""A readout of frozen features: a task's head, trained and then tested.

    python -m evals --config=configs/readout.py:task=depth,data=world \
      --checkpoint=RUN --workdir=RUN/readouts/depth [--random_init]

`recipe=paper` is the protocol of 4DS (arXiv 2412.15212): 1.28M examples in
batches of 32, AdamW with weight decay 1e-4, 1,000 steps of warm-up, cosine to
1e-7, no clipping; the published learning rate is the best of 1e-4, 3e-4 and
1e-3. Not run here at that size. `recipe=laptop` is ours: minutes on two cores,
with a backbone of `configs/quickstart.py`.

The clips have the backbone's frames, height and width; a source that the
backbone was trained on is used with the same options.
"""

import difflib

from ml_collections import ConfigDict

from configs import common

RECIPES = {
  'paper': {
    'steps': 40_000,
    'lr': 3e-4,
    'warmup_steps': 1_000,
    'width': 1024,
    'heads': 16,
    'query_std': 0.02,
    'every': 2_000,
    'log_every': 100,
    'workers': 8,
    'tasks': {
      'depth': {'loss': 'l2', 'valid_range': (1e-3, 10.0), 'start': 0.0}
    },
  },
  'laptop': {
    'steps': 300,
    'lr': 1e-2,
    'warmup_steps': 25,
    'width': 128,
    'heads': 4,
    'query_std': 1.0,
    'every': 150,
    'log_every': 25,
    'workers': 2,
    'tasks': {
      'depth': {'loss': 'relative', 'valid_range': (1e-3, 10.0), 'start': 3.0}
    },
  },
}


def get_config(arg: str | None = None) -> ConfigDict:
  """Arguments: task, data (a module of data/), recipe, seed, steps, lr.

  The recipe is laptop for the built-in world and paper for any other data,
  unless it is given; so are its steps and learning rate.
  """
  args = common.parse(
    arg, task='depth', data='world', recipe='', seed=0, steps=0, lr=0.0
  )
  name = args['recipe'] or ('laptop' if args['data'] == 'world' else 'paper')
  if name not in RECIPES:
    raise ValueError(f'recipe={name!r} must be one of {", ".join(RECIPES)}')
  recipe = RECIPES[name]
  if args['task'] not in recipe['tasks']:
    near = difflib.get_close_matches(args['task'], recipe['tasks'], 1, 0)[0]
    raise ValueError(
      f'task={args["task"]!r} must be one of {", ".join(recipe["tasks"])}; did '
      f'you mean {near!r}?'
    )
  config = common.training(
    lr=args['lr'] or recipe['lr'],
    warmup_steps=recipe['warmup_steps'],
    every=recipe['every'],
    log_every=recipe['log_every'],
  )
  config['optim'] |= {
    'final_lr': 1e-7,
    'b2': 0.999,
    'weight_decay': 1e-4,
    'decay': ('.*',),
    'clip_norm': 0.0,
  }
  config['step'] |= {'freeze': ('backbone/.*',)}
  return ConfigDict(
    {
      'seed': args['seed'],
      'steps': args['steps'] or recipe['steps'],
      'task': {'name': args['task'], **recipe['tasks'][args['task']]},
      'head': {
        'width': recipe['width'],
        'heads': recipe['heads'],
        'query_std': recipe['query_std'],
        'depth': 0.95,
        'dtype': 'float32',
      },
      'data': {
        'batch_size': 32,
        'seed': args['seed'],
        'sources': {args['data']: {'name': args['data'], 'weight': 1.0}},
        'keys': ('video',),
        'shuffle': True,
        'workers': recipe['workers'],
        'max_bad': 0.0,
      },
      **config,
    }
  )
