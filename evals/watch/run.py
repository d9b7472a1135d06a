"""The work of `evals.watch`: one checkpoint after another, task by task."""

import contextlib
import json
import os
import time
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from base import files
from base.console import say
from data.pipeline import TooManyBadRecords
from evals import evaluate as evaluate_lib
from evals.resolve import read_config, resolve
from train import checkpoint, retention
from train import workdir as workdir_lib

Config = Mapping[str, Any]


def watch(config: Config, *, run: str, workdir: str, poll: float) -> None:
  """Evaluates each checkpoint of a run; returns after its last.

  Args:
    config: a readout recipe's values, see `configs/readout.py`.
    run: folder of the pretraining run; it may be about to begin.
    workdir: folder of the jobs.
    poll: seconds between looks at the run.

  Raises:
    Stopped: by a signal.
    ValueError: not a pretraining run, jobs of another recipe in `workdir`, or
      a recipe that works for no task.
  """
  if poll <= 0:
    raise ValueError(f'--poll={poll} must be seconds, above 0')
  idle = _Idle(poll)
  while not os.path.exists(os.path.join(run, 'config.json')):
    idle.wait(f'{run} has no config.json yet')
  last = read_config(run)['steps']
  # What was computed is in the folders of the jobs.
  workdir_lib.settle(workdir, config, name='watch.json', anew=False)
  retention.sweep(run)
  write_results(workdir)
  seen = set()
  while not is_done(workdir, last):
    taken, steps = False, to_do(run, workdir)
    seen.update(steps)
    note_lost(run, workdir, seen)
    for step in steps:
      with _turn(run, workdir, step) as mine:
        if not mine:
          continue
        taken = True
        say(f'{run}: evaluating step {step} of {last}')
        evaluate(config, run=run, workdir=workdir, step=step)
        write_results(workdir)
    if not taken:
      idle.wait(f'no new checkpoint of {run}; its last will be step {last}')
  note_lost(run, workdir, seen)
  say(f'{run} is evaluated to its end, step {last}')


class _Idle:
  """Waits, and says why when the reason is a new one."""

  def __init__(self, seconds: float):
    self._seconds, self._said = seconds, ''

  def wait(self, why: str) -> None:
    if why != self._said:
      say(f'waiting: {why}')
    self._said = why
    time.sleep(self._seconds)


@contextlib.contextmanager
def _turn(run: str, workdir: str, step: int) -> Iterator[bool]:
  """Whether this process is the one to evaluate the step, and can."""
  folder = os.path.join(workdir, str(step))
  with contextlib.ExitStack() as stack:
    # A job that has saved once has its own copy of the backbone.
    there = stack.enter_context(retention.hold(run, step))
    mine = there or bool(checkpoint.steps(folder))
    # Nothing is left behind of a step that is gone.
    mine = mine and not stack.enter_context(
      files.lock(os.path.join(folder, 'lock'))
    )
    yield mine and not is_done(workdir, step)


class Stopped(Exception):
  """Told to stop before the end; the same call goes on."""


def evaluate(config: Config, *, run: str, workdir: str, step: int) -> None:
  """Runs the tasks of a recipe on a checkpoint: together, or else one by one.

  Raises:
    Stopped: by a signal.
    ValueError: the recipe cannot work, whatever the task.
  """
  where = {'checkpoint': run, 'step': step}
  folder = os.path.join(workdir, str(step))
  resolved = resolve(config, **where, random_init=False, workdir=folder)
  tasks = resolved.objective.tasks

  def attempt(config, workdir):
    try:
      if evaluate_lib.run(config, **where, workdir=workdir) is None:
        raise Stopped
    except (ValueError, FloatingPointError, TooManyBadRecords) as error:
      say(f'step {step}, {", ".join(config["tasks"])}: {error}')
      return error

  errors, error = _errors(folder), None
  if errors is None:
    error = attempt(config, folder)
    if error is None:
      return
    failed = {'together': str(error)}
    if len(tasks) == 1:
      failed |= dict.fromkeys(tasks, str(error))
    errors = {'tasks': list(tasks), 'failed': failed}
    files.write(_errors_path(folder), json.dumps(errors, indent=2))
  failed = errors['failed']
  for name in tasks:
    if name in failed:
      continue
    alone = {**config, 'tasks': {name: config['tasks'][name]}}
    error = attempt(alone, f'{folder}-{name}')
    if error is not None:
      failed[name] = str(error)
      files.write(_errors_path(folder), json.dumps(errors, indent=2))
  same = len(failed) > len(tasks) and len(set(failed.values())) == 1
  if same and isinstance(error, ValueError):
    # It is not about any of them.
    os.remove(_errors_path(folder))
    raise ValueError(f'step {step}, every task: {failed["together"]}')


def to_do(run: str, workdir: str) -> list[int]:
  """Steps of checkpoints, and of jobs that were begun, without a result."""
  steps = {*checkpoint.steps(run), *_steps(workdir)}
  return [step for step in sorted(steps) if not is_done(workdir, step)]


def is_done(workdir: str, step: int) -> bool:
  """Whether each task of the step has a result or an error."""
  folder = os.path.join(workdir, str(step))
  if os.path.exists(_result_path(folder)):
    return True
  errors = _errors(folder)
  return errors is not None and all(
    name in errors['failed'] or os.path.exists(_result_path(f'{folder}-{name}'))
    for name in errors['tasks']
  )


def note_lost(run: str, workdir: str, seen: Collection[int]) -> None:
  """Writes down which of the steps were deleted before they were evaluated."""
  there, lost = checkpoint.steps(run), []
  for step in sorted(set(seen).difference(there)):
    folder = os.path.join(workdir, str(step))
    # A job that has saved once has its own copy of the backbone.
    if checkpoint.steps(folder) or is_done(workdir, step):
      continue
    if not os.path.exists(_lost_path(folder)):
      say(f'step {step} was deleted before it was its turn')
      lost.append(step)
      files.write(_lost_path(folder), json.dumps({'time': time.time()}))
  if lost:
    write_results(workdir)


def failures(workdir: str) -> dict[str, dict[str, str]]:
  """{step: {task: error}} of all steps."""
  found = {}
  for step in _steps(workdir):
    errors = _errors(os.path.join(workdir, str(step)))
    if errors is not None:
      found[str(step)] = errors['failed']
  return found


def write_results(workdir: str) -> None:
  """WORKDIR/results.jsonl: a line per evaluated step and task.

  Of a step that was deleted before, a line with an `error` in place of scores.
  Written anew from the jobs' results each time, so that no line can be
  missing, torn or there twice, whenever a process is killed.
  """
  lines = []
  for step in sorted({*_steps(workdir), *_lost(workdir)}):
    folder = os.path.join(workdir, str(step))
    if os.path.exists(_lost_path(folder)) and not is_done(workdir, step):
      line = {'step': step, 'error': 'deleted before it was its turn'}
      lines.append(json.dumps(line) + '\n')
    paths = [_result_path(folder)]
    if not os.path.exists(paths[0]):
      tasks = (_errors(folder) or {'tasks': []})['tasks']
      paths = [_result_path(f'{folder}-{name}') for name in tasks]
    for path in filter(os.path.exists, paths):
      with open(path) as file:
        result = json.load(file)
      for task, found in result['tasks'].items():
        line = {
          'step': step,
          'task': task,
          **{key: result[key] for key in ('source', 'split', 'seed')},
          **{key: found[key] for key in ('metrics', 'trivial', 'lr', 'clips')},
        }
        lines.append(json.dumps(line) + '\n')
  files.write(os.path.join(workdir, 'results.jsonl'), ''.join(lines))


def _steps(workdir: str) -> list[int]:
  return sorted(int(name) for name in os.listdir(workdir) if name.isdigit())


def _lost(workdir: str) -> list[int]:
  """Steps that were deleted before they were evaluated."""
  names = [os.path.splitext(name) for name in os.listdir(workdir)]
  return [int(name) for name, end in names if end == '.deleted']


def _lost_path(folder: str) -> str:
  return f'{folder}.deleted'


def _result_path(folder: str) -> str:
  return os.path.join(folder, 'result.json')


def _errors_path(folder: str) -> str:
  return os.path.join(folder, 'errors.json')


def _errors(folder: str) -> dict[str, Any] | None:
  """What failed in a step's job; None: nothing yet."""
  if not os.path.exists(_errors_path(folder)):
    return None
  with open(_errors_path(folder)) as file:
    return json.load(file)
