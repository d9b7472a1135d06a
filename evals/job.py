"""A readout job: resolve, train, choose, test, write the result.

RUN/config.json + recipe -> config -> train.loop.run -> the learning rate on
the validation split -> the test split -> OUT/result.json, OUT/clips.npz,
OUT/pictures/<task>.png
"""

import contextlib
import functools
import json
import os
from collections.abc import Iterator, Mapping
from typing import Any

import jax

from base import files
from base.console import say
from data import pipeline
from evals import features, labels, readout, score
from evals import result as result_lib
from evals.resolve import resolve
from models import objective as objective_lib
from models.objective import Params
from train import loop, optim, processes, retention
from train import mesh as mesh_lib
from train import step as step_lib
from train import workdir as workdir_lib
from train.init_from import start_from

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
    step: of the checkpoint; -1: the last, or that which the job began with.

  Returns:
    The result, as in result.json; None if it was told to stop before.

  Raises:
    ValueError: something cannot work; nothing was trained.
  """
  config = resolve(
    config,
    checkpoint=checkpoint,
    random_init=random_init,
    step=step,
    workdir=workdir,
  )
  with _pinned(config['backbone'], workdir):
    return _run(config, workdir)


@contextlib.contextmanager
def _pinned(backbone: Mapping[str, Any], workdir: str) -> Iterator[None]:
  """Inside, the pretraining run does not delete the job's checkpoint."""
  if backbone['random_init']:
    yield
    return
  run, step = backbone['run'], backbone['step']
  with retention.hold(run, step) as there:
    if not there and not workdir_lib.has_begun(workdir):
      raise ValueError(
        f'{run} is deleting its checkpoint of step {step}: choose a later '
        '--step'
      )
    yield


def _run(config: Config, workdir: str) -> Config | None:
  objective = make_objective(config)
  example = check_labels(config, objective)
  with workdir_lib.claim(workdir, config):
    return _trained(config, workdir, objective, example)


def _trained(config, workdir, objective, example) -> Config | None:
  path = os.path.join(workdir, 'result.json')
  if os.path.exists(path):
    with open(path) as file:
      result = json.load(file)
    say(f'{workdir} is done: {path}')
    say(result_lib.table([result]))
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
    facts, unknown = score.facts_of(objective, label_pipeline(config), mesh)
    validated = None
    if len(config['lrs']) > 1:
      data = {**config['data'], 'max_bad': None}
      validation = pipeline.once(split='validation', **data)
      validated = score.run(
        objective, params, facts, validation, mesh, pictures=0
      )
    tests = test_pipeline(config)
    tested = score.run(objective, params, facts, tests, mesh)
  result = result_lib.summary(config, objective, unknown, validated, tested)
  if jax.process_index() == 0:
    result_lib.write_pictures(workdir, objective, result, tested)
    result_lib.write_clips(workdir, result, tested)
    files.write(path, json.dumps(result, indent=2))
  say(result_lib.table([result]))
  return result


def make_objective(config: Mapping[str, Any]) -> readout.Readout:
  """The readout objective of a resolved config."""
  names = ('',)
  if len(config['lrs']) > 1:
    names = tuple(f'lr_{lr:g}' for lr in config['lrs'])
  (source,) = config['data']['sources'].values()
  return readout.make(
    backbone=objective_lib.make(**config['model']),
    clip=[source[key] for key in ('frames', 'height', 'width')]
    if config['feature_cache']
    else (),
    tasks=config['tasks'],
    labels=names,
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
  # As many as a mesh can share out, since heads are traced as they would run.
  clips = config['data']['batch_size']
  batch = {
    key: jax.ShapeDtypeStruct((clips, *value.shape), value.dtype)
    for key, value in example.items()
  }
  init = functools.partial(objective.init, batch=batch)
  shapes = jax.eval_shape(init, jax.random.key(config['seed']))
  places = mesh_lib.params_shardings(mesh, shapes)
  params = jax.jit(
    init,
    out_shardings=places,
    compiler_options=processes.options_of_programs_run_once(),
  )(jax.random.key(config['seed']))
  if config['init_from']['path']:
    params = start_from(params, places, **config['init_from'])
  return params['backbone']


def test_pipeline(config: Mapping[str, Any]) -> pipeline.Pipeline:
  """The test split in order, of `test_sources` if there is one."""
  sources = config['test_sources'] or config['data']['sources']
  # Pictures show the video, also where its features are cached.
  keys = dict.fromkeys(('video', *config['data']['keys']))
  data = {'sources': sources, 'keys': list(keys)}
  # `score.run` drops what cannot be read, and result.json lists it.
  data['max_bad'] = None
  return pipeline.once(split='test', **{**config['data'], **data})


def label_pipeline(config: Mapping[str, Any]) -> pipeline.Pipeline:
  """The training split without its video, shuffled: lists may be sorted."""
  seen = ('video', 'features')
  keys = [key for key in config['data']['keys'] if key not in seen]
  return pipeline.make(
    split='train',
    **{**config['data'], 'shuffle': True, 'keys': keys, 'max_bad': None},
  )


def check_labels(
  config: Mapping[str, Any], objective: readout.Readout
) -> pipeline.Part:
  """The first clip that is tested, with all labels.

  Raises:
    ValueError: the source's records lack what a task needs, or no clip that
      is looked at has anything to score.
  """
  data = features.direct(config) | {'shuffle': False, 'max_bad': None}
  splits = {'validation': data} if len(config['lrs']) > 1 else {}
  if config['test_sources']:
    data |= {'sources': config['test_sources']}
  tests = pipeline.make(split='test', **data)
  try:
    example = tests.example()
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
  for split, options in {'test': data, **splits}.items():
    labels.check(objective, options, split)
  return example
