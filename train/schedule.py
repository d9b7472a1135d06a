"""Learning rates over a run, as shares of its steps; and of one trained longer.

Each is a function of the step alone, so that a run that goes on, or leaves an
update out, has the rate that it would have had.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
import optax

from base.names import choose

Rate = Callable[[Any], Any]
_ENDING = ('cosine', 'linear')  # schedules that end at `final_lr`
# What the rate does from the step on at which a run is given more steps.
LONGER = ('constant', 'rewarm', 'same')


def make(
  *,
  steps: int,
  lr: float,
  schedule: str,
  warmup_fraction: float,
  final_lr: float,
  extensions: Sequence[Sequence[Any]],
) -> Rate:
  """The rate of a run: step -> learning rate.

  Args:
    steps: of the whole run: where the schedule ends.
    lr: peak learning rate.
    schedule: after warm-up: 'cosine' or 'linear' to `final_lr` at `steps`,
      'rsqrt' (inverse square root), or 'constant'.
    warmup_fraction: of the steps, rounded down: linear from 0 to `lr`.
    final_lr: where cosine and linear end; 0 for the others.
    extensions: (step, steps so far, 'constant' or 'rewarm') of each time that
      the run was given more: from that step on the rate stays as it is there,
      or rises to `lr` again over `warmup_fraction` of what is left, and ends
      as `schedule` does.

  Raises:
    ValueError: an unknown schedule or way to train longer, or a number out of
      range.
  """
  if not 0 <= warmup_fraction < 1:
    raise ValueError(
      f'optim.warmup_fraction={warmup_fraction} must be at least 0 and below 1'
    )
  ends = [*(before for _, before, _ in extensions), steps]

  def part(first, end, low):
    # Of what is a whole number but for rounding, that number.
    warmup = int(warmup_fraction * (end - first) + 1e-6)
    return _part(
      schedule, low, lr=lr, steps=end - first, warmup=warmup, final_lr=final_lr
    )

  rate = part(0, ends[0], 0.0)
  for (step, before, how), end in zip(extensions, ends[1:]):
    choose('optim.extensions', how, ('constant', 'rewarm'))
    if not 0 < step <= before < end:
      raise ValueError(
        f'optim.extensions={extensions}: step {step} must be within the '
        f'{before} steps so far, and those below the next, {end}'
      )
    there = float(rate(step))
    if how == 'constant' and not there:
      raise ValueError(
        f'--longer=constant: the learning rate of step {step} is 0, from which '
        'nothing is learned: choose --longer=rewarm'
      )
    after = (
      optax.constant_schedule(there)
      if how == 'constant'
      else part(step, end, there)
    )
    rate = optax.join_schedules([rate, after], [step])
  return rate


def check_same(
  before: Mapping[str, Any], now: Mapping[str, Any], steps: int
) -> None:
  """Whether two schedules are one in the first steps.

  Args:
    before: options of `make`.
    now: the others.
    steps: how many.

  Raises:
    ValueError: they are not.
  """
  at = np.arange(steps)
  old, new = (
    np.broadcast_to(np.asarray(make(**each)(at)), at.shape)
    for each in (before, now)
  )
  other = np.flatnonzero(~np.isclose(old, new, rtol=1e-5, atol=0))
  if other.size:
    first = other[0]
    raise ValueError(
      f'--longer=same: with steps={now["steps"]} from the start the learning '
      f'rate would not be the same, first at step {first}: {old[first]:.3g} '
      f'with {before["steps"]}, {new[first]:.3g} with {now["steps"]}. Choose '
      '--longer=constant or --longer=rewarm'
    )


def _part(
  schedule: str,
  low: float,
  *,
  lr: float,
  steps: int,
  warmup: int,
  final_lr: float,
) -> Rate:
  """Linear warm-up from `low` to `lr`, then `schedule`; step -> rate."""
  # Without warm-up the inverse square root begins at step 1.
  rest, knee = steps - warmup, max(warmup, 1)
  after = {
    # optax wants the end as a share of the peak.
    'cosine': lambda: optax.cosine_decay_schedule(lr, rest, final_lr / lr),
    'linear': lambda: optax.linear_schedule(lr, final_lr, rest),
    'rsqrt': lambda: (
      lambda count: lr * jnp.sqrt(knee / jnp.maximum(count + warmup, 1))
    ),
    'constant': lambda: optax.constant_schedule(lr),
  }
  choose('optim.schedule', schedule, after)
  if final_lr and schedule not in _ENDING:
    raise ValueError(
      f'optim.final_lr={final_lr:g}: {schedule!r} does not end anywhere; set '
      f'it to 0, or choose optim.schedule from {", ".join(_ENDING)}'
    )
  # Also of NaN, which is not above anything.
  if not lr > 0:
    raise ValueError(f'optim.lr={lr} must be above 0')
  if not warmup:
    return after[schedule]()
  rise = optax.linear_schedule(low, lr, warmup)
  return optax.join_schedules([rise, after[schedule]()], [warmup])
