"""Evaluates one checkpoint: all tasks in one job, or else each in its own."""

import os
from collections.abc import Mapping
from typing import Any

import jax

from base.console import say
from data.examples import TooManyBadRecords
from evals import evaluate as evaluate_lib
from evals.resolve import resolve
from evals.watch import outcomes

Config = Mapping[str, Any]


class _Failed(Exception):
  """A job that failed in a way that another task might not.

  Attributes:
    is_wrong: whether something cannot work, rather than did not.
  """

  def __init__(self, why: str, *, is_wrong: bool):
    super().__init__(why)
    self.is_wrong = is_wrong


def evaluate(config: Config, *, run: str, workdir: str, step: int) -> None:
  """Runs the tasks of a recipe on a checkpoint: together, or else one by one.

  Raises:
    base.exits.Again: told to stop.
    ValueError: the recipe cannot work, whatever the task.
  """
  where = {'checkpoint': run, 'step': step}
  folder = os.path.join(workdir, str(step))
  job = resolve(config, **where, random_init=False, workdir=folder)
  tasks, failed = list(job.objective.tasks), {}
  # The objective is not kept while jobs make their own.
  del job
  is_wrong = True  # every job of this call that failed
  before = outcomes.errors(folder)
  if before is not None:
    failed = before['failed']
  else:
    try:
      _run(config, folder, where)
      return
    except _Failed as error:
      failed['together'], is_wrong = str(error), error.is_wrong
    if len(tasks) == 1:
      failed |= dict.fromkeys(tasks, failed['together'])
    outcomes.write_errors(folder, tasks, failed)
  for name in tasks:
    if name in failed:
      continue
    alone = {**config, 'tasks': {name: config['tasks'][name]}}
    try:
      _run(alone, outcomes.folder_of(folder, name), where)
    except _Failed as error:
      failed[name], is_wrong = str(error), is_wrong and error.is_wrong
      outcomes.write_errors(folder, tasks, failed)
  same = len(failed) > len(tasks) and len(set(failed.values())) == 1
  if same and is_wrong:
    # It is not about any of them.
    outcomes.forget_errors(folder)
    raise ValueError(f'step {step}, every task: {failed["together"]}')


def _run(config: Config, workdir: str, where: Mapping[str, Any]) -> None:
  """Runs one job.

  Raises:
    base.exits.Again: told to stop.
    _Failed: what might not happen to the tasks by themselves.
  """
  try:
    evaluate_lib.run(config, **where, workdir=workdir)
    return
  except (ValueError, FloatingPointError, TooManyBadRecords) as error:
    why, is_wrong = str(error), isinstance(error, ValueError)
  except jax.errors.JaxRuntimeError as error:
    # XLA says of what kind an error is in its first word only. Where all heads
    # together do not fit, each may by itself.
    why, is_wrong = str(error), False
    if not why.startswith('RESOURCE_EXHAUSTED'):
      raise
  # Raised here, outside of `except`: an error of the job keeps its frames, and
  # with them the arrays that fill the device.
  names = ', '.join(config['tasks'])
  say(f'step {where["step"]}, {names}: {why.splitlines()[0]}')
  raise _Failed(why, is_wrong=is_wrong)
