"""Processes that may die: work that runs unknown files through C code.

The pools of the standard library stop when one worker is killed by a signal,
and cannot stop a task that hangs. Here both are an outcome of that task.
"""

import dataclasses
import multiprocessing
import time
from collections import deque
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

from data import children


@dataclasses.dataclass(frozen=True)
class Task:
  """A call, to be made in another process."""

  function: Callable[..., Any]
  arguments: tuple[Any, ...]

  def __call__(self) -> Any:
    """Makes the call here."""
    return self.function(*self.arguments)


class Died(RuntimeError):
  """The process of a task was killed, or took too long."""


@dataclasses.dataclass
class _Worker:
  process: BaseProcess
  pipe: Connection
  task: Task | None = None
  since: float = 0.0


class Pool:
  """Runs tasks in `workers` processes, or here if there are none.

  More tasks may be added while `outcomes` is read.
  """

  def __init__(self, workers: int, limit_s: int):
    """
    Args:
      workers: processes; 0: run in this one, unprotected.
      limit_s: seconds that a task may take.
    """
    self._size = workers
    self._limit_s = limit_s
    self._queue: deque[Task] = deque()
    self._workers: list[_Worker] = []

  def add(self, task: Task, first: bool = False):
    """Queues a task, at the end or before all others."""
    if first:
      self._queue.appendleft(task)
    else:
      self._queue.append(task)

  def outcomes(self) -> Iterator[tuple[Task, Any]]:
    """Each task with what it returned, or the exception it raised."""
    try:
      while self._queue or any(worker.task for worker in self._workers):
        if self._size:
          self._assign()
          yield from self._wait()
        else:
          task = self._queue.popleft()
          yield task, _call(task)
    finally:
      for worker in self._workers:
        worker.process.kill()
        worker.process.join()

  def _assign(self):
    while self._queue:
      idle = [worker for worker in self._workers if not worker.task]
      if not idle and len(self._workers) == self._size:
        return
      worker = idle[0] if idle else self._start()
      try:
        worker.pipe.send(self._queue[0])
      except (BrokenPipeError, ConnectionResetError):
        # It died while it was idle, of which the task knows nothing.
        self._bury(worker)
        continue
      worker.task, worker.since = self._queue.popleft(), time.monotonic()

  def _start(self) -> _Worker:
    # Spawned, not forked: FFmpeg and OpenCV have threads and locks.
    context = multiprocessing.get_context('spawn')
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs,), daemon=True)
    with children.deaf():
      process.start()
    theirs.close()
    self._workers.append(_Worker(process, ours))
    return self._workers[-1]

  def _wait(self) -> Iterator[tuple[Task, Any]]:
    busy = [worker for worker in self._workers if worker.task]
    # A dead worker's pipe is ready too, and reads as the end of the file.
    # A second at most, so that a task that hangs is noticed.
    ready = wait([worker.pipe for worker in busy], timeout=1.0)
    for worker in busy:
      if worker.pipe in ready:
        yield worker.task, self._receive(worker)
      elif time.monotonic() - worker.since > self._limit_s:
        worker.process.kill()
        yield worker.task, Died(f'took more than {self._limit_s} seconds')
        self._bury(worker)

  def _receive(self, worker: _Worker) -> Any:
    try:
      outcome = worker.pipe.recv()
    except (EOFError, ConnectionResetError):
      self._bury(worker)
      return Died(f'its process died, exit code {worker.process.exitcode}')
    worker.task = None
    return outcome

  def _bury(self, worker: _Worker):
    worker.process.join()
    self._workers.remove(worker)


def _serve(pipe: Connection):
  """A worker: one task after the other, until the pipe is closed."""
  children.begin()
  while True:
    try:
      task = pipe.recv()
    except (EOFError, ConnectionResetError):
      return
    pipe.send(_call(task))


def _call(task: Task) -> Any:
  try:
    return task()
  except Exception as error:  # whatever it is, it is the task's outcome
    return error
