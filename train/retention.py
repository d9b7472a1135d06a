"""Pins: a checkpoint that another process reads is not deleted under it.

A reader writes RUN/pins/<step>.<host>.<pid>.<n>.json, where n counts what its
process has pinned, and renews the time in it for as long as it reads; the run
asks here before it deletes. Each writes before it looks: the reader its pin
before RUN/pins/doomed.json, the run that list before the pins. So one of them
sees the other, whoever comes first and however long the run takes from the
decision to the deletion.
"""

import contextlib
import itertools
import json
import os
import socket
import threading
import time
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import jax
import orbax.checkpoint as ocp
from etils import epath

from base import files, jsons
from base.console import say
from train import workdir

STALE = 300.0  # seconds without renewal after which a pin's owner is dead
_NUMBERS = itertools.count()  # a process may hold a step twice


@contextlib.contextmanager
def hold(run: str, step: int, *, every: float = 30.0) -> Iterator[bool]:
  """Pins the checkpoint of `step`; yields whether it is there to stay.

  Where nothing can be written, in another user's run, it says so and does
  without.

  Args:
    run: folder of the run.
    step: of the checkpoint.
    every: seconds between renewals.
  """
  owner = f'{socket.gethostname()}.{os.getpid()}.{next(_NUMBERS)}'
  path = _folder(run) / f'{step}.{owner}.json'
  stop = threading.Event()

  def renew():
    while not stop.wait(every):
      try:
        _write(path)
      except OSError as error:
        say(f'cannot renew {path}: {error}')

  thread = threading.Thread(target=renew, name='pin', daemon=True)
  try:
    files.make_parents(path)
    _write(path)
  except OSError as error:
    say(f'cannot pin step {step} of {run}, which may delete it: {error}')
    stop.set()
  thread.start()
  try:
    folder = files.path(run) / 'checkpoints' / str(step)
    yield step not in _doomed(run) and workdir.is_whole(folder)
  finally:
    stop.set()
    thread.join()
    with contextlib.suppress(NotADirectoryError):
      files.remove(path)


def pinned(run: str) -> set[int]:
  """Steps of the run's checkpoints that someone reads."""
  return {step for step, _, age in _pins(run) if age < STALE}


def sweep(run: str) -> None:
  """Removes the pins of dead readers."""
  for _, path, age in _pins(run):
    if age >= STALE:
      files.remove(path)


class Retention:
  """Orbax's policy: the last checkpoints stay, every nth, and pinned ones."""

  def __init__(self, run: str, *, keep: int, keep_every: int | None):
    """Keeps as `train.checkpoint.Checkpoints` says."""
    policies = [ocp.checkpoint_managers.LatestN(keep)]
    if keep_every:
      policies.append(ocp.checkpoint_managers.EveryNSteps(keep_every))
    self._policy = ocp.checkpoint_managers.AnyPreservationPolicy(policies)
    self._run, self._announced = run, None
    self._thread = ThreadPoolExecutor(1, 'retention')
    self._asked: Future | None = None

  def should_preserve(
    self,
    checkpoints: Sequence[Any],
    *,
    context: ocp.checkpoint_managers.PreservationContext,
  ) -> list[bool]:
    """Which of them stay; Orbax asks when it starts to write another.

    The loop waits here. An object store is asked for pins by a thread, whose
    answer counts at the next save: until then one more stays.

    Args:
      checkpoints: Orbax's facts of each, among them its `step`.
      context: of Orbax; nothing is in it.
    """
    stays = self._policy.should_preserve(checkpoints, context=context)
    steps = [checkpoint.step for checkpoint in checkpoints]
    spare = {step for step, stay in zip(steps, stays) if not stay}
    if files.is_local(self._run):
      spare = self._not_pinned(spare)
    elif jax.process_index() == 0:  # it alone deletes
      before = self._answer()
      self._asked = self._asked or self._thread.submit(self._not_pinned, spare)
      spare = spare & before  # the thread has its own
    return [step not in spare for step in steps]

  def _answer(self) -> set[int]:
    """Steps of the last save that nobody reads; none until that is known."""
    if self._asked is None or not self._asked.done():
      return set()
    asked, self._asked = self._asked, None
    try:
      return asked.result()
    except OSError as error:
      say(f'no checkpoint is deleted this time: {error}')
      return set()

  def close(self) -> None:
    """Waits for the thread."""
    self._thread.shutdown()

  def _not_pinned(self, spare: set[int]) -> set[int]:
    self._announce(spare)
    spare = spare - pinned(self._run)
    self._announce(spare)
    return spare

  def _announce(self, steps: Collection[int]) -> None:
    text = json.dumps(sorted(steps))
    # It alone deletes.
    if jax.process_index() == 0 and text != self._announced:
      files.make_parents(_doomed_path(self._run))
      files.write(_doomed_path(self._run), text)
      self._announced = text


def _folder(run: str) -> epath.Path:
  return files.path(run) / 'pins'


def _write(path: epath.Path) -> None:
  files.write(path, json.dumps({'time': time.time()}))


def _pins(run: str) -> Iterator[tuple[int, epath.Path, float]]:
  """(step, path, seconds since it was renewed) of each pin."""
  folder = _folder(run)
  for name in files.names(folder):
    step, *_, end = name.split('.')
    if step.isdigit() and end == 'json':
      with contextlib.suppress(FileNotFoundError):  # just removed
        yield int(step), folder / name, time.time() - _renewed(folder / name)


def _renewed(path: epath.Path) -> float:
  """When a pin was last written."""
  if files.is_local(path):
    return os.stat(path).st_mtime
  # No clock but those of who write there, which agree within minutes.
  remedy = 'remove it, once its reader has ended'
  return jsons.read(path, {'time': float}, remedy)['time']


def _doomed_path(run: str) -> epath.Path:
  return _folder(run) / 'doomed.json'


def _doomed(run: str) -> list[int]:
  """Steps that the run has decided to delete, or is deciding about."""
  try:
    return jsons.read(
      _doomed_path(run), list, 'remove it: the run writes it again'
    )
  except (FileNotFoundError, NotADirectoryError):
    return []
