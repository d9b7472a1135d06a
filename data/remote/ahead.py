"""Brings the files of coming steps to this machine, while others compute."""

import contextlib
import queue
import threading
from collections.abc import Callable, Iterable, Iterator

from base import exits
from data.remote.path import Path, Remote

_THREADS = 8  # files that come at once
_STEPS = 64  # ahead, at most
_SHARE = 0.5  # of the limit of copies, that files of coming steps may have


class Ahead:
  """Threads that go before who reads steps; what they do changes no result.

  A file that cannot be had is left to who needs it, and tells. None of the
  threads keeps the process from ending.
  """

  def __init__(self, needs: Callable[[int], Iterable[Path]], start: int):
    """Starts.

    Args:
      needs: files of a step.
      start: the first one.
    """
    self._needs, self._now = needs, start
    self._changed = threading.Condition()
    self._is_closed = False
    # Of files that steps from now on need: the last of these, and bytes.
    self._wanted: dict[Remote, tuple[int, int]] = {}
    self._queue: queue.SimpleQueue[Remote | None] = queue.SimpleQueue()
    for work in (self._plan, *_THREADS * [self._fetch]):
      threading.Thread(target=work, name='ahead', daemon=True).start()

  def reached(self, step: int) -> None:
    """Says that a step was read."""
    with self._changed:
      self._now = step + 1
      self._changed.notify()

  def close(self) -> None:
    """Ends it; a file that is coming is left to come."""
    with self._changed:
      self._is_closed = True
      self._changed.notify()

  def _plan(self) -> None:
    for step in self._steps():
      with contextlib.suppress(OSError, exits.Unavailable):
        for file in self._needs(step):
          if isinstance(file, Remote):
            self._want(file, step)
    for _ in range(_THREADS):
      self._queue.put(None)

  def _steps(self) -> Iterator[int]:
    step = self._now
    while True:
      with self._changed:
        while not self._is_closed and self._is_full(step):
          self._changed.wait()
        if self._is_closed:
          return
        step = max(step, self._now)
      yield step
      step += 1

  def _is_full(self, step: int) -> bool:
    passed = [f for f, (last, _) in self._wanted.items() if last < self._now]
    for file in passed:
      del self._wanted[file]
    if not self._wanted:
      return step >= self._now + _STEPS
    limit = _SHARE * 1e9 * next(iter(self._wanted)).cache.gb
    total = sum(size for _, size in self._wanted.values())
    return step >= self._now + _STEPS or total > limit

  def _want(self, file: Remote, step: int) -> None:
    if file not in self._wanted:
      self._queue.put(file)
    self._wanted[file] = step, file.stat().st_size

  def _fetch(self) -> None:
    while (file := self._queue.get()) is not None:
      if not self._is_closed:
        with contextlib.suppress(OSError, exits.Unavailable):
          file.fetch()
