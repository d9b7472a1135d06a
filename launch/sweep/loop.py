"""Starts the runs of a sweep, follows them, and starts them again.

Up to N at a time, in the order in which the sweep yields them; each stage of a
run is a job of the backend. Who is run when, where there is a queue, is the
queue's business.
"""

import time
from collections.abc import Sequence

from base import console, exits, files
from launch.local.stop import Stop
from launch.sweep import board as board_lib
from launch.sweep.backends import Backend, End
from launch.sweep.backends import local as local_lib
from launch.sweep.entry import Entry
from launch.sweep.stages import Stage

_TELL = 30.0  # seconds between two lines on what a stop waits for


def follow(
  entries: Sequence[Entry],
  backend: Backend,
  *,
  at_once: int,
  max_restarts: int,
  claim: str = '',
  shown: Sequence[Entry] = (),
) -> None:
  """Returns when nothing is left to start, and nothing runs.

  Args:
    entries: the runs.
    backend: where they run.
    at_once: how many.
    max_restarts: crashes of a stage after which it is started again.
    claim: that this sweep holds, if any.
    shown: all runs of the sweep, where `entries` are those that come first.

  Raises:
    exits.Again: told to stop; the same command goes on.
    RuntimeError: another process has taken the claim.
    KeyboardInterrupt: told to a second time, not to wait.
  """
  for entry in entries:
    _take_up(entry, backend)
  board = board_lib.Board(shown or entries, at_once)
  try:
    with Stop() as stop:
      _follow(entries, backend, stop, board, at_once, max_restarts, claim)
  finally:
    board.close()
    backend.close()


def _take_up(entry: Entry, backend: Backend) -> None:
  """What an earlier sweep has left of a run: done, running, or neither."""
  state = entry.state
  if not state.attempts:
    return
  stage = entry.stage
  entry.look()
  if state.job and stage is not entry.stage:
    # It ended while nobody looked: its machines may be rented still.
    told = _let_go(entry, stage, backend) if backend.stays else ''
    console.say(f'{entry.name}: {stage.name} is done', told)
    state.job = {}
    entry.note()
  if entry.is_over:
    return
  job = backend.find(
    entry.stage, name=entry.name, job=state.job, attempt=state.attempts
  )
  if job:
    entry.runs(job)
  elif state.job:
    state.job = {}
    entry.note()


def _polled(entry: Entry, backend: Backend) -> End | None:
  """How its job ended, as far as one can tell."""
  try:
    return backend.poll(entry.state.job)
  except ValueError as error:
    # Of a service that does not answer now: its jobs go on.
    if not backend.stays:
      raise
    if entry.unseen != str(error):
      console.say(f'{entry.name}: {error}; it is asked again')
    entry.unseen = str(error)
    return None


def _let_go(entry: Entry, stage: Stage, backend: Backend) -> str:
  try:
    return backend.end(stage, name=entry.name)
  except ValueError as error:
    return f'its machines may cost: {error}'


def _follow(entries, backend, stop, board, at_once, max_restarts, claim):
  told, told_at = False, 0.0
  while True:
    files.check_lock(claim)
    running = [entry for entry in entries if entry.is_running]
    for entry in running:
      end = _polled(entry, backend)
      if end is not None:
        said = entry.ended(
          end,
          max_restarts=max_restarts,
          stopping=bool(stop.by),
          elsewhere=backend.stays,
        )
        console.say(f'{entry.name}: {said}')
    running = [entry for entry in running if entry.is_running]
    if stop.kill:
      for entry in running:
        if not backend.stays:
          backend.stop(entry.state.job, now=True)
      raise KeyboardInterrupt
    if stop.by:
      if not running or backend.stays:
        raise exits.Again(_stopped(stop.by, running))
      if not told:
        told = True
        for entry in running:
          backend.stop(entry.state.job)
      if time.monotonic() - told_at > _TELL:
        told_at = time.monotonic()
        names = ', '.join(entry.name for entry in running)
        console.say(f'{stop.by}: {names} save; Ctrl-C kills')
    else:
      _start(entries, backend, at_once - len(running))
      if all(entry.is_over and not entry.is_running for entry in entries):
        return
    board.show()
    time.sleep(backend.poll_sec)


def _start(entries: Sequence[Entry], backend: Backend, places: int) -> None:
  """Starts what may be, in as many places."""
  for entry in entries:
    if places <= 0:
      return
    if entry.is_over or entry.is_running:
      continue
    if time.monotonic() < entry.not_before:
      continue
    awaited = entry.awaited()
    failed = [each.name for each in awaited if each.state.failed]
    if failed:
      entry.fails(
        f'not started, since it starts from {failed[0]}, which failed'
      )
      console.say(f'{entry.name}: {entry.state.failed}')
    if awaited:
      continue
    # A launcher elsewhere finds out by itself.
    if not backend.stays and _is_held(entry):
      continue
    stage = entry.stage
    try:
      job = backend.start(stage, name=entry.name, attempt=entry.starts())
    except ValueError as error:
      entry.fails(f'{stage.name}: {error}')
      console.say(f'{entry.name}: failed: {entry.state.failed}')
      continue
    entry.runs(job)
    console.say(f'{entry.name}: {stage.name}, start {entry.state.attempts}')
    places -= 1


def _is_held(entry: Entry) -> bool:
  """Whether another process is at its folder; until then it has to wait."""
  held_by = local_lib.holder(entry.stage)
  if held_by and not entry.held_by:
    console.say(f'{entry.name}: {held_by} is at it, and is waited for')
  is_free = entry.held_by and not held_by
  entry.held_by = held_by
  if is_free:
    entry.look()
  return bool(held_by) or entry.stage is None


def _stopped(by: str, running: Sequence[Entry]) -> str:
  if running:
    names = ', '.join(entry.name for entry in running)
    return f'{by}: {names} go on; the same command follows them, --stop ends it'
  return f'stopped by {by}: the same command goes on'
