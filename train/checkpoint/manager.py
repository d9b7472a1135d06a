"""The checkpoints that a run saves and goes on from."""

import contextlib
import os
import shutil
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import jax
import jax.numpy as jnp
import orbax.checkpoint as ocp

from base import files
from base.console import say
from models.objective import Params
from train import processes, retention
from train import workdir as workdir_lib
from train.checkpoint import folders, layout, proof, reading
from train.step import State


class Checkpoints:
  """The checkpoints of one run, in WORKDIR/checkpoints."""

  def __init__(
    self,
    workdir: str,
    *,
    every: int,
    keep: int,
    keep_every: int | None,
  ):
    """Opens or creates the folder; its newest checkpoint is a good one then.

    Damaged ones are set aside, and said. By all processes at once.

    Args:
      workdir: the run's folder.
      every: steps between checkpoints.
      keep: how many of the last ones stay on disk.
      keep_every: those at multiples of this step are never deleted; nor is
        one that another process has pinned, see `train/retention.py`.
    """
    if every < 1 or keep < 1:
      raise ValueError(
        f'checkpoint.every={every} and checkpoint.keep={keep} must be at '
        'least 1'
      )
    self.every = every
    self._keep = keep
    self._workdir = workdir
    self._folder = os.fspath(folders.of(workdir))
    # Before Orbax looks, which takes any folder of a number for a checkpoint.
    self._latest = _newest_good(workdir)
    self._retention = retention.Retention(
      os.fspath(files.path(workdir)), keep=keep, keep_every=keep_every
    )
    self._manager = ocp.CheckpointManager(
      self._folder,
      options=ocp.CheckpointManagerOptions(preservation_policy=self._retention),
    )
    self._thread = ThreadPoolExecutor(1, 'digests')
    self._saving: tuple[int, Future] | None = None

  def latest(self) -> int | None:
    """The step of the last checkpoint that proves itself.

    Not what Orbax knows: to it a save that fails later is one already.
    """
    return self._latest

  def check_space(self, state: State) -> None:
    """Raises ValueError if the disk cannot hold the next checkpoint.

    An object store has no end.

    Args:
      state: arrays or their shapes.
    """
    # The oldest checkpoint is deleted only after the newest is complete.
    there = min(len(self._manager.all_steps()), self._keep)
    ahead = min(self._keep + 1 - there, 2)
    self._check_space(ahead * _bytes(state), 'or choose another --workdir')

  def _check_space(self, needed: int, remedy: str) -> None:
    if not files.is_local(self._folder):
      return
    free = shutil.disk_usage(self._folder).free
    if free < needed:
      raise ValueError(
        f'{self._folder} has {free / 1e9:.2f} GB free, checkpoints need '
        f'{needed / 1e9:.2f} GB: free some space or lower '
        f'config.checkpoint.keep, {remedy}'
      )

  def save(self, state: State, step: int) -> None:
    """Starts to write; returns when the arrays are copied.

    Raises:
      ValueError: the disk has become too full since the run began.
      RuntimeError: another process has taken the folder, or it is not written.
      Exception: of the save before, if that has failed meanwhile.
    """
    workdir_lib.check_claim(self._workdir)
    self._settle()
    if step == self._latest:
      return
    self._check_space(
      _bytes(state),
      f'then run the same command: it goes on after step {self._latest or 0}',
    )
    args = ocp.args.StandardSave(_as_dict(state))
    if not self._manager.save(step, args=args):
      raise RuntimeError(
        f'{self._folder}: Orbax does not write step {step}, since it has '
        f'{self._manager.all_steps()} already'
      )
    self._saving = step, self._thread.submit(self._finish, step)

  def _finish(self, step: int) -> None:
    """Waits until the files are there, and writes their digests."""
    self._manager.wait_until_finished()
    proof.write(os.path.join(self._folder, str(step)))
    self._latest = step

  def _settle(self) -> None:
    """Waits for what is being saved; raises what went wrong with it."""
    if self._saving is None:
      return
    (step, future), self._saving = self._saving, None
    error = future.exception()
    if error is None:
      return
    say(
      f'the save of step {step} has FAILED: {error}. The last good step is '
      f'{self._latest or "none"}'
    )
    with contextlib.suppress(type(error)):
      # Orbax raises it once in each thread: in this one here, not on closing.
      self._manager.wait_until_finished()
    raise error

  def restore(self, shapes: State, step: int) -> State:
    """The state of `step`, placed as the shapes say.

    Raises:
      ValueError: the checkpoint is of another architecture.
    """
    wanted = _as_dict(shapes)
    folder = os.path.join(self._folder, str(step))
    stored = layout.stored_shapes(folder)
    extra = reading.check_same(stored, wanted, folder)
    if extra:
      raise ValueError(
        f'{folder} holds what this run does not have: {extra[:5]}; use the '
        'config that it was made with, or another --workdir'
      )
    restored = self._manager.restore(
      step, args=ocp.args.StandardRestore(wanted)
    )
    return State(**restored)

  def wait(self) -> None:
    """Waits until what was saved is on disk; raises what went wrong."""
    self._settle()

  def __enter__(self) -> 'Checkpoints':
    return self

  def __exit__(self, *unused) -> None:
    try:
      self.wait()
    finally:
      self._thread.shutdown()
      self._manager.close()
      self._retention.close()


def create(workdir: str, config: Mapping[str, Any], params: Params) -> None:
  """Makes a run's folder of parameters that come from elsewhere, as of step 0.

  Other runs start from it, and readouts read it; it does not train on.

  Args:
    workdir: the folder.
    config: what its config.json says.
    params: all of the objective's.

  Raises:
    ValueError: the folder is that of another run, or the disk is too full.
  """
  state = State(step=jnp.zeros([], jnp.int32), params=params, opt_state=None)
  with (
    workdir_lib.claim(workdir, config),
    Checkpoints(workdir, every=1, keep=1, keep_every=None) as checkpoints,
  ):
    checkpoints.check_space(state)
    checkpoints.save(state, 0)


def _newest_good(workdir: str) -> int | None:
  """The step to go on from; what is newer and damaged is set aside."""

  def newest(_) -> str:
    folders.hide(workdir)
    return str(max(folders.steps(workdir), default=''))

  damaged = []
  processes.meet('look at the checkpoints')
  while step := processes.agree('newest checkpoint', '', newest):
    folder = os.path.join(folders.of(workdir), step)
    damage = proof.judge(folder)
    if damage == proof.UNPROVEN:
      say(
        f'{folder} has no {folders.PROOF}: its run was killed right after it '
        'had saved, or it was lost. Nothing is missing, nor cut off; that no '
        'bit is another cannot be told. The run goes on from it'
      )
      proof.write(folder)
    if damage in ('', proof.UNPROVEN):
      return int(step)
    place = processes.agree(
      f'setting aside of {folder}',
      '',
      lambda _, now=(folder, damage): folders.set_aside(*now),
    )
    damaged.append(step)
    say(
      f'{folder} is DAMAGED: {damage}. It is set aside, {place}: look at it, '
      'or remove it'
    )
  if damaged:
    say(f'no good checkpoint of {workdir} is left: it begins anew')
  return None


def _bytes(state: State) -> int:
  return sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(state))


def _as_dict(state: State) -> dict[str, Any]:
  return {k: v for k, v in state._asdict().items() if v is not None}
