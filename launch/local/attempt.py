"""One start of all processes of a run, until the last of them has ended."""

import dataclasses
import os
import pathlib
import sys
import time
from collections.abc import Sequence

from base.console import duration
from launch import policy
from launch.job import JOINED, JOINS, Job
from launch.local import environment
from launch.local.child import Child
from launch.local.shares import Share
from launch.local.stop import Stop

_TICK = 0.05  # seconds between two looks at the processes
_TELL = 30.0  # seconds between two lines on what a stop waits for
_PORT_TAKEN = b'Failed to add port'


@dataclasses.dataclass(frozen=True)
class Start:
  """What is started, each time alike.

  Attributes:
    job: the command.
    shares: of each process in the machine's devices.
    logs: folder of the logs of all starts.
    grace_sec: seconds between the first failure, SIGTERM and SIGKILL.
    join_sec: seconds within which all must have joined.
  """

  job: Job
  shares: Sequence[Share]
  logs: pathlib.Path
  grace_sec: float
  join_sec: float


@dataclasses.dataclass(frozen=True)
class End:
  """How the processes of one start ended.

  Attributes:
    ended: (process, code) in the order in which they did, without those that
      were made to.
    port_taken: whether another program took the port of the processes between
      its choice and its use.
    is_killed: whether a second Ctrl-C ended them.
  """

  ended: Sequence[tuple[int, int]]
  port_taken: bool
  is_killed: bool


class Attempt:
  """The processes of one start."""

  def __init__(self, start: Start, number: int, folder: pathlib.Path):
    """Starts them.

    Args:
      start: what.
      number: of this start, from 1.
      folder: of its logs.
    """
    self._start = start
    self._began = time.monotonic()
    self._joins: set[int] = set()  # that have come
    self._has_joined = len(start.shares) == 1
    self._made_to: set[int] = set()  # end
    self._late: list[tuple[int, int]] = []
    self.children: list[Child] = []
    command = environment.command(start.job)
    places = environment.of(start.shares, number)
    try:
      for process, place in enumerate(places):
        log = folder / f'process-{process}.log'
        self.children.append(Child(process, command, place, log))
    except OSError:  # no room for one more
      self.kill()
      raise

  def wait(self, stop: Stop) -> End:
    """Shows what they say, and returns when the last of them has ended."""
    failed_at = told_at = 0.0
    stopped = False
    while True:
      # Before their last lines are read.
      running = [child for child in self.children if child.code is None]
      self._show()
      if not running:
        break
      now = time.monotonic()
      if stop.kill:
        self._kill(running)
      if stop.by and not stopped:
        stopped, told_at = True, now
        for child in running:
          child.stop()
        say(f'{stop.by}: passed on; waiting for the save; Ctrl-C kills')
      elif stop.by and now - told_at > _TELL:
        told_at = now
        say(f'{stop.by}: still waiting for {_names(running)}; Ctrl-C kills')
      failed_at = failed_at or min(
        (c.ended for c in self.children if self._has_failed(c)), default=0.0
      )
      if failed_at:
        self._end_others(running, now - failed_at)
      elif not self._has_joined and not self._late:
        self._check_join(running, now - self._began)
      time.sleep(_TICK)
    for child in self.children:
      child.close()
    return self._end(stop)

  def kill(self) -> None:
    """Leaves nothing behind, where `wait` did not come to its end."""
    for child in self.children:
      child.kill()

  def _show(self) -> None:
    for child in self.children:
      for line in child.lines():
        if JOINS.search(line):
          self._joins.add(child.number)
        self._has_joined |= bool(JOINED.search(line))
        show(f'[{child.number}] {line}')

  def _has_failed(self, child: Child) -> bool:
    return child.code is not None and not policy.is_good(child.code)

  def _end_others(self, running: Sequence[Child], waited: float) -> None:
    """Those that go on beside a failed one wait for it, perhaps for ever."""
    if waited > 2 * self._start.grace_sec or self._is_port_taken():
      self._kill(running)
    elif waited > self._start.grace_sec:
      new = [c for c in running if c.number not in self._made_to]
      for child in new:
        child.stop()
      self._made_to |= {child.number for child in new}
      if new:
        say(f'{_names(new)} went on: told to stop')

  def _is_port_taken(self) -> bool:
    """Whether process 0 could not listen where the others look for it."""
    first = self.children[0]
    if len(self.children) == 1 or not self._has_failed(first):
      return False
    with open(first.log, 'rb') as log:
      return _PORT_TAKEN in log.read(1 << 16)  # before anything else

  def _kill(self, running: Sequence[Child]) -> None:
    for child in running:
      child.kill()
    self._made_to |= {child.number for child in running}

  def _check_join(self, running: Sequence[Child], waited: float) -> None:
    """Ends all where one has not come: JAX would abort without a name."""
    # A command that is none of ours may have nobody to join.
    expected = self._start.job.joins or self._joins
    if not expected or waited < self._start.join_sec:
      return
    missing = [c for c in running if c.number not in self._joins]
    late = missing or running
    for child in late:
      last = child.last or '(it is empty)'
      say(
        f'process {child.number} has not joined after {duration(waited)}: '
        f'last line of its log: {last}  {child.log}'
      )
    self._late = [(child.number, policy.LATE) for child in late]
    self._kill(running)

  def _end(self, stop: Stop) -> End:
    in_order = sorted(self.children, key=lambda child: child.ended)
    ended = [
      (child.number, child.code)
      for child in in_order
      if child.number not in self._made_to
    ]
    return End([*ended, *self._late], self._is_port_taken(), stop.kill)


def say(line: str) -> None:
  """A line of the launcher itself."""
  show(f'[launch.local] {line}')


def show(line: str) -> None:
  """A line on stdout, if anybody reads it; the logs have it anyway."""
  try:
    print(line, flush=True)
  except OSError:  # such as after `| head`, or a terminal that is closed
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _names(children: Sequence[Child]) -> str:
  numbers = ', '.join(f'{child.number}' for child in children)
  return f'process {numbers}' if len(children) == 1 else f'processes {numbers}'
