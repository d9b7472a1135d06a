"""A readout job: resolve, train, test, write the result.

RUN/config.json + recipe -> config -> train.loop.run -> test split ->
OUT/result.json, OUT/pictures/<task>.png
"""

import json
import os
from collections.abc import Mapping
from typing import Any

import cv2
import jax

from data import pipeline
from evals import metrics, readout, score
from evals import task as task_lib
from models import objective as objective_lib
from train import guard, loop, optim
from train import mesh as mesh_lib
from train import step as step_lib
from train.checkpoint import find
from train.metrics import contact_sheet
from train.output import replace, say

Config = dict[str, Any]


def run(
  config: Mapping[str, Any],
  *,
  checkpoint: str,
  workdir: str,
  random_init: bool = False,
) -> Config | None:
  """Trains and tests one readout; goes on where `workdir` stopped.

  Args:
    config: a readout recipe's values, see `configs/readout.py`.
    checkpoint: folder of the pretraining run.
    workdir: folder of this job.
    random_init: leave the backbone as it was at initialisation: the baseline
      of the same shape.

  Returns:
    The result, as in result.json; None if it was told to stop before.

  Raises:
    ValueError: something cannot work; nothing was trained.
  """
  config = resolve(config, checkpoint=checkpoint, random_init=random_init)
  task = task_lib.make(**config['task'])
  objective = readout.make(
    backbone=objective_lib.make(**config['model']), task=task, **config['head']
  )
  tests = pipeline.make(split='test', **{**config['data'], 'shuffle': False})
  check_labels(tests, task)
  guard.claim_workdir(workdir, config)
  path = os.path.join(workdir, 'result.json')
  if os.path.exists(path):
    with open(path) as file:
      result = json.load(file)
    say(f'{workdir} is done: {path}')
    say(table([result]))
    return result

  state = loop.run(config, objective, workdir)
  if int(state.step) < config['steps']:
    return None
  mesh = mesh_lib.make(**config['mesh'])
  with mesh_lib.use(mesh):
    is_frozen = optim.matches(config['step']['freeze'], state.params)
    params = step_lib.averaged(state, is_frozen)
    tested = score.run(objective, params, tests, mesh)
  result = summary(config, task, tested)
  if jax.process_index() == 0:
    write_pictures(workdir, tested.pictures)
    replace(path, json.dumps(result, indent=2))
  say(table([result]))
  return result


def resolve(
  config: Mapping[str, Any], *, checkpoint: str, random_init: bool
) -> Config:
  """The recipe, with what only the pretraining run knows.

  `model` and the options of a source that the run was trained on are the
  run's, unless the recipe gives them; clips have the model's frames, height
  and width; the parameters come from the run's last checkpoint.

  Raises:
    ValueError: no run, no checkpoint, not a pretraining run, or several
      sources.
  """
  config = json.loads(json.dumps(dict(config)))
  pretraining = read_config(checkpoint)
  step = None if random_init else find(checkpoint)[1]
  if len(config['data']['sources']) != 1:
    raise ValueError(
      'a readout is tested on one source, data.sources names '
      f'{sorted(config["data"]["sources"])}: leave one'
    )
  ((label, source),) = config['data']['sources'].items()
  model = pretraining['model']
  known = {
    key: model[key] for key in ('frames', 'height', 'width') if key in model
  }
  for other in pretraining['data']['sources'].values():
    if other['name'] == source['name']:
      known |= other
  task = task_lib.make(**config['task'])
  keys = dict.fromkeys((*config['data']['keys'], *task.keys))
  config['data'] |= {'sources': {label: known | source}, 'keys': list(keys)}
  path = os.path.abspath(checkpoint)
  if not random_init:
    config['init_from'] |= {'path': path, 'step': step, 'at': 'backbone'}
  return config | {
    'model': model,
    'backbone': {'run': path, 'step': step, 'random_init': random_init},
  }


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
  if 'task' in config:
    raise ValueError(
      f'--checkpoint={checkpoint} is a readout of '
      f'{config["backbone"]["run"]}: give that run'
    )
  return config


def check_labels(data: pipeline.Pipeline, task: task_lib.Task) -> None:
  """Check.

  Raises:
    ValueError: the source's records lack what the task needs.
  """
  try:
    data.example()
  except KeyError as error:
    raise ValueError(
      f'task {task.name!r} needs the record keys {task.keys}, and source '
      f'{data.examples.labels[0]!r} has no {error}. Choose a source with these '
      'labels, such as data=world, or another task'
    ) from None


def summary(
  config: Config, task: task_lib.Task, tested: score.Tested
) -> Config:
  """What result.json holds.

  Raises:
    ValueError: no clip of the split can be scored.
  """
  counts = tested.clips['count']
  if not counts.any():
    raise ValueError(
      f'none of the {len(counts)} test clips has a valid label for task '
      f'{task.name!r}: look at the data, or at config.task'
    )
  scores = task.scores(metrics.total(tested.clips))
  ends = metrics.bootstrap(tested.clips, task.scores)
  (source,) = config['data']['sources'].values()
  return {
    'task': task.name,
    'headline': list(task.headline),
    'source': source['name'],
    'split': 'test',
    'metrics': {
      name: {'value': float(value), 'low': ends[name][0], 'high': ends[name][1]}
      for name, value in scores.items()
    },
    'interval': '95%, bootstrap over test clips, 1000 draws',
    'clips': len(counts),
    'clips_without_labels': int((counts == 0).sum()),
    'refused': tested.refused,
    'steps': config['steps'],
    'seed': config['seed'],
    'random_init': config['backbone']['random_init'],
    'checkpoint': config['backbone'],
    'config': config,
  }


def write_pictures(workdir: str, pictures: Mapping[str, Any]) -> None:
  """OUT/pictures/<name>.png: a row for each test clip."""
  folder = os.path.join(workdir, 'pictures')
  os.makedirs(folder, exist_ok=True)
  for name, clips in pictures.items():
    path = os.path.join(folder, f'{name}.png')
    if not cv2.imwrite(path, contact_sheet(clips)[..., ::-1]):
      raise OSError(f'cannot write {path}: is the disk full?')


def table(results: list[Config]) -> str:
  """One line per result, under a line of names."""
  lines = []
  for result in results:
    backbone = 'random init' if result['random_init'] else 'pretrained'
    cells = {
      'task': result['task'],
      'data': result['source'],
      'backbone': backbone,
      'steps': str(result['steps']),
      'seed': str(result['seed']),
      'clips': str(result['clips']),
    }
    for name in result['headline']:
      x = result['metrics'][name]
      cells[f'{name} [95%]'] = (
        f'{x["value"]:.4f} [{x["low"]:.4f}, {x["high"]:.4f}]'
      )
    lines.append(cells)
  width = {
    name: max(len(name), *(len(line[name]) for line in lines))
    for name in lines[0]
  }
  rows = [{name: name for name in width}, *lines]
  return '\n'.join(
    '  '.join(row[name].ljust(width[name]) for name in width).rstrip()
    for row in rows
  )
