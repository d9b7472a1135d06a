"""Where the wall time of a run goes."""

import contextlib
import json
import os
import time
from collections.abc import Iterator

from train.output import replace


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

  def save(self, workdir: str) -> None:
    """Adds what passed since the last call to WORKDIR/goodput.json."""
    path = os.path.join(workdir, 'goodput.json')
    total: dict[str, float] = {}
    if os.path.exists(path):
      with open(path) as file:
        total = json.load(file)
    for name, seconds in self.seconds.items():
      new = seconds - self._saved.get(name, 0.0)
      total[name] = round(total.get(name, 0.0) + new, 3)
    self._saved = dict(self.seconds)
    replace(path, json.dumps(total, indent=2))
