"""Waits for the checkpoints of a run, and takes one after another."""

import contextlib
import os
import time
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from base import files
from base.console import say
from base.names import nearest
from evals.resolve import check, read_config
from evals.watch import one_checkpoint, outcomes
from train import checkpoint, retention
from train import workdir as workdir_lib


def watch(
  config: Mapping[str, Any], *, run: str, workdir: str, poll: float
) -> None:
  """Evaluates each checkpoint of a run; returns after its last.

  Args:
    config: a readout recipe's values, see `configs/readout.py`.
    run: folder of the pretraining run; it may be about to begin.
    workdir: folder of the jobs.
    poll: seconds between looks at the run.

  Raises:
    base.exits.Again: told to stop.
    ValueError: not a pretraining run, jobs of another recipe in `workdir`, a
      recipe that works for no task, or a damaged file of a job. What needs no
      run to be known is told before one is waited for.
  """
  if poll <= 0:
    raise ValueError(f'--poll={poll} must be seconds, above 0')
  check(config)
  idle = _Idle(poll)
  while not files.exists(files.path(run) / 'config.json'):
    idle.wait(_not_begun(run))
  last = read_config(run)['steps']
  # A recipe that could not work, such as one of pretraining, keeps no other
  # out: what was computed is in the folders of the jobs.
  is_new = not outcomes.has_begun(workdir)
  workdir_lib.settle(workdir, config, name='watch.json', anew=is_new)
  retention.sweep(run)
  outcomes.write_results(workdir)
  seen = set()
  while True:
    taken, steps = False, to_do(run, workdir)
    seen.update(steps)
    note_lost(run, workdir, seen)
    for step in steps:
      with _turn(run, workdir, step) as mine:
        if not mine:
          continue
        taken = True
        say(f'{run}: evaluating step {step} of {last}')
        one_checkpoint.evaluate(config, run=run, workdir=workdir, step=step)
        outcomes.write_results(workdir)
    if not taken:
      # Not before all were looked at: an earlier one may be tried again.
      if outcomes.is_done(workdir, last):
        break
      idle.wait(f'no new checkpoint of {run}; its last will be step {last}')
  note_lost(run, workdir, seen)
  say(f'{run} is evaluated to its end, step {last}')


def _not_begun(run: str) -> str:
  """Why there is no run to watch yet.

  Raises:
    ValueError: none can begin there, so that its name must be wrong.
  """
  folder = os.path.abspath(run)
  # In an object store a run makes no folder before it writes that file.
  if os.path.isdir(folder) or not files.is_local(run):
    return f'{run} has no config.json yet, which training writes at its start'
  parent = os.path.dirname(folder)
  if os.path.exists(folder) or not os.path.isdir(parent):
    wrong = folder if os.path.exists(folder) else parent
    raise ValueError(
      f'--run={run}: {wrong} is no folder: give the --workdir of a run, which '
      'may be about to begin'
    )
  others = [
    name
    for name in os.listdir(parent)
    if os.path.exists(os.path.join(parent, name, 'config.json'))
  ]
  near = nearest(os.path.basename(folder), others)
  meant = f'; or did you mean {os.path.join(parent, near)}?' if near else ''
  return f'{run} does not exist yet: for a run to begin there{meant}'


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
    # Another process may have finished it since `to_do` looked.
    yield mine and not outcomes.is_done(workdir, step)


def to_do(run: str, workdir: str) -> list[int]:
  """Steps of checkpoints, and of jobs that were begun, without a result."""
  steps = {*checkpoint.steps(run), *outcomes.steps(workdir)}
  return [s for s in sorted(steps) if not outcomes.is_done(workdir, s)]


def note_lost(run: str, workdir: str, seen: Collection[int]) -> None:
  """Writes down which of the steps were deleted before they were evaluated."""
  lost = [
    step
    for step in sorted(set(seen).difference(checkpoint.steps(run)))
    # A job that has saved once has its own copy of the backbone.
    if not checkpoint.steps(os.path.join(workdir, str(step)))
    and not outcomes.is_done(workdir, step)
    and outcomes.write_lost(workdir, step)
  ]
  for step in lost:
    say(f'step {step} was deleted before it was its turn')
  if lost:
    outcomes.write_results(workdir)
