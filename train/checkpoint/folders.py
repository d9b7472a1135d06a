"""Where checkpoints are, which there are, and how one is set aside."""

import json
import os

from etils import epath

from base import files
from train import workdir as workdir_lib

PROOF = 'digests.json'  # of all files of a checkpoint, written after them
DAMAGED = 'damaged.json'  # in an object store: why a checkpoint is none


def of(workdir: str) -> epath.Path:
  """The folder of a run's checkpoints."""
  return files.path(workdir) / 'checkpoints'


def steps(path: str) -> list[int]:
  """Of a run's checkpoints, in order; none where there is no run.

  Those that were set aside are none, nor are those that were never complete.
  """
  folder = of(path)
  there = sorted(int(name) for name in files.names(folder) if name.isdigit())
  if files.is_local(folder):
    return [step for step in there if files.is_folder(folder / str(step))]
  held = {step: set(files.names(folder / str(step))) for step in there}
  whole = [
    step
    for step in there
    if workdir_lib.COMMITTED in held[step] and DAMAGED not in held[step]
  ]
  # It was complete: that it no longer says so is damage, and told. Of an older
  # one it is not: a run deletes them object by object.
  if (
    there
    and there[-1] not in whole
    and PROOF in held[there[-1]]
    and DAMAGED not in held[there[-1]]
  ):
    whole.append(there[-1])
  return whole


def find(path: str, step: int = -1) -> tuple[str, int]:
  """(folder, step) of a run's checkpoint; -1: the last.

  Raises:
    ValueError: no run, or no such checkpoint there.
  """
  folder = of(path)
  there = steps(path)
  if not there:
    unfinished = [
      name
      for name in files.names(folder)
      if name.isdigit() and not files.exists(folder / name / DAMAGED)
    ]
    if unfinished and not files.is_local(folder):
      raise ValueError(
        f'{path} holds no complete checkpoint: those of step '
        f'{", ".join(unfinished)} lack {workdir_lib.COMMITTED}, which is '
        'written last. If they were copied, copy them again, with all files'
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


def set_aside(folder: str, why: str) -> str:
  """Makes a damaged checkpoint none, and leaves its files; by one process.

  On a disk it gets another name. In an object store, where nothing is renamed,
  an object in it says so; Orbax does not know it, see `hide`.

  Args:
    folder: of the checkpoint.
    why: the damage.

  Returns:
    How it can be seen that it is set aside.
  """
  if not files.is_local(folder):
    files.write(f'{folder}/{DAMAGED}', json.dumps({'damage': why}))
    return f'by {folder}/{DAMAGED}'
  place, number = f'{folder}.damaged', 1
  while files.exists(place):
    number += 1
    place = f'{folder}.damaged-{number}'
  os.rename(folder, place)
  return f'as {place}'


def hide(workdir: str) -> None:
  """Makes what is set aside in an object store none to Orbax too.

  By one process, at each start: one before may have been killed in between.
  """
  folder = of(workdir)
  if files.is_local(folder):
    return
  for name in files.names(folder):
    there = files.names(folder / name) if name.isdigit() else []
    if {DAMAGED, workdir_lib.COMMITTED} <= {*there}:
      files.remove(folder / name / workdir_lib.COMMITTED)
