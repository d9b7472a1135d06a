"""Whose a run's folder is: one process's at a time, for all of a run."""

import contextlib
import os
from collections.abc import Iterator, Mapping
from typing import Any

import jax

from base import files
from train import processes
from train.workdir.settling import GO_ON, Asked, settle

# Folders that this process holds: a readout job, and the training run in it.
_HELD: set[str] = set()


@contextlib.contextmanager
def claim(
  workdir: str,
  config: Mapping[str, Any],
  *,
  asked: Asked = GO_ON,
  fingerprint: Mapping[str, Mapping[str, str]] | None = None,
) -> Iterator[None]:
  """Inside, the folder is this run's alone; `settle` says what it holds.

  The first process claims for all of a run. What it has claimed, it may claim
  again inside.

  Args:
    workdir: the folder.
    config: resolved.
    asked: of a run that has begun.
    fingerprint: of its data, see `settle`.

  Raises:
    ValueError: another process runs there, or it is of another config, or
      nothing that is saved there could be read.
  """
  path = real(workdir)
  # Orbax looks for what its processes have written by a pattern that begins
  # with the folder's own name (etils' glob), finds nothing, and says it is
  # saved.
  if any(sign in path for sign in '[*?'):
    raise ValueError(
      f'--workdir={workdir} has one of [ * ? in its path ({path}), by which '
      'checkpoints would not be found again: choose a folder without'
    )
  if jax.process_index() or path in _HELD:
    settle(workdir, config, asked=asked, fingerprint=fingerprint)
    _meet(asked)
    yield
    return
  files.make_folder(workdir, '--workdir', stores_too=True)
  with files.lock(_claim_of(path), sure=True) as held_by:
    if held_by:
      raise ValueError(
        f'--workdir={workdir} is in use by {held_by}: stop that one, or choose '
        'another --workdir'
      )
    files.remove_drafts(path)  # of a run that was killed
    settle(workdir, config, asked=asked, fingerprint=fingerprint)
    _meet(asked)
    _HELD.add(path)
    try:
      yield
    finally:
      _HELD.remove(path)


def _meet(asked: Asked) -> None:
  """Others look for the last checkpoint when those behind it are removed."""
  if asked.back_to >= 0:
    processes.meet('way back')


def check_claim(workdir: str) -> None:
  """To be asked before what only the owner of a folder may do.

  Raises:
    RuntimeError: another process has taken the folder, see `files.check_lock`.
  """
  files.check_lock(_claim_of(real(workdir)))


def real(workdir: str) -> str:
  """One name for a folder, however it is called."""
  path = os.fspath(files.path(workdir))
  return os.path.realpath(path) if files.is_local(path) else path


def _claim_of(path: str) -> str:
  return os.path.join(path, 'claim')
