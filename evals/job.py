"""A readout job: resolve, train, choose, test, write the result.

RUN/config.json + recipe -> config -> train.loop.run -> the learning rate on
the validation split -> the test split -> OUT/result.json, OUT/clips.npz,
OUT/pictures/<task>.png
"""

import functools
import json
import os
from collections.abc import Mapping
from typing import Any

import cv2
import jax
import numpy as np

from data import pipeline
from data import source as source_lib
from evals import features, metrics, readout, score
from evals import task as task_lib
from models import objective as objective_lib
from models.objective import Params
from train import guard, loop, optim, start
from train import mesh as mesh_lib
from train import step as step_lib
from train.checkpoint import find, start_from
from train.metrics import contact_sheet
from train.output import replace, say

Config = dict[str, Any]


def run(
  config: Mapping[str, Any],
  *,
  checkpoint: str,
  workdir: str,
  random_init: bool = False,
  step: int = -1,
) -> Config | None:
  """Trains and tests readouts; goes on where `workdir` stopped.

  Args:
    config: a readout recipe's values, see `configs/readout.py`.
    checkpoint: folder of the pretraining run.
    workdir: folder of this job.
    random_init: leave the backbone as it was at initialisation: the baseline
      of the same shape.
    step: of the checkpoint; -1: the last.

  Returns:
    The result, as in result.json; None if it was told to stop before.

  Raises:
    ValueError: something cannot work; nothing was trained.
  """
  config = resolve(
    config, checkpoint=checkpoint, random_init=random_init, step=step
  )
  objective = make_objective(config)
  example = check_labels(config, objective)
  guard.claim_workdir(workdir, config)
  path = os.path.join(workdir, 'result.json')
  if os.path.exists(path):
    with open(path) as file:
      result = json.load(file)
    say(f'{workdir} is done: {path}')
    say(table([result]))
    return result

  mesh = mesh_lib.make(**config['mesh'])
  if config['feature_cache']:
    with mesh_lib.use(mesh):
      backbone = functools.partial(
        *(backbone_params, config, objective, example, mesh)
      )
      features.fill(config, objective, backbone, mesh)
  state = loop.run(config, objective, workdir)
  if int(state.step) < config['steps']:
    return None
  with mesh_lib.use(mesh):
    is_frozen = optim.matches(config['step']['freeze'], state.params)
    params = step_lib.averaged(state, is_frozen)
    facts = score.facts_of(objective, label_pipeline(config), mesh)
    validated = None
    if len(config['lrs']) > 1:
      data = {**config['data'], 'shuffle': False}
      validation = pipeline.make(split='validation', **data)
      validated = score.run(
        objective, params, facts, validation, mesh, pictures=0
      )
    tests = test_pipeline(config)
    tested = score.run(objective, params, facts, tests, mesh)
  result = summary(config, objective, validated, tested)
  if jax.process_index() == 0:
    write_pictures(workdir, objective, result, tested)
    write_clips(workdir, result, tested)
    replace(path, json.dumps(result, indent=2))
  say(table([result]))
  return result


def make_objective(config: Mapping[str, Any]) -> readout.Readout:
  """The readout objective of a resolved config."""
  labels = ('',)
  if len(config['lrs']) > 1:
    labels = tuple(f'lr_{lr:g}' for lr in config['lrs'])
  (source,) = config['data']['sources'].values()
  return readout.make(
    backbone=objective_lib.make(**config['model']),
    clip=[source[key] for key in ('frames', 'height', 'width')]
    if config['feature_cache']
    else (),
    tasks=config['tasks'],
    labels=labels,
    finetune=config['finetune'] > 0,
    **config['features'],
  )


def backbone_params(
  config: Mapping[str, Any],
  objective: readout.Readout,
  example: pipeline.Part,
  mesh: jax.sharding.Mesh,
) -> Params:
  """The backbone's parameters as the training of the readout will see them.

  Args:
    config: resolved.
    objective: the readout.
    example: of the clips.
    mesh: where they are put.
  """
  batch = {
    key: jax.ShapeDtypeStruct((1, *value.shape), value.dtype)
    for key, value in example.items()
  }
  init = functools.partial(objective.init, batch=batch)
  shapes = jax.eval_shape(init, jax.random.key(config['seed']))
  places = mesh_lib.params_shardings(mesh, shapes)
  params = jax.jit(
    init,
    out_shardings=places,
    compiler_options=start.options_of_programs_run_once(),
  )(jax.random.key(config['seed']))
  if config['init_from']['path']:
    params = start_from(params, places, **config['init_from'])
  return params['backbone']


def resolve(
  config: Mapping[str, Any],
  *,
  checkpoint: str,
  random_init: bool,
  step: int = -1,
) -> Config:
  """The recipe, with what only the pretraining run and the source know.

  `model` and the options of a source that the run was trained on are the
  run's, unless the recipe gives them; clips have the model's frames, height
  and width; the parameters come from the run's checkpoint. Of all tasks those
  stay whose labels the source has.

  Raises:
    ValueError: no run, no checkpoint, not a pretraining run, several
      sources, or learning rates that cannot be trained together.
  """
  config = json.loads(json.dumps(dict(config)))
  pretraining = read_config(checkpoint)
  if random_init:
    step = None
  elif step == -1:
    # One that is named may be gone where the job holds its own copy.
    step = find(checkpoint)[1]
  for sources in (config['data']['sources'], config['test_sources'] or [0]):
    if len(sources) != 1:
      raise ValueError(
        'a readout is trained on one source and tested on one, the config '
        f'names {sorted(sources)}: leave one'
      )
  model = pretraining['model']

  def complete(sources):
    ((label, source),) = sources.items()
    known = {
      key: model[key] for key in ('frames', 'height', 'width') if key in model
    }
    for other in pretraining['data']['sources'].values():
      if other['name'] == source['name']:
        known |= other
    return {label: known | source}

  (source,) = config['data']['sources'].values()
  config['tasks'] = _answerable(config['tasks'], source['name'])
  labels = [
    key
    for name, options in config['tasks'].items()
    for key in task_lib.make(name, **options).keys
  ]
  keys = dict.fromkeys((*config['data']['keys'], *labels))
  sources = complete(config['data']['sources'])
  config['data'] |= {'sources': sources, 'keys': list(keys)}
  if config['test_sources']:
    config['test_sources'] = complete(config['test_sources'])
  path = os.path.abspath(checkpoint)
  if not random_init:
    config['init_from'] |= {'path': path, 'step': step, 'at': 'backbone'}
  _set_rates(config)
  config |= {
    'model': model,
    'backbone': {'run': path, 'step': step, 'random_init': random_init},
  }
  return features.redirect(config) if config['feature_cache'] else config


def _answerable(tasks: Config, source: str) -> Config:
  """Tasks whose labels the source has; if only one was asked for, that one.

  Asking for one that has none is an error of `check_labels`.
  """
  if len(tasks) == 1:
    return tasks
  known = source_lib.keys_of(source)
  has = {
    name: set(task_lib.make(name, **options).keys) <= set(known)
    for name, options in tasks.items()
  }
  left = sorted(name for name in has if not has[name])
  if left:
    say(f'source {source!r} has no labels for: {", ".join(left)}')
  if not any(has.values()):
    raise ValueError(
      f'source {source!r} has labels for none of {sorted(tasks)}: it gives '
      f'{known}. Choose another source, such as data=world'
    )
  return {name: tasks[name] for name in tasks if has[name]}


def _set_rates(config: Config) -> None:
  """Optimizer options from `lrs` and `finetune`."""
  lrs, finetune = config['lrs'], config['finetune']
  if not lrs or min(lrs) <= 0 or len(set(lrs)) != len(lrs):
    raise ValueError(
      f'config.lrs={lrs} must be learning rates above 0, each once'
    )
  if finetune < 0:
    raise ValueError(
      f'config.finetune={finetune} must be 0 (frozen) or the multiplier of '
      "the backbone's learning rate"
    )
  multipliers = []
  if len(lrs) > 1:
    if finetune or config['optim']['clip_norm']:
      raise ValueError(
        f'config.lrs={lrs} are trained side by side, which the heads must not '
        'notice: with config.finetune or config.optim.clip_norm they share a '
        'backbone or a norm. Give one learning rate per job'
      )
    factors = [lr / max(lrs) for lr in lrs]
    multipliers.append(['heads/.*', factors])
  if finetune:
    multipliers.append(['backbone/.*', finetune])
    config['step'] |= {'freeze': []}
  config['optim'] |= {'lr': max(lrs), 'multipliers': multipliers}


def test_pipeline(config: Mapping[str, Any]) -> pipeline.Pipeline:
  """The test split in order, of `test_sources` if there is one."""
  sources = config['test_sources'] or config['data']['sources']
  # Pictures show the video, also where its features are cached.
  keys = dict.fromkeys(('video', *config['data']['keys']))
  data = {'shuffle': False, 'sources': sources, 'keys': list(keys)}
  return pipeline.make(split='test', **{**config['data'], **data})


def label_pipeline(config: Mapping[str, Any]) -> pipeline.Pipeline:
  """The training split in order, without its video."""
  seen = ('video', 'features')
  keys = [key for key in config['data']['keys'] if key not in seen]
  return pipeline.make(
    split='train', **{**config['data'], 'shuffle': False, 'keys': keys}
  )


def read_config(checkpoint: str) -> Config:
  """The resolved config of a pretraining run.

  Raises:
    ValueError: no such folder, not a run, or the run of a readout.
  """
  path = os.path.join(checkpoint, 'config.json')
  if not os.path.isdir(checkpoint):
    raise ValueError(
      f'--checkpoint={checkpoint} does not exist: give the --workdir of a '
      'pretraining run'
    )
  if not os.path.exists(path):
    raise ValueError(
      f'--checkpoint={checkpoint} is not a run: it has no config.json. Give '
      'the --workdir of a pretraining run, not its checkpoints/ or a step'
    )
  with open(path) as file:
    config = json.load(file)
  if 'tasks' in config:
    raise ValueError(
      f'--checkpoint={checkpoint} is a readout of '
      f'{config["backbone"]["run"]}: give that run'
    )
  return config


def check_labels(
  config: Mapping[str, Any], objective: readout.Readout
) -> pipeline.Part:
  """The first clip that is tested, with all labels.

  Raises:
    ValueError: the source's records lack what a task needs.
  """
  data = features.direct(config) | {'shuffle': False}
  if config['test_sources']:
    data |= {'sources': config['test_sources']}
  tests = pipeline.make(split='test', **data)
  try:
    return tests.example()
  except KeyError as error:
    (lacking,) = error.args
    names = [
      name for name, task in objective.tasks.items() if lacking in task.keys
    ]
    raise ValueError(
      f'task {", ".join(names)} needs the record key {lacking!r}, and source '
      f'{tests.examples.labels[0]!r} has none. Choose a source with these '
      'labels, such as data=world, or another task'
    ) from None


def summary(
  config: Config,
  objective: readout.Readout,
  validated: score.Scored | None,
  tested: score.Scored,
) -> Config:
  """What result.json holds.

  Args:
    config: resolved.
    objective: whose tasks they are.
    validated: the validation split, by which the learning rate is chosen;
      None where there is one.
    tested: the test split.

  Raises:
    ValueError: no clip of the split can be scored.
  """
  sources = config['test_sources'] or config['data']['sources']
  (source,) = sources.values()
  if config['feature_cache']:
    source = source['source']
  return {
    'tasks': {
      name: _summary_of(config, task, name, validated, tested)
      for name, task in objective.tasks.items()
    },
    'source': source['name'],
    'split': 'test',
    'interval': '95%, bootstrap over test clips, 1000 draws',
    'refused': tested.refused,
    'steps': config['steps'],
    'seed': config['seed'],
    'finetune': config['finetune'],
    'random_init': config['backbone']['random_init'],
    'checkpoint': config['backbone'],
    'config': config,
  }


def _summary_of(config, task, name, validated, tested) -> Config:
  sums, trivial = tested.heads[name], tested.trivial[name]
  counts = trivial['count']
  if not counts.any():
    raise ValueError(
      f'none of the {len(counts)} test clips has a valid label for task '
      f'{name!r}: look at the data, or at config.tasks.{name}'
    )
  best, chosen = 0, None
  if validated is not None:
    chosen = task.scores(metrics.total(validated.heads[name]))
    main = np.asarray(chosen[task.headline[0]])
    best = int(np.argmin(main) if task.lower_is_better else np.argmax(main))
  heads = [
    {
      'lr': lr,
      'test': _floats(task.scores(metrics.total(score.of_head(sums, place)))),
      'validation': chosen
      and _floats({key: x[place] for key, x in chosen.items()}),
    }
    for place, lr in enumerate(config['lrs'])
  ]
  ends = metrics.bootstrap(score.of_head(sums, best), task.scores)
  return {
    'headline': list(task.headline),
    'lower_is_better': task.lower_is_better,
    'metrics': {
      key: {'value': value, 'low': ends[key][0], 'high': ends[key][1]}
      for key, value in heads[best]['test'].items()
    },
    'lr': config['lrs'][best],
    'head': best,
    'heads': heads,
    'trivial': _floats(task.scores(metrics.total(trivial))),
    'clips': len(counts),
    'clips_without_labels': int((counts == 0).sum()),
  }


def _floats(scores: metrics.Scores) -> dict[str, float]:
  return {name: float(value) for name, value in scores.items()}


def write_clips(workdir: str, result: Config, tested: score.Scored) -> None:
  """OUT/clips.npz: each test clip's sums, '<task>/<name>' of the chosen head.

  Two jobs on the same clips are compared clip by clip with them.
  """
  arrays = {
    f'{name}/{key}': value
    for name, found in result['tasks'].items()
    for key, value in score.of_head(tested.heads[name], found['head']).items()
  }
  np.savez_compressed(os.path.join(workdir, 'clips.npz'), **arrays)


def write_pictures(
  workdir: str,
  objective: readout.Readout,
  result: Config,
  tested: score.Scored,
) -> None:
  """OUT/pictures/<name>.png: a row for each of the first test clips."""
  folder = os.path.join(workdir, 'pictures')
  os.makedirs(folder, exist_ok=True)
  answers, batch = tested.first
  for name, task in objective.tasks.items():
    head = result['tasks'][name]['head']
    answer = jax.tree.map(lambda x, head=head: x[head], answers[name])
    for title, clips in task.pictures(answer, batch).items():
      path = os.path.join(folder, f'{title}.png')
      sheet = contact_sheet(clips / np.float32(255))
      if not cv2.imwrite(path, sheet[..., ::-1]):
        raise OSError(f'cannot write {path}: is the disk full?')


def table(results: list[Config]) -> str:
  """A line per result and task, under a line of names, a block per task."""
  blocks = []
  for name in dict.fromkeys(name for x in results for name in x['tasks']):
    lines = []
    for result in results:
      if name not in result['tasks']:
        continue
      found = result['tasks'][name]
      cells = {
        'task': name,
        'data': result['source'],
        'backbone': 'random init' if result['random_init'] else 'pretrained',
        'steps': str(result['steps']),
        'seed': str(result['seed']),
        'lr': f'{found["lr"]:g}',
        'clips': str(found['clips']),
      }
      for key in found['headline']:
        x = found['metrics'][key]
        cells[f'{key} [95%]'] = (
          f'{x["value"]:.4f} [{x["low"]:.4f}, {x["high"]:.4f}]'
        )
        cells[f'trivial {key}'] = f'{found["trivial"][key]:.4f}'
      lines.append(cells)
    blocks.append(_aligned(lines))
  return '\n\n'.join(blocks)


def _aligned(lines: list[dict[str, str]]) -> str:
  width = {
    name: max(len(name), *(len(line[name]) for line in lines))
    for name in lines[0]
  }
  rows = [{name: name for name in width}, *lines]
  return '\n'.join(
    '  '.join(row[name].ljust(width[name]) for name in width).rstrip()
    for row in rows
  )
