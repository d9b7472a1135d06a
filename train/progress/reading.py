"""What the steps logged: read, checked and shown, without waiting for it."""

import time
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

from base.console import duration, say
from train import chips
from train.guard import Guard
from train.health import Health
from train.progress.clock import Clock
from train.progress.samples import Samples
from train.writer import Writer


class Progress:
  """Reads what steps logged, late enough that no step waits for it.

  The host may be one step ahead of the device, never more; scalars of step k
  are read when step k + 1 is under way.

  Attributes:
    done: the last step that the device has finished, as far as is known.
  """

  def __init__(
    self,
    writer: Writer,
    clock: Clock,
    guard: Guard,
    health: Health,
    *,
    start: int,
    steps: int,
    batch_size: int,
    flops: float,
    schedule: Callable[[int], Any],
    keys: Callable[[int], int],
  ):
    self.done = start
    self._writer = writer
    self._samples = Samples(writer.left, start, keys, batch_size=batch_size)
    self._clock = clock
    self._guard = guard
    self._health = health
    self._steps = steps
    self._batch_size = batch_size
    self._flops = flops
    # As it is, each of its operations would be compiled by itself: a second.
    self._schedule = jax.jit(schedule)
    self._unread: list[tuple[int, Mapping[str, jax.Array]]] = []
    self._last = (start, time.perf_counter(), dict(clock.seconds))
    self._peak = chips.peak_flops(jax.devices()[0])

  def add(self, step: int, logged: Mapping[str, jax.Array], keys: int) -> None:
    """Takes a step; reports earlier ones when due.

    Args:
      step: its number.
      logged: its scalars, on the device.
      keys: this process's share of what its batch holds.
    """
    self._samples.add(step, keys)
    self._unread.append((step, logged))
    if len(self._unread) > 1:
      jax.block_until_ready(self._unread[-2][1])
      self.done = step - 1
    if (step - 1) % self._writer.every == 0:
      self._read(self._unread[:-1])
      self._unread = self._unread[-1:]

  def read(self) -> None:
    """Reads and checks all that was added; waits for the device."""
    self._read(self._unread)
    if self._unread:
      self.done = self._unread[-1][0]
    self._unread = []

  def _read(self, unread):
    for step, logged in unread:
      values = {k: float(v) for k, v in jax.device_get(logged).items()}
      values = self._guard.seen(step, values)
      self._health.seen(values['optim/grad_norm'])
      self._health.read(step, self._writer.scalars)
      if step % self._writer.every == 0 or step == self._steps:
        self._report(step, values)

  def _report(self, step, values):
    values |= self._speed(step) | self._health.spikes()
    values['optim/lr'] = float(self._schedule(step - 1))
    # Of an update that was left out, some may be none that JSON has.
    finite = {name: x for name, x in values.items() if np.isfinite(x)}
    self._writer.scalars(step, finite, self._samples.line(step))
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
    # Of health what holds the host up: its compilation.
    pauses = took('evaluate') + took('save') + took('health')
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
