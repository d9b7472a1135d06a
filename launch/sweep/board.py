"""How far a sweep has come: a table that changes on a terminal."""

import shutil
import time
from collections.abc import Sequence

from base import console, files
from launch.sweep.entry import Entry

# Seconds between two looks at the logs of runs: on a disk, and in an object
# store, where each is a request.
_EVERY, _EVERY_THERE = 1.0, 30.0


class Board:
  """Shows all runs, or those that run where there is no room for all."""

  def __init__(self, entries: Sequence[Entry], at_once: int):
    self._entries, self._at_once = entries, at_once
    is_here = all(files.is_local(entry.folder) for entry in entries)
    self._every = _EVERY if is_here else _EVERY_THERE
    self._shown = time.monotonic()
    self._lines = console.Board()

  def show(self) -> None:
    """Draws it anew, if it is time."""
    now = time.monotonic()
    if now - self._shown < self._every:
      return
    self._shown = now
    try:
      self._lines.show(self.headline(), self.rows())
    except OSError as error:
      # Of a store that does not answer now: runs go on without being seen.
      console.say(f'the runs cannot be looked at: {error}')

  def close(self) -> None:
    """Leaves the terminal as it was."""
    self._lines.close()

  def headline(self) -> str:
    """All of the sweep in a line."""
    entries = self._entries
    counts = {
      'running': sum(entry.is_running for entry in entries),
      'failed': sum(bool(entry.state.failed) for entry in entries),
    }
    done = sum(entry.stage is None for entry in entries)
    parts = [
      f'{done} of {len(entries)} runs done',
      *(f'{count} {what}' for what, count in counts.items() if count),
      self._left(),
    ]
    return ', '.join(part for part in parts if part)

  def _left(self) -> str:
    """By the FLOPs of training that are left, and by the readouts so far."""
    alive = [entry for entry in self._entries if not entry.state.failed]
    trained = [entry.trained() for entry in self._entries]
    flops, took = (sum(each) for each in zip(*trained))
    work = sum(entry.cost.flops * (1 - entry.share()) for entry in alive)
    if work and not flops:
      return ''  # nothing was logged yet
    seconds = work / flops * took if work else 0.0
    left = sum(len(entry.readouts_left()) for entry in alive)
    known = [
      entry.state.done[stage.name]
      for entry in self._entries
      for stage in entry.stages[1:]
      if entry.state.done.get(stage.name)
    ]
    also = ''
    if left and known:
      seconds += left * sum(known) / len(known)
    elif left:
      also = f'{left} readouts'
    said = [
      *([f'about {console.duration(seconds / self._at_once)}'] * (seconds > 0)),
      *([also] * bool(also)),
    ]
    return f'{" and ".join(said)} left' if said else ''

  def rows(self) -> list[str]:
    """A line for each run under one of names, as many as there is room for."""
    entries = list(self._entries)
    room = shutil.get_terminal_size().lines - 4
    if len(entries) > room:
      entries = [x for x in entries if x.is_running or x.held_by][:room]
    return console.table([row(entry) for entry in entries]).splitlines()


def row(entry: Entry) -> dict[str, str]:
  """A run in words."""
  stage = entry.stage or entry.stages[-1]
  logged = entry.logged()
  state = 'waits'
  if entry.state.failed:
    state = 'failed'
  elif entry.stage is None:
    state = 'done'
  elif entry.is_running:
    state = 'runs'
  elif entry.held_by:
    state = f'held by {entry.held_by}'
  return {
    'run': entry.name,
    'stage': stage.name,
    'state': state,
    'step': f'{logged.get("step", 0)} of {stage.steps}',
    'loss': f'{logged["train/loss"]:.4f}' if 'train/loss' in logged else '',
    'starts': f'{entry.state.attempts or ""}',
  }
