"""From a readout recipe and a pretraining run to a job."""

import json
import os
from collections.abc import Mapping
from typing import Any

from base import files
from base.console import say
from data import source as source_lib
from evals import is_readout, rates
from evals import job as job_lib
from evals import task as task_lib
from evals.features import cache
from models import objective as objective_lib
from train import workdir as workdir_lib
from train.checkpoint import find, saved_at, steps

Config = dict[str, Any]


def resolve(
  config: Mapping[str, Any],
  *,
  checkpoint: str,
  random_init: bool,
  step: int = -1,
  workdir: str = '',
) -> job_lib.Job:
  """The job of a recipe, with what only the run and the source know.

  `model` and the options of a source that the run was trained on are the
  run's, unless the recipe gives them; clips have the model's frames, height
  and width; the parameters come from the run's checkpoint. Of all tasks those
  stay whose labels the source has; names of classes are the source's.

  Args:
    config: a readout recipe's values, see `configs/readout.py`.
    checkpoint: folder of the pretraining run.
    random_init: leave the backbone as it was at initialisation.
    step: of the checkpoint; -1: the one that the job began with, or the last.
    workdir: folder of the job, which may have begun.

  Raises:
    ValueError: no run, no checkpoint, not a pretraining run, several
      sources, an unknown one or an unknown option of one, more classes than
      the head has, or learning rates that cannot be trained together.
  """
  if workdir and os.path.realpath(workdir) == os.path.realpath(checkpoint):
    raise ValueError(
      f'--workdir={workdir} is the folder of the run itself, as --checkpoint '
      f'is: give readouts one of their own, such as {workdir}/readouts/last'
    )
  pretraining = read_config(checkpoint)
  backbone = _backbone(
    checkpoint, random_init=random_init, step=step, workdir=workdir
  )
  return job_lib.make(completed(config, pretraining, backbone))


def completed(
  config: Mapping[str, Any],
  pretraining: Mapping[str, Any],
  backbone: Mapping[str, Any],
) -> Config:
  """The config of the job that `resolve` makes, without reading a run.

  As config.json keeps it, and `evals.job.make` takes it.

  Args:
    config: a readout recipe's values.
    pretraining: those of a pretraining recipe, or a run's resolved config.
    backbone: 'run' and 'step' whose parameters a job starts from, and whether
      it is 'random_init'.

  Raises:
    ValueError: as `resolve`, of what is in the two configs.
  """
  config = check(config)
  model = objective_lib.for_readouts(**pretraining['model'])

  def complete(sources):
    ((label, source),) = sources.items()
    known = {
      key: model[key] for key in ('frames', 'height', 'width') if key in model
    }
    for other in pretraining['data']['sources'].values():
      if other['name'] == source['name']:
        known |= other
    merged = known | source
    options = {
      key: value
      for key, value in merged.items()
      if key not in ('name', 'weight')
    }
    return {label: merged | source_lib.typed(source['name'], options)}

  (source,) = config['data']['sources'].values()
  left = sorted(set(config['tasks']) - set(_answerable(config)))
  if left:
    say(f'source {source["name"]!r} has no labels for: {", ".join(left)}')
  config['tasks'] = _answerable(config)
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
  if 'classify' in config['tasks']:
    _match_classes(config)
  if not backbone['random_init']:
    path, step = backbone['run'], backbone['step']
    config['init_from'] |= {'path': path, 'step': step, 'at': 'backbone'}
  config |= {'model': model, 'backbone': backbone}
  rates.set_layers(config)
  return cache.redirect(config) if config['feature_cache'] else config


def check(config: Mapping[str, Any]) -> Config:
  """Refuses a recipe that no run could serve, before there is one.

  Args:
    config: a readout recipe's values.

  Returns:
    The same as JSON has them, with the optimizer's options of its rates.

  Raises:
    ValueError: a recipe of pretraining, several sources, an unknown one or one
      that lacks an option, no label for any task, a wrong option of a task, or
      learning rates that cannot be trained together.
  """
  if not is_readout(config):
    raise ValueError(
      'the recipe is of pretraining, it names no tasks: give that of a '
      'readout, --config=configs/readout.py:task=...,data=...'
    )
  # A copy, and as config.json will have it: tuples are lists there. What it
  # was made by is no value that a job goes on with.
  config = json.loads(json.dumps(without_recipe(config)))
  for sources in (config['data']['sources'], config['test_sources'] or [0]):
    if len(sources) != 1:
      raise ValueError(
        'a readout is trained on one source and tested on one, the config '
        f'names {sorted(sources)}: leave one'
      )
  _answerable(config)
  rates.set_heads(config)
  return config


def without_recipe(config: Mapping[str, Any]) -> Config:
  """The config without the word for people which recipe it is."""
  return {key: value for key, value in config.items() if key != 'recipe'}


def say_recipe(config: Mapping[str, Any]) -> None:
  """Says which recipe was taken, why, and what is large about it.

  Args:
    config: a readout recipe's values; without `recipe`, nothing is said.
  """
  if 'recipe' not in config:
    return
  told = '+'.join(f'{lr:g}' for lr in config['lrs'])
  if config['weight_decays']:
    decays = '+'.join(f'{decay:g}' for decay in config['weight_decays'])
    told += f', weight decays {decays}'
  heads = ', '.join(
    f'{task} {options["width"]} wide'
    for task, options in config['tasks'].items()
    if 'width' in options
  )
  say(
    f'recipe={config["recipe"]}: {config["steps"]:,} steps of '
    f'{config["data"]["batch_size"]} clips, learning rates {told}'
    + (f', heads of {heads}' * bool(heads))
  )


def _backbone(
  checkpoint: str, *, random_init: bool, step: int, workdir: str
) -> Config:
  """Which parameters a job starts from: its `backbone`.

  The run may save on while a job is stopped: it goes on with what it began
  with, also where that is deleted and the job has its own copy.
  """
  path = os.fspath(files.path(checkpoint))
  if random_init:
    if step != -1:
      raise ValueError(
        f'--step={step} is of a checkpoint, and --random_init loads none: '
        'leave one of them out'
      )
    return {'run': path, 'step': None, 'random_init': True}
  began = _began_with(workdir)
  here = {'run': path, 'random_init': False}
  if began and not began['random_init'] and step in (-1, began['step']):
    there = began['step'] in steps(checkpoint)
    if there and _saved_at(checkpoint, began['step']) == began['saved']:
      step = began['step']  # also of a run that was moved since
    elif not there and began['run'] == path and workdir_lib.has_begun(workdir):
      return began
  _, step = find(checkpoint, step)
  return {**here, 'step': step, 'saved': _saved_at(checkpoint, step)}


def _saved_at(checkpoint: str, step: int) -> int:
  return saved_at(find(checkpoint, step)[0])


def _began_with(workdir: str) -> Config | None:
  """The `backbone` of a job's own config.json, if it has one."""
  if not workdir or not files.exists(files.path(workdir) / 'config.json'):
    return None
  if not is_readout(job_lib.read_config(workdir, {})):
    return None  # a pretraining run: refused when the folder is claimed
  kind = {'backbone': {'run': str, 'random_init': bool, 'step': object}}
  return job_lib.read_config(workdir, kind)['backbone']


def _answerable(config: Config) -> Config:
  """Tasks whose labels the source has; if only one was asked for, that one.

  Raises:
    ValueError: it has labels for none of them.
  """
  tasks = config['tasks']
  (source,) = config['data']['sources'].values()
  known = source_lib.keys_of(source['name'])
  has = {
    name: set(task_lib.make(name, **options).keys) <= set(known)
    for name, options in tasks.items()
  }
  if not any(has.values()):
    raise ValueError(
      f'source {source["name"]!r} has no labels for task '
      f'{", ".join(sorted(tasks))}: expected the record keys of one of them, '
      f'got {", ".join(known)}. Choose another source, such as data=world, or '
      'another task'
    )
  return {name: tasks[name] for name in tasks if has[name]}


def _match_classes(config: Config) -> None:
  """Takes how many classes there are, and their names, from the source.

  Refuses another number than that, and in tests labels beyond it.
  """
  options = config['tasks']['classify']
  for split, sources in (
    ('train', config['data']['sources']),
    ('test', config['test_sources'] or config['data']['sources']),
  ):
    ((label, source),) = sources.items()
    if 'label' not in source_lib.keys_of(source['name']):
      continue  # `check_labels` has an error for it
    given = {k: v for k, v in source.items() if k not in ('name', 'weight')}
    made = source_lib.make(source['name'], split, **given, keys=('label',))
    # What a source does not tell, only its labels can.
    found, named = getattr(made, 'classes', 0), list(getattr(made, 'names', ()))
    is_train = split == 'train'
    if is_train and not options['classes']:
      options['classes'] = _told_classes(label, found, bool(named))
    classes = options['classes']
    # Without names a list tells how many there are at least.
    is_less = is_train and named and found < classes
    if found > classes or is_less:
      raise ValueError(
        f'config.tasks.classify.classes={classes}, but the {split} split '
        f'of source {label!r} has {found}: set '
        f'--config.tasks.classify.classes={found}'
      )
    if is_train and not options['names']:
      options['names'] = named


def _told_classes(label: str, found: int, is_named: bool) -> int:
  """How many classes a source says that it has."""
  if not found:
    raise ValueError(
      f'source {label!r} does not tell how many classes it has: set '
      '--config.tasks.classify.classes=N'
    )
  how = '' if is_named else ', without names'
  say(f'classify: {found} classes, as source {label!r} tells{how}')
  return found


def read_config(checkpoint: str) -> Config:
  """The resolved config of a pretraining run.

  Raises:
    ValueError: no such folder, not a run, or the run of a readout.
  """
  folder = files.path(checkpoint)
  if not files.is_folder(folder):
    raise ValueError(
      f'--checkpoint={checkpoint} does not exist: give the --workdir of a '
      'pretraining run'
    )
  if not files.exists(folder / 'config.json'):
    raise ValueError(
      f'--checkpoint={checkpoint} is not a run: it has no config.json. Give '
      'the --workdir of a pretraining run, not its checkpoints/ or a step'
    )
  if is_readout(job_lib.read_config(checkpoint, {})):
    raise ValueError(
      f'--checkpoint={checkpoint} is a readout of '
      f'{job_lib.run_of(checkpoint)}: give that run'
    )
  kind = {'model': {'name': str}, 'data': {'sources': dict}, 'steps': int}
  return job_lib.read_config(checkpoint, kind)
