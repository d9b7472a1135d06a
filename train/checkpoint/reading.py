"""Checkpoints as others read them: other runs, readouts, exports.

What is read is proven, see `train/checkpoint/proof.py`, or refused.
"""

import os
import time
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from etils import epath

from base import files, jsons
from base.console import say
from models.objective import Params
from train.checkpoint import proof
from train.checkpoint.folders import PROOF, find
from train.checkpoint.layout import ITEM, named

_FRESH = 60.0  # seconds after which a run has long written the digests
_LOOK = 0.2  # between two looks for them
_REMEDY = (
  'if it is the last of its run, the command of the run sets it aside and goes '
  'on from the newest good one; else choose another step, copy it again, or '
  'remove it'
)


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
    ValueError: no such checkpoint, or it is damaged.
  """
  folder, _ = find(path, step)
  refuse(folder)
  part = 'ema' if ema else 'params'
  item = epath.Path(folder) / ITEM
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


def refuse(folder: str) -> None:
  """To be asked before a checkpoint is read; by all processes at once.

  Args:
    folder: of the checkpoint, as `find` has it.

  Raises:
    ValueError: it is damaged.
  """
  path = epath.Path(folder)
  while not files.exists(path / PROOF) and _age(folder) < _FRESH:
    time.sleep(_LOOK)
  damage = proof.judge(folder)
  if damage == proof.UNPROVEN:
    say(
      f'{folder} is read without proof, for it has no {PROOF}: it was not '
      'copied, or its run was killed right after it had saved'
    )
  elif damage:
    raise ValueError(f'{folder} is damaged: {damage}; {_REMEDY}')


def _age(folder: str) -> float:
  """Seconds since a checkpoint was complete."""
  return time.time() - saved_at(folder) / 1e9


def saved_at(folder: str) -> int:
  """When a checkpoint was complete, in ns since 1970; a copy says the same.

  Args:
    folder: of the checkpoint, as `find` has it.

  Raises:
    ValueError: it does not say so: it is damaged.
  """
  path = epath.Path(folder) / '_CHECKPOINT_METADATA'
  try:
    about = jsons.read(path, {'commit_timestamp_nsecs': int}, _REMEDY)
  except FileNotFoundError as error:
    raise ValueError(
      f'{folder} is damaged: {path.name} is missing; {_REMEDY}'
    ) from error
  return about['commit_timestamp_nsecs']


def load(folder: str, wanted: Any) -> Any:
  """A part of a checkpoint, placed as the shapes say.

  Args:
    folder: of the checkpoint, as `find` has it.
    wanted: a tree of jax.ShapeDtypeStruct with shardings.
  """
  with ocp.PyTreeCheckpointer() as reader:
    return reader.restore(
      os.path.join(folder, ITEM),
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
  wanted = named(wanted)
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
