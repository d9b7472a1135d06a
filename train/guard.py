"""Numbers that went bad: updates that were left out, states not to be saved."""

import collections
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from base.console import say
from train import optim
from train.step import IS_SKIPPED, State

_REMEDY = (
  'Run the same command with a lower learning rate or --config.optim.clip_norm '
  'and --allow=optim, or leave batches out with --config.step.skip=STEP,... '
  '--allow=step.skip; --back_to=STEP goes back to an earlier checkpoint'
)


class Guard:
  """Counts the updates that were left out, and ends a run of too many."""

  def __init__(
    self,
    tell: Callable[[Mapping[str, Any]], None],
    records: Callable[[int], Mapping[str, Sequence[int]]],
    skip: Sequence[int],
    *,
    most: int,
    within: int,
  ):
    """Begins to count.

    Args:
      tell: is given a report of each, for people.
      records: number of a batch, from 0 -> of each source, what it is of.
      skip: steps that are left out because the config says so, not counted.
      most: the run stops when more than so many were left out,
      within: so many steps, of this start.

    Raises:
      ValueError: less than none, or of no steps.
    """
    if most < 0 or within < 1:
      raise ValueError(
        f'config.skips: most={most} must be at least 0, within={within} at '
        'least 1'
      )
    self._tell, self._records = tell, records
    self._asked = frozenset(skip)
    self._most, self._within = most, within
    self._steps: collections.deque[int] = collections.deque()
    self._is_skipping = False

  def seen(self, step: int, logged: Mapping[str, float]) -> dict[str, float]:
    """What a step logged, without the mark of an update that was left out.

    Raises:
      FloatingPointError: too many were.
    """
    values = dict(logged)
    self._is_skipping = bool(values.pop(IS_SKIPPED))
    if not self._is_skipping:
      return values
    asked = step in self._asked
    why = 'config.step.skip has it' if asked else reason(values)
    say(f'step {step}: the update is left out, since {why}')
    self._tell({'step': step, 'why': why, 'records': self._records(step - 1)})
    if not asked:
      self._count(step, why)
    return values

  def _count(self, step, why):
    self._steps.append(step)
    while self._steps[0] <= step - self._within:
      self._steps.popleft()
    count = len(self._steps)
    if count > self._most:
      raise FloatingPointError(
        f'step {step}: {why}; {count} of the last {self._within} updates were '
        f'left out, more than config.skips.most={self._most}: skipped.jsonl in '
        f'the folder of the run names their steps and records. {_REMEDY}'
      )

  def passes(self, state: State, step: int) -> bool:
    """Whether to save a state, of which all steps were `seen`.

    Not where the last update was left out: if all that follow are, no state
    from which the run can go on is to make room for one from which it cannot.

    Raises:
      FloatingPointError: parameters, moments or average are not finite.
    """
    bad = not_finite(state)
    if bad:
      total, first = sum(bad.values()), next(iter(bad))
      raise FloatingPointError(
        f'step {step}: {total:.0f} numbers of the state are not finite, in '
        f'{first!r}'
        + (f' and {len(bad) - 1} more arrays' if bad.keys() - {first} else '')
        + f'; it is not saved. {_REMEDY}'
      )
    return not self._is_skipping


def reason(logged: Mapping[str, Any]) -> str:
  """Why an update was left out; names the first bad group of parameters.

  Args:
    logged: by `train.step`, on the host.
  """
  loss, norm = logged['train/loss'], logged['optim/grad_norm']
  if np.isfinite(loss) and np.isfinite(norm):
    return f'the gradient norm {norm:.3g} is an outlier (config.step.outlier)'
  prefix = 'optim/grad_norm/'
  groups = [
    name.removeprefix(prefix)
    for name, value in logged.items()
    if name.startswith(prefix) and not np.isfinite(value)
  ]
  where = (
    f'the gradient is not finite in {groups[0]!r}'
    + (f' and {len(groups) - 1} more groups' if groups[1:] else '')
    if groups
    else f'the gradient norm is {norm}'
  )
  return f'the loss is {float(loss)} and {where}'


def not_finite(state: State) -> dict[str, float]:
  """{path: how many} of the numbers of a state that are not finite."""
  parts = {
    'params': state.params,
    'opt_state': state.opt_state,
    'ema': state.ema,
  }
  leaves = {
    optim.path_name(path): leaf
    for path, leaf in jax.tree_util.tree_leaves_with_path(parts)
    if jnp.issubdtype(leaf.dtype, jnp.inexact)
  }
  counts = jax.device_get(_counts(list(leaves.values())))
  return {name: float(n) for name, n in zip(leaves, counts) if n}


@jax.jit
def _counts(leaves):
  # In float32, which does not wrap round where an array has 2**32 numbers.
  return jnp.stack(
    [jnp.sum(~jnp.isfinite(leaf), dtype=jnp.float32) for leaf in leaves]
  )
