"""What must hold for a run to start and to go on."""

import contextlib
import fcntl
import json
import os
import signal
import threading
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import numpy as np

from train.output import replace, say

# Config keys that may change between the starts of one run: they decide where,
# how it is watched and what it survives, not what it computes.
NEUTRAL = (
  *('checkpoint', 'compile', 'eval', 'log', 'mesh'),
  *('data.workers', 'data.max_bad'),
)
# {folder: open lock} of what this process claimed last.
_LOCKED: dict[str, int] = {}


class StopRequest:
  """Ctrl-C or SIGTERM: the loop saves at the end of the step, then stops.

  A second Ctrl-C stops at once. A context manager. Signals are taken in the
  main thread of a single process only: on a pod, JAX's own service watches
  for SIGTERM.
  """

  def __init__(self):
    self._event = threading.Event()
    self._previous = {}

  def __enter__(self) -> 'StopRequest':
    main = threading.current_thread() is threading.main_thread()
    if main and jax.process_count() == 1:
      for number in (signal.SIGINT, signal.SIGTERM):
        self._previous[number] = signal.signal(number, self._on_signal)
    return self

  def __exit__(self, *unused) -> None:
    for number, handler in self._previous.items():
      signal.signal(number, handler)

  def _on_signal(self, number, frame) -> None:
    del frame
    if self._event.is_set() and number == signal.SIGINT:
      raise KeyboardInterrupt
    name = signal.Signals(number).name
    print(f'{name}: saving after this step', flush=True)
    self._event.set()

  def requested(self, step: int) -> bool:
    """Whether all processes should stop after `step`."""
    if jax.process_count() == 1:
      return self._event.is_set()
    # A pod's scheduler signals its hosts at different moments; JAX's service
    # makes them agree on one step.
    from jax.experimental import multihost_utils

    return multihost_utils.reached_preemption_sync_point(step)


def check_finite(step: int, metrics: Mapping[str, Any]) -> None:
  """Raises FloatingPointError that names the first bad parameter group.

  Args:
    step: whose metrics they are.
    metrics: of `train.step`, on the host.
  """
  loss, norm = metrics['train/loss'], metrics['optim/grad_norm']
  if np.isfinite(loss) and np.isfinite(norm):
    return
  prefix = 'optim/grad_norm/'
  groups = [
    name.removeprefix(prefix)
    for name, value in metrics.items()
    if name.startswith(prefix) and not np.isfinite(value)
  ]
  where = (
    f'the gradient is not finite in {groups[0]!r}'
    + (f' and {len(groups) - 1} more groups' if groups[1:] else '')
    if groups
    else 'all gradients are finite'
  )
  raise FloatingPointError(
    f'step {step}: loss is {float(loss)}, {where}. Nothing after the last '
    'checkpoint was saved: lower optim.lr, set optim.clip_norm, or look at '
    'the batch of this step, then run the same command.'
  )


def has_begun(workdir: str) -> bool:
  """Whether a run's folder holds what it computed: a checkpoint or a result."""
  folder = os.path.join(workdir, 'checkpoints')
  saved = os.listdir(folder) if os.path.isdir(folder) else []
  result = os.path.join(workdir, 'result.json')
  return any(name.isdigit() for name in saved) or os.path.exists(result)


def claim_workdir(
  workdir: str,
  config: Mapping[str, Any],
  *,
  name: str = 'config.json',
  anew: bool = True,
) -> None:
  """Writes the resolved config into a new run's folder, as its file `name`.

  Args:
    workdir: the folder.
    config: resolved.
    name: of the file.
    anew: whether another config may take the folder where nothing was computed
      yet, such as after an option that cannot work.

  Raises:
    ValueError: the folder belongs to a run of another config.
  """
  os.makedirs(workdir, exist_ok=True)
  alone = _lock(workdir)
  path = os.path.join(workdir, name)
  if os.path.exists(path):
    with open(path) as file:
      before = flatten(json.load(file))
    now = flatten(json.loads(json.dumps(config)))
    changed = [
      f'{key}: {before.get(key, "absent")} there, {now.get(key, "absent")} now'
      for key in sorted(before.keys() | now.keys())
      if before.get(key) != now.get(key)
      and not any(f'{key}.'.startswith(f'{free}.') for free in NEUTRAL)
    ]
    differs = '; '.join(changed[:5])
    if changed and not alone:
      raise ValueError(
        f'--workdir={workdir} is in use by a run of another config ({differs})'
        ': choose another --workdir, or stop that process'
      )
    if changed and (not anew or has_begun(workdir)):
      raise ValueError(
        f'--workdir={workdir} holds a run of another config ({differs}): '
        'choose another --workdir, or set these back. To train on from its '
        'parameters, set config.init_from.path.'
      )
    if changed:
      say(
        f'{workdir} was claimed by another config ({differs}), which saved '
        'nothing there: it begins anew'
      )
  if jax.process_index() == 0:
    replace(path, json.dumps(config, indent=2))


def _lock(workdir: str) -> bool:
  """Whether no other process is at the folder that it claimed last.

  So that a run which has not saved yet does not lose its folder to another
  config. The lock is this process's until it claims another folder, or ends.
  """
  if jax.process_index():
    return True  # the first process claims for all
  path = os.path.realpath(workdir)
  if path in _LOCKED:
    return True
  handle = os.open(os.path.join(path, 'claim'), os.O_CREAT | os.O_WRONLY)
  try:
    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
  except OSError as error:
    os.close(handle)
    # Others: the file system has no locks.
    return not isinstance(error, BlockingIOError)
  for other in _LOCKED.values():
    os.close(other)
  _LOCKED.clear()
  _LOCKED[path] = handle
  return True


@contextlib.contextmanager
def alone_in(folder: str) -> Iterator[bool]:
  """Inside: whether no other process is inside this block for this folder.

  The system takes the lock back however a process ends. Between machines it
  holds where the file system has locks (NFS has; object stores have not).
  """
  os.makedirs(folder, exist_ok=True)
  with open(os.path.join(folder, 'lock'), 'w') as file:
    mine = True
    try:
      fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
      mine = False
    yield mine


def flatten(config: Mapping[str, Any], prefix: str = '') -> dict[str, Any]:
  """{'a': {'b': 1}} -> {'a.b': 1}; an empty mapping stays a value."""
  flat = {}
  for key, value in config.items():
    if isinstance(value, Mapping) and value:
      flat |= flatten(value, f'{prefix}{key}.')
    else:
      flat[f'{prefix}{key}'] = value
  return flat
