"""Where the wall time of a run goes."""

import contextlib
import json
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
from etils import epath

from base import files
from base.console import say


class Clock:
  """Where the wall time goes, in named buckets."""

  def __init__(self, **seconds: float):
    self.seconds: dict[str, float] = dict(seconds)
    self._saved: dict[str, float] = {}

  @contextlib.contextmanager
  def __call__(self, bucket: str) -> Iterator[None]:
    start = time.perf_counter()
    try:
      yield
    finally:
      took = time.perf_counter() - start
      self.seconds[bucket] = self.seconds.get(bucket, 0.0) + took

  def __str__(self) -> str:
    return ', '.join(f'{name} {s:.1f}' for name, s in self.seconds.items())

  def total(self) -> float:
    return sum(self.seconds.values())

  def save(self, workdir: str, *, by: Callable[..., Any] | None = None) -> None:
    """Adds what passed since the last call to WORKDIR/goodput.json.

    In the first process only, whose sums they are. A damaged file is begun
    anew, and that is said.

    Args:
      workdir: the run's folder.
      by: is given the function that reads and writes, and its arguments, to
        call it later; None: now.
    """
    if jax.process_index():
      return
    new = {
      name: seconds - self._saved.get(name, 0.0)
      for name, seconds in self.seconds.items()
    }
    self._saved = dict(self.seconds)
    path = files.path(workdir) / 'goodput.json'
    if by is None:
      _add_seconds(path, new)
    else:
      by(_add_seconds, path, new)


def _add_seconds(path: epath.Path, new: Mapping[str, float]) -> None:
  total = _seconds_in(path)
  for name, seconds in new.items():
    total[name] = round(total.get(name, 0.0) + seconds, 3)
  files.write(path, json.dumps(total, indent=2))


def _seconds_in(path: epath.Path) -> dict[str, float]:
  """What a goodput.json holds; nothing where there is none, or a broken one."""
  try:
    found = files.read_json(path, dict, 'its sums begin anew')
    wrong = [
      name for name, x in found.items() if not isinstance(x, int | float)
    ]
    if wrong:
      raise ValueError(f'{path}: {wrong} are no seconds; its sums begin anew')
  except FileNotFoundError:
    return {}
  except ValueError as error:
    say(str(error))
    return {}
  return found
