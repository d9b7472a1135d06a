"""Checkpoints: asynchronous, with retention; what is on disk is checked.

Orbax writes the state (parameters, optimizer, step); nothing else is needed
to go on, since data and draws are functions of the step.
"""

import os
import shutil
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
from etils import epath

from base import files
from models.objective import Params
from train import optim, retention
from train import workdir as workdir_lib
from train.step import State

_ITEM = 'default'  # the name that Orbax gives to a checkpoint's only item


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
    """Opens or creates the folder.

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
    self._folder = os.fspath(_folder(workdir))
    self._retention = retention.Retention(
      os.fspath(files.path(workdir)), keep=keep, keep_every=keep_every
    )
    self._manager = ocp.CheckpointManager(
      self._folder,
      options=ocp.CheckpointManagerOptions(preservation_policy=self._retention),
    )

  def latest(self) -> int | None:
    """The last complete checkpoint's step."""
    return self._manager.latest_step()

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
      RuntimeError: another process has taken the folder.
    """
    workdir_lib.check_claim(self._workdir)
    if step in self._manager.all_steps():
      return
    self._check_space(
      _bytes(state),
      f'then run the same command: it goes on after step {self.latest() or 0}',
    )
    self._manager.save(step, args=ocp.args.StandardSave(_as_dict(state)))

  def restore(self, shapes: State, step: int) -> State:
    """The state of `step`, placed as the shapes say.

    Raises:
      ValueError: the checkpoint is of another architecture.
    """
    wanted = _as_dict(shapes)
    folder = os.path.join(self._folder, str(step))
    extra = check_same(stored_shapes(folder), wanted, folder)
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
    self._manager.wait_until_finished()

  def __enter__(self) -> 'Checkpoints':
    return self

  def __exit__(self, *unused) -> None:
    self.wait()
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


def read(
  path: str, *, step: int = -1, ema: bool = False, at: str = ''
) -> Params:
  """The parameters of a checkpoint in the host's memory, as they are there.

  Args:
    path: a run's folder.
    step: of the checkpoint; -1: the last.
    ema: take the moving average, which lacks what was frozen.
    at: a top-level entry of the parameters; '': all of them.

  Raises:
    ValueError: no such checkpoint.
  """
  folder, _ = find(path, step)
  part = 'ema' if ema else 'params'
  item = epath.Path(folder) / _ITEM
  stored = ocp.PyTreeCheckpointHandler().metadata(item).tree
  if part not in stored:
    raise ValueError(f'{folder} holds no {part!r}')
  stored = {part: {at: stored[part][at]} if at else stored[part]}
  wanted = jax.tree.map(
    lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), stored
  )
  with ocp.PyTreeCheckpointer() as reader:
    loaded = reader.restore(
      item,
      args=ocp.args.PyTreeRestore(
        item=wanted,
        restore_args=jax.tree.map(
          lambda _: ocp.RestoreArgs(restore_type=np.ndarray), wanted
        ),
        partial_restore=True,
      ),
    )[part]
  return loaded[at] if at else loaded


def find(path: str, step: int = -1) -> tuple[str, int]:
  """(folder, step) of a run's checkpoint; -1: the last.

  Raises:
    ValueError: no run, or no such checkpoint there.
  """
  folder = _folder(path)
  there = steps(path)
  if not there:
    unfinished = [name for name in files.names(folder) if name.isdigit()]
    if unfinished and not files.is_local(folder):
      raise ValueError(
        f'{path} holds no complete checkpoint: those of step '
        f'{", ".join(unfinished)} lack commit_success.txt, which is written '
        'last. If they were copied from a disk, put an empty file of that name '
        'into each'
      )
    raise ValueError(
      f'{path} holds no checkpoint: expected {folder}/STEP. Give the '
      '--workdir of a run that has saved one.'
    )
  if step == -1:
    step = there[-1]
  if step not in there:
    raise ValueError(f'{path} has no checkpoint of step {step}, but {there}')
  return os.fspath(folder / str(step)), step


def saved_at(folder: str) -> int:
  """When a checkpoint was complete, in ns since 1970; a copy says the same.

  Args:
    folder: of the checkpoint, as `find` has it.
  """
  about = files.read_json(
    epath.Path(folder) / '_CHECKPOINT_METADATA',
    dict,
    'choose another --step, or copy the checkpoint again',
  )
  return about['commit_timestamp_nsecs']


def steps(path: str) -> list[int]:
  """Of a run's complete checkpoints, in order; none where there is no run."""
  folder = _folder(path)
  if not files.is_folder(folder):
    return []
  return sorted(ocp.utils.checkpoint_steps(folder))


def _folder(workdir: str) -> epath.Path:
  return files.path(workdir) / 'checkpoints'


def stored_shapes(folder: str) -> dict[str, tuple[int, ...]]:
  """{name: shape} of a checkpoint, from its metadata alone."""
  item = epath.Path(folder) / _ITEM
  return _named(ocp.PyTreeCheckpointHandler().metadata(item).tree)


def load(folder: str, wanted: Any) -> Any:
  """A part of a checkpoint, placed as the shapes say.

  Args:
    folder: of the checkpoint, as `find` has it.
    wanted: a tree of jax.ShapeDtypeStruct with shardings.
  """
  with ocp.PyTreeCheckpointer() as reader:
    return reader.restore(
      os.path.join(folder, _ITEM),
      args=ocp.args.PyTreeRestore(
        item=wanted,
        restore_args=ocp.checkpoint_utils.construct_restore_args(wanted),
        partial_restore=True,
      ),
    )


def check_same(
  stored: Mapping[str, tuple[int, ...]], wanted: Any, folder: str
) -> list[str]:
  """Names that are stored but not wanted.

  Args:
    stored: shapes, as `stored_shapes` has them.
    wanted: a tree of arrays or their shapes.
    folder: of the checkpoint.

  Raises:
    ValueError: something is wanted that is not stored, or of another shape.
  """
  wanted = _named(wanted)
  problems = [
    f'{name} {shape} is missing'
    if name not in stored
    else f'{name} is {stored[name]} there, {shape} here'
    for name, shape in wanted.items()
    if stored.get(name) != shape
  ]
  if problems:
    more = f' and {len(problems) - 5} more' if len(problems) > 5 else ''
    raise ValueError(
      f'{folder} is a checkpoint of another architecture: '
      f'{"; ".join(problems[:5])}{more}. Use the config that it was made '
      'with, or another --workdir.'
    )
  return sorted(stored.keys() - wanted.keys())


def _bytes(state: State) -> int:
  return sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(state))


def _as_dict(state: State) -> dict[str, Any]:
  return {k: v for k, v in state._asdict().items() if v is not None}


def _named(tree: Any) -> dict[str, tuple[int, ...]]:
  leaves = jax.tree_util.tree_leaves_with_path(tree)
  return {optim.path_name(path): tuple(leaf.shape) for path, leaf in leaves}
