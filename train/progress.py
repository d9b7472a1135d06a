"""What the steps logged: read, checked and shown, without waiting for it."""

import contextlib
import json
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import numpy as np
from etils import epath

from base import files
from base.console import duration, say
from train import chips
from train.guard import Guard
from train.writer import Writer


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


class Progress:
  """Reads what steps logged, late enough that no step waits for it.

  The host may be one step ahead of the device, never more; scalars of step k
  are read when step k + 1 is under way.
  """

  def __init__(
    self,
    writer: Writer,
    clock: Clock,
    guard: Guard,
    *,
    start: int,
    steps: int,
    batch_size: int,
    flops: float,
    schedule: Callable[[int], Any],
  ):
    self._writer = writer
    self._clock = clock
    self._guard = guard
    self._steps = steps
    self._batch_size = batch_size
    self._flops = flops
    self._schedule = schedule
    self._unread: list[tuple[int, Mapping[str, jax.Array]]] = []
    self._last = (start, time.perf_counter(), dict(clock.seconds))
    self._peak = chips.peak_flops(jax.devices()[0])

  def add(self, step: int, logged: Mapping[str, jax.Array]) -> None:
    """Takes the device scalars of `step`; reports earlier ones when due."""
    self._unread.append((step, logged))
    if len(self._unread) > 1:
      jax.block_until_ready(self._unread[-2][1])
    if (step - 1) % self._writer.every == 0:
      self._read(self._unread[:-1])
      self._unread = self._unread[-1:]

  def read(self) -> None:
    """Reads and checks all that was added; waits for the device."""
    self._read(self._unread)
    self._unread = []

  def _read(self, unread):
    for step, logged in unread:
      values = {k: float(v) for k, v in jax.device_get(logged).items()}
      values = self._guard.seen(step, values)
      if step % self._writer.every == 0 or step == self._steps:
        self._report(step, values)

  def _report(self, step, values):
    values |= self._speed(step)
    values['optim/lr'] = float(self._schedule(step - 1))
    # Of an update that was left out, some may be none that JSON has.
    finite = {name: x for name, x in values.items() if np.isfinite(x)}
    self._writer.scalars(step, finite)
    rate = values['speed/clips_per_sec']
    left = (self._steps - step) * values['time/step_sec']
    mfu = values.get('speed/mfu')
    say(
      f'step {step:>{len(str(self._steps))}}/{self._steps}',
      f'loss {values["train/loss"]:.4f}',
      f'lr {values["optim/lr"]:.2e}',
      f'{rate:.{0 if rate >= 100 else 1}f} clips/s',
      f'mfu {mfu:.1%}' if mfu else '',
      f'data wait {values["time/data_wait_fraction"]:.0%}',
      f'ETA {duration(left)}',
    )

  def _speed(self, step):
    """Per-second figures since the last report, pauses left out."""
    before, then, spent = self._last
    now, clock = time.perf_counter(), dict(self._clock.seconds)
    self._last = (step, now, clock)

    def took(bucket):
      return clock.get(bucket, 0.0) - spent.get(bucket, 0.0)

    count = max(step - before, 1)
    pauses = took('evaluate') + took('save')
    seconds = max(now - then - pauses, 1e-9)
    rate = count * self._batch_size / seconds
    values = {
      'speed/clips_per_sec': rate,
      'speed/clips_per_sec_per_chip': rate / jax.device_count(),
      'time/step_sec': seconds / count,
      'time/data_wait_sec': took('data_wait') / count,
      'time/data_wait_fraction': took('data_wait') / seconds,
    }
    if self._peak:
      per_chip = self._flops * count / seconds / jax.device_count()
      values['speed/mfu'] = per_chip / self._peak
    return values
