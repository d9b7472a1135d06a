"""Where the wall time of a process goes."""

import contextlib
import time
from collections.abc import Iterator


class Clock:
  """Seconds by part, of which one at a time runs.

  Attributes:
    began: when the first part did, in seconds since 1970.
    seconds: of the parts that are over.
  """

  def __init__(self, **seconds: float):
    """Begins.

    Args:
      **seconds: of parts that are over.
    """
    self.seconds: dict[str, float] = dict(seconds)
    before = sum(seconds.values())
    self.began = time.time() - before
    self._began = time.perf_counter() - before
    self._now: tuple[str, float] | None = None

  @contextlib.contextmanager
  def __call__(self, part: str) -> Iterator[None]:
    start = time.perf_counter()
    self._now = part, start
    try:
      yield
    finally:
      self._now = None
      took = time.perf_counter() - start
      self.seconds[part] = self.seconds.get(part, 0.0) + took

  def __str__(self) -> str:
    return ', '.join(f'{name} {s:.1f}' for name, s in self.seconds.items())

  def total(self) -> float:
    return sum(self.seconds.values())

  def all(self) -> dict[str, float]:
    """Of all parts so far, with 'other', which is what is of none.

    They add up to the time since the first began. Also by another thread.
    """
    # In this order: what ends meanwhile is of none, rather than there twice.
    seconds, running, at = dict(self.seconds), self._now, time.perf_counter()
    if running:
      part, start = running
      seconds[part] = seconds.get(part, 0.0) + max(0.0, at - start)
    rest = at - self._began - sum(seconds.values())
    return seconds | {'other': max(0.0, rest)}
