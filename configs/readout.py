r"""Readouts of frozen or fine-tuned features: heads, trained and then tested.

    python -m evals --config=configs/readout.py:task=depth,data=world \
      --checkpoint=RUN --workdir=RUN/readouts/depth [--random_init]

`task` is depth, pose, points, boxes, classify or points3d, several joined by
'+', or 'all': of the first five those whose labels the source has, on one
forward pass of the backbone. `lr=1e-4+3e-4+1e-3` trains a head per learning
rate in the same step and takes the best on the validation split; with
`weight_decay=1e-4+1e-2` too, one for each of both, and with `depth=0.5+0.95`
one for each on features of each depth of the backbone.
`finetune=0.1` trains the backbone too, at a tenth of the learning rate, and
with `layer_decay=0.75` each block at 0.75 times that of the next.
`test=SOURCE` tests on another source.
`data.OPTION=VALUE` and `test.OPTION=VALUE` are options of the source's `make`
in `data/sources/SOURCE.py`, several values joined by '+':

    configs/readout.py:task=depth,data=movi,data.path=DIR,data.stride=1+1
    configs/readout.py:data=movi,data.path=DIR,test=scannet,test.path=DIR

`as=4ds`, `tapnet`, `perception_test` or `kauldron` scores as that code does,
where they differ; otherwise as the benchmark that is tested on is scored. Each
result says how.

`head=moog` trains MooG's own heads of depth, points and boxes.

`cache=FOLDER` runs a frozen backbone once over the source and reads its
features from there.

`recipe=paper` reproduces the protocol of 4DS (arXiv 2412.15212): 1.28M examples
in batches of 32, AdamW with weight decay 1e-4, 1,000 steps of warm-up, cosine
to 1e-7, no clipping; the published learning rate is the best of 1e-4, 3e-4 and
1e-3. Published results are in configs/mae.py. Reached: not run at that size;
hours on a pod were not estimated. `recipe=laptop` is ours: minutes on two cores
with a backbone of configs/quickstart.py, which says what was reached, or of
configs/moog.py.

The clips have the backbone's frames, height and width; a source that the
backbone was trained on is used with the same options.
"""

from ml_collections import ConfigDict

from base import names
from configs import common

# Options of the tasks that recipes leave as they are. What would help a short
# run (start, scale, residual) is off, as published.
TASKS = {
  'depth': {
    'loss': 'l2',  # not public (ours)
    'patch': (2, 8, 8),  # published
    'start': 0.0,
    'readout': 'attention',
    'subsample': 1,  # all pixels, which whole patches have anyway
    'eval_subsample': 1,
    # No metric of the group's changes a prediction, or weighs frames.
    'clamp': False,
    'average': 'pixels',
  },
  'pose': {
    'start': 'zero',
    'scale': 1.0,
    'bins': 31,  # as in kauldron
    'fold': False,
    'still': 'counted',  # as there
  },
  'points': {
    'residual': False,
    'certain_within': 6.0,  # pixels: the group's public loss
    'query_frames': False,  # published: the head is told no time
    'mode': 'first',
    'unseen': 'no_value',  # as TAP-Vid's code
    'readout': 'attention',
  },
  'points3d': {
    'start': 0.0,
    'scaling': 'median',  # published
    'focal': 'kauldron',
    'unseen': 'no_value',
    'residual': False,
    'certain_within': 6.0,
    'query_frames': False,
  },
  'boxes': {
    # Not public: those of InternVideo-Next (arXiv 2512.01342), same protocol.
    'loss': 'smooth_l1',
    'giou_weight': 0.5,
    'residual': False,
    'readout': 'attention',
    'average': 'boxes',  # published: all objects and frames weigh the same
  },
  'classify': {'several': False, 'names': ()},
}
# How tasks are scored where code of the field differs (`as=`); of the rest, and
# as=4ds, TASKS has it. Official numbers of Perception Test are of code whose
# 'first' is 'strided'; kauldron's default is that, and its ratios have no 0/0.
SCORED = {
  '4ds': {},
  'tapnet': {
    'points': {'mode': 'first', 'unseen': 'no_value'},
    'points3d': {'focal': 'tapnet'},
  },
  'perception_test': {
    'points': {'mode': 'strided', 'unseen': 'no_value'},
    'boxes': {'average': 'tracks'},
  },
  'kauldron': {
    'points': {'mode': 'strided', 'unseen': 'zero'},
    'points3d': {'unseen': 'zero'},
  },
}
# The code that official numbers on a source are of; of others it is 4ds.
OFFICIAL = {
  **{'tapvid': 'tapnet', 'tapvid3d': 'tapnet'},
  'perception_test': 'perception_test',
}
# Not of 4DS, nor of task=all: asked for by its name.
ALONE = ('points3d',)
# MooG's own heads. Pose and class have none, and head=moog refuses them.
MOOG = {'depth': 'dense', 'points': 'recurrent', 'boxes': 'recurrent'}
# Of the sources whose classes are published; of others, 0, a job asks the
# source. Where that does not know, there is --config.tasks.classify.classes=N.
CLASSES = {'world': 16, 'ssv2': 174, 'kinetics': 700}
# Several clips of a test video are averaged after the softmax, as published.
# How many is not: 4 clips x 3 crops are those of TRecViT, by the same group.
VIEWS = {'clips': 4, 'crops': 3}
RECIPES = {
  'paper': {
    # Published, to the warm-up: 1.28M examples.
    'steps': 40_000,
    'batch_size': 32,
    'lrs': (1e-4, 3e-4, 1e-3),
    'warmup_fraction': 1_000 / 40_000,
    'every': 2_000,  # ours, as the two below
    'log_every': 100,
    'workers': 8,
    # Published, as their counts of parameters say; of pose they are not known,
    # and it has those of depth.
    'tasks': {
      'depth': {'loss': 'l2', 'valid_range': (1e-3, 10.0)},
      'pose': {},
      'points': {'width': 1024, 'heads': 8},
      'points3d': {'width': 1024, 'heads': 8, 'start': 3.0},  # ours
      'boxes': {'width': 1024, 'heads': 4},
      'classify': {'width': 768, 'heads': 12},
    },
    'head': {
      'width': 1024,
      'heads': 16,
      'query_std': 0.02,  # ours: as all published embeddings start
    },
    # Published with MooG (`DenseReadout` and the recurrent one).
    'moog': {
      'width': 512,
      'layers': 3,
      'heads': 8,
      'head_dim': 64,
      'mlp': 2048,
    },
    'moog_depth': {'subsample': 8, 'eval_subsample': 4},  # of its pixels
    # What differs by source: its options, and those of tasks trained on it.
    'sources': {'ssv2': VIEWS, 'kinetics': VIEWS},
    'tasks_of': {
      'ssv2': {'classify': {'several': True}},
      # Published too.
      'kinetics': {'classify': {'several': True, 'width': 1024, 'heads': 16}},
    },
  },
  # Ours. What it reaches with 300 and with 600 steps: docs/quickstart.md.
  'laptop': {
    'steps': 600,
    'batch_size': 16,
    # The rate that most tasks chose of 3e-3 and 1e-2 on validation clips of
    # pretrained backbones: measured, docs/quickstart.md.
    'lrs': (3e-3,),
    'warmup_fraction': 25 / 600,
    'every': 300,
    'log_every': 50,
    'workers': 2,
    # Answers start near those that a short run would have to find first: a
    # depth inside the room, a camera and things that stay.
    'tasks': {
      'depth': {'loss': 'relative', 'valid_range': (1e-3, 10.0), 'start': 3.0},
      'pose': {'start': 'identity', 'scale': 0.1},
      'points': {'residual': True},
      'points3d': {'residual': True, 'start': 3.0},
      'boxes': {'residual': True},
      'classify': {},
    },
    # As wide as the backbone; queries that start apart, so that they need not
    # learn first to differ.
    'head': {'width': 128, 'heads': 4, 'query_std': 1.0},
    'moog': {'width': 128, 'layers': 2, 'heads': 4, 'head_dim': 32, 'mlp': 256},
    # Of frames of 48 x 48, which 8 would leave 6 x 6 of.
    'moog_depth': {'subsample': 4, 'eval_subsample': 4},
    'sources': {},
    'tasks_of': {},
  },
}


def get_config(arg: str | None = None) -> ConfigDict:
  """Arguments.

  task, data, test, recipe, seed, steps, lr, weight_decay, finetune,
  layer_decay, depth, cache, head, as.

  `data` and `test` are modules of data/, data.OPTION and test.OPTION options of
  theirs. The recipe is laptop for the built-in world and paper for any other
  data, unless it is given; so are its steps and learning rates. head=moog takes
  MooG's own heads: recurrent for points and boxes, dense for depth; it has none
  for pose and classify.

  Raises:
    ValueError: an unknown argument or value, or a task without such a head.
  """
  args = common.parse(
    arg,
    sources=('data', 'test'),
    **{'task': 'depth', 'data': 'world', 'test': '', 'recipe': ''},
    **{'seed': 0, 'steps': 0, 'lr': '', 'weight_decay': ''},
    **{'finetune': 0.0, 'layer_decay': 1.0, 'depth': '', 'cache': ''},
    **{'head': 'attention', 'as': ''},
  )
  names.choose('head', args['head'], ('attention', 'moog'))
  if args['test.'] and not args['test']:
    raise ValueError(
      f'config arguments test.{", test.".join(args["test."])} are of no '
      'source: name it with test=SOURCE'
    )
  name = args['recipe'] or ('laptop' if args['data'] == 'world' else 'paper')
  recipe = RECIPES[names.choose('recipe', name, RECIPES)]
  why = 'as it was asked for'
  if not args['recipe']:
    is_built_in = 'the' if name == 'laptop' else 'not the'
    why = f'since data={args["data"]} is {is_built_in} built-in world'
  lrs = recipe['lrs']
  if args['lr']:
    lrs = tuple(common.number('lr', lr) for lr in args['lr'].split('+'))
  elif args['finetune']:
    # Fine-tuning, heads cannot share a backbone.
    lrs = (sorted(lrs)[len(lrs) // 2],)
  # Beside that of `optim`, for heads side by side.
  decays = ()
  if args['weight_decay']:
    words = args['weight_decay'].split('+')
    decays = tuple(common.number('weight_decay', word) for word in words)
  # Published: the input of the block at 95% of the depth.
  depth = 0.95
  if args['depth']:
    words = args['depth'].split('+')
    depths = tuple(common.number('depth', word) for word in words)
    depth = depths if len(depths) > 1 else depths[0]
  tested = args['test'] or args['data']
  official = OFFICIAL.get(tested, '4ds')
  scored = SCORED[names.choose('as', args['as'] or official, SCORED)]
  steps = args['steps'] or recipe['steps']
  tasks = args['task'].split('+')
  if tasks == ['all']:
    tasks = [task for task in recipe['tasks'] if task not in ALONE]
  lacking = [task for task in tasks if task in TASKS and task not in MOOG]
  if args['head'] == 'moog' and lacking:
    raise ValueError(
      f'head=moog has no head for {", ".join(lacking)} (task={args["task"]}): '
      f'it has those of {", ".join(MOOG)}. Ask for task={"+".join(MOOG)} or '
      'fewer, and for the others in a job with head=attention'
    )
  config = common.training(
    lr=max(lrs),
    warmup_fraction=recipe['warmup_fraction'],
    every=recipe['every'],
    log_every=recipe['log_every'],
    # Features are those of the backbone, watched where it was trained.
    health_every=0,
  )
  del config['optim']['lr']  # it follows from `lrs`
  config['optim'] |= {
    'final_lr': 1e-7,  # published
    'b2': 0.999,  # optax's, since the protocol names none
    'weight_decay': 1e-4,  # published
    'decay': ('.*',),  # optax's: no mask is told of
    'clip_norm': 0.0,  # published: no clipping
  }
  config['step'] |= {'freeze': ('backbone/.*',)}
  return ConfigDict(
    {
      'recipe': f'{name}, {why}',  # for people: commands say it
      'seed': args['seed'],
      'steps': steps,
      'lrs': lrs,
      'weight_decays': decays,
      'finetune': args['finetune'],
      'layer_decay': args['layer_decay'],
      'tasks': {
        task: options_of(task, args['data'], recipe, args['head'])
        | scored.get(task, {})
        for task in tasks
      },
      'features': {'depth': depth, 'feature_dtype': 'float32'},
      'feature_cache': args['cache'],
      'data': {
        'batch_size': recipe['batch_size'],
        'seed': args['seed'],
        'sources': source(args, 'data', recipe['sources']),
        'keys': ('video',),
        'shuffle': True,
        # As in configs/quickstart.py.
        'workers': 0 if args['data'] == 'world' else recipe['workers'],
        'stalled_sec': common.STALLED_SEC,
        'remote': common.REMOTE,
        'max_bad': 0.0,  # ours: a benchmark is read whole
      },
      'test_sources': source(args, 'test', recipe['sources'])
      if args['test']
      else {},
      **config,
    }
  )


def source(args: dict, key: str, options: dict) -> dict:
  """The source that argument `key` names, with the options that it is given.

  Other options are the recipe's for it, if it has any; the pretraining run's,
  if that was trained on it; or those of its `make`.
  """
  name = args[key]
  made = {'name': name, 'weight': 1.0}
  if name in options:
    made |= options[name]
  return {name: made | args[f'{key}.']}


def options_of(task: str, data: str, recipe: dict, head: str) -> dict:
  """All options of a task that is trained on source `data`."""
  names.choose('task', task, TASKS)
  options = {
    **{'dtype': 'float32', 'attention': 'auto'},
    **TASKS[task],
    **recipe['head'],
    **recipe['tasks'][task],
  }
  if head == 'moog':
    del options['query_std']
    options |= {**recipe['moog'], 'readout': MOOG[task]}
    if task == 'depth':
      options |= recipe['moog_depth']
      del options['width']  # a pixel's is that of tokens and of its place
  if task == 'classify':
    options['classes'] = CLASSES.get(data, 0)
  of_source = recipe['tasks_of']
  if data in of_source and task in of_source[data]:
    options |= of_source[data][task]
  return options
