"""Runs as child processes of the sweep, which end when it does."""

import itertools
from collections.abc import Sequence

from base import files
from launch import job as job_lib
from launch.local import environment, shares
from launch.local.child import Child
from launch.sweep.backends import End, Job
from launch.sweep.stages import Stage


class Local:
  """This machine, a share of it for each of the runs at once."""

  stays = False

  def __init__(self, at_once: int, devices: int):
    """Divides it.

    Args:
      at_once: runs.
      devices: of each, see `launch.local`; 0: an even share.

    Raises:
      ValueError: there are not so many.
    """
    self._free = shares.of(at_once, devices)
    self._shares: dict[int, shares.Share] = {}
    self._children: dict[int, Child] = {}
    self._numbers = itertools.count()

  def start(self, stage: Stage, *, name: str, attempt: int) -> Job:
    """See `Backend`; its log is that of `launch.local`."""
    del name
    folder = f'{stage.folder}/logs/attempt-{attempt}'
    files.make_folder(folder, '--workdir')
    number, share = next(self._numbers), self._free.pop(0)
    (variables,) = environment.of([share], attempt)
    job = job_lib.parse(stage.words, one_disk=True)
    child = Child(
      number,
      environment.command(job),
      variables,
      f'{folder}/process-0.log',
    )
    self._children[number], self._shares[number] = child, share
    return {'number': number}

  def find(self, stage: Stage, *, name: str, job: Job) -> Job:
    """None: children end with their sweep, and save before."""
    del stage, name, job
    return {}

  def poll(self, job: Job) -> End | None:
    """See `Backend`."""
    child = self._children[job['number']]
    # Before the lines: those that it says last are read.
    code = child.code
    for _ in child.lines():
      pass
    if code is None:
      return None
    child.close()
    del self._children[job['number']]
    self._free.append(self._shares.pop(job['number']))
    return End(code, child.last)

  def stop(self, job: Job, *, now: bool = False) -> None:
    """See `Backend`."""
    child = self._children[job['number']]
    if now:
      child.kill()
    else:
      child.stop()

  def close(self) -> None:
    """Leaves none behind where something went wrong."""
    for child in self._children.values():
      child.kill()


def holder(stage: Stage) -> str:
  """Which process is at a stage's folder; '': none.

  One that a sweep left which was killed: it saves, or where the system cannot
  tie a process to its parent, it goes on to its end.
  """
  folder = stage.folder
  if not files.is_local(folder) or not _is_claimed(folder):
    return ''
  with files.lock(f'{folder}/claim') as held_by:
    return held_by


def _is_claimed(folder: str) -> Sequence[str]:
  from etils import epath

  return [x for x in ('claim',) if (epath.Path(folder) / x).exists()]
