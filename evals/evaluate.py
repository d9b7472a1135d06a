"""What `python -m evals` does: resolve, train, choose, test, write the result.

RUN/config.json + recipe -> Job -> train.loop.run -> the learning rate on
the validation split -> the test split -> OUT/result.json, OUT/clips.npz,
OUT/pictures/<task>.png
"""

import contextlib
import dataclasses
import functools
import json
from collections.abc import Iterator, Mapping
from typing import Any

import jax

from base import files, stops
from base.console import say
from data import pipeline
from evals import labels, score
from evals import result as result_lib
from evals.features import cache
from evals.job import Job
from evals.resolve import resolve
from models.objective import Params
from train import executable, loop, optim, retention
from train import mesh as mesh_lib
from train import step as step_lib
from train import workdir as workdir_lib
from train.init_from import start_from
from train.progress import Clock, Goodput
from train.watchdog import Watchdog

_RESULT = 'result.json'


def run(
  config: Mapping[str, Any],
  *,
  checkpoint: str,
  workdir: str,
  random_init: bool = False,
  step: int = -1,
  clock: Clock | None = None,
  asked: workdir_lib.Asked = workdir_lib.GO_ON,
) -> dict[str, Any]:
  """Trains and tests readouts; goes on where `workdir` stopped.

  Args:
    config: a readout recipe's values, see `configs/readout.py`.
    checkpoint: folder of the pretraining run.
    workdir: folder of this job.
    random_init: leave the backbone as it was at initialisation: the baseline
      of the same shape.
    step: of the checkpoint; -1: the last, or that which the job began with.
    clock: holds the seconds that the start has taken so far.
    asked: of a job that has begun, beyond going on.

  Returns:
    The result, as in result.json.

  Raises:
    ValueError: something cannot work; nothing was trained.
    base.exits.Again: told to stop; what was trained is saved.
  """
  clock = clock or Clock()
  with clock('model'):
    job = resolve(
      config,
      checkpoint=checkpoint,
      random_init=random_init,
      step=step,
      workdir=workdir,
    )
  # Of one that has its result `settle` tells what may not be changed.
  if not files.exists(files.path(workdir) / _RESULT):
    train, asked = workdir_lib.extended(workdir, job.train, asked)
    job = dataclasses.replace(job, train=train)
  with _pinned(job.backbone, workdir):
    with clock('data'):
      example, tested_on = check_labels(job)
    fingerprint = {'test': tested_on}
    with workdir_lib.claim(
      *(workdir, job.train), asked=asked, fingerprint=fingerprint
    ):
      return _trained(job, workdir, example, clock, asked)


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


def _trained(
  job: Job,
  workdir: str,
  example: pipeline.Part,
  clock: Clock,
  asked: workdir_lib.Asked,
) -> dict[str, Any]:
  path = files.path(workdir) / _RESULT
  if files.exists(path):
    result = result_lib.read(workdir)
    say(f'{workdir} is done: {path}')
    say(result_lib.table([result]))
    return result

  with Goodput(workdir, clock) as goodput:
    result, tested = _tested(job, workdir, example, clock, goodput, asked)
    with clock('evaluate'):
      if jax.process_index() == 0:
        result_lib.write_pictures(workdir, job.objective, result, tested)
        result_lib.write_clips(workdir, result, tested)
        # Last: where it is, the job is done.
        files.write(path, json.dumps(result, indent=2))
    goodput.end()
  say(result_lib.table([result]))
  return result


def _tested(
  job: Job,
  workdir: str,
  example: pipeline.Part,
  clock: Clock,
  goodput: Goodput,
  asked: workdir_lib.Asked,
) -> tuple[dict[str, Any], score.Scored]:
  """Trains, chooses and tests: the result, and what it is made of."""
  mesh = mesh_lib.make(**job.train['mesh'])
  if job.cache:
    with (
      clock('features'),
      mesh_lib.use(mesh),
      Watchdog(**job.train['watchdog']) as watchdog,
    ):
      backbone = functools.partial(backbone_params, job, example, mesh)
      cache.fill(
        *(job.cache, job.clips, job.objective, backbone, mesh),
        watchdog=watchdog,
      )
  # Where it was to go back, it has.
  asked = asked._replace(back_to=-1)
  state = loop.run(
    *(job.train, job.objective, workdir),
    clock=clock,
    goodput=goodput,
    asked=asked,
  )
  stops.check()  # in the last step: what follows is not saved
  with (
    clock('evaluate'),
    mesh_lib.use(mesh),
    Watchdog(**job.train['watchdog']) as watchdog,
  ):
    is_frozen = optim.matches(job.train['step']['freeze'], state.params)
    params = step_lib.averaged(state, is_frozen)
    known = pipeline.make(split='train', **job.labels)
    facts, unknown = score.facts_of(
      job.objective, known, mesh, watchdog=watchdog
    )
    # What both splits are measured with.
    measured = functools.partial(
      *(score.run, job.objective, params, facts),
      mesh=mesh,
      watchdog=watchdog,
    )
    validated = None
    if job.validation:
      validation = pipeline.once(split='validation', **job.validation)
      validated = measured(validation, split='validation', pictures=0)
    tests = pipeline.once(split='test', **job.tests)
    tested = measured(tests, split='test')
  return result_lib.summary(job, unknown, validated, tested), tested


def backbone_params(
  job: Job, example: pipeline.Part, mesh: jax.sharding.Mesh
) -> Params:
  """The backbone's parameters as the training of the readout will see them.

  Args:
    job: whose they are.
    example: of the clips.
    mesh: where they are put.
  """
  # As many as a mesh can share out, since heads are traced as they would run.
  clips = job.clips['batch_size']
  batch = {
    key: jax.ShapeDtypeStruct((clips, *value.shape), value.dtype)
    for key, value in example.items()
  }
  init = functools.partial(job.objective.init, batch=batch)
  key = jax.random.key(job.train['seed'])
  places = mesh_lib.params_shardings(mesh, jax.eval_shape(init, key))
  params = jax.jit(
    init,
    out_shardings=places,
    compiler_options=executable.options_of_programs_run_once(),
  )(key)
  if job.train['init_from']['path']:
    params = start_from(params, places, **job.train['init_from'])
  return params['backbone']


def check_labels(job: Job) -> tuple[pipeline.Part, dict[str, str]]:
  """The first clip that is tested, with all labels; the data's fingerprint.

  Raises:
    ValueError: the source's records lack what a task needs, or no clip that
      is looked at has anything to score.
  """
  tests = pipeline.make(split='test', **job.looked_at['test'])
  try:
    example = tests.example()
  except KeyError as error:
    (lacking,) = error.args
    names = [
      name for name, task in job.objective.tasks.items() if lacking in task.keys
    ]
    raise ValueError(
      f'task {", ".join(names)} needs the record key {lacking!r}, and source '
      f'{tests.examples.labels[0]!r} has none. Choose a source with these '
      'labels, such as data=world, or another task'
    ) from None
  for split, options in job.looked_at.items():
    labels.check(job.objective, options, split)
  return example, tests.fingerprint
