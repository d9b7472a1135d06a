"""Runs as child processes of the sweep, which end when it does."""

import itertools
from collections.abc import Sequence

from base import files
from launch import job as job_lib
from launch.local import environment, shares
from launch.local.child import Child
from launch.local.shares import Share
from launch.sweep.backends import End, Job
from launch.sweep.stages import Stage


class Children:
  """Processes of this machine, by number."""

  def __init__(self, mark: str = ''):
    """Starts none.

    Args:
      mark: in front of the lines that tell most of how a job ended.
    """
    self._mark = mark
    self._children: dict[int, Child] = {}
    self._said: dict[int, str] = {}
    self._numbers = itertools.count()

  def start(
    self,
    words: Sequence[str],
    folder: str,
    *,
    attempt: int,
    share: Share,
    cores: Sequence[int] = (),
  ) -> Job:
    """Starts one, which ends when this process does.

    Args:
      words: of the command.
      folder: of its log.
      attempt: which start of the run this is.
      share: variables by which it has a share of the machine.
      cores: of the CPU, that it runs on; (): on all.
    """
    number = next(self._numbers)
    files.make_folder(folder, '--workdir')
    (variables,) = environment.of([share], attempt)
    job = job_lib.parse(words, one_disk=True)
    log = f'{folder}/process-0.log'
    command = environment.command(job)
    self._children[number] = Child(number, command, variables, log, cores)
    return {'number': number}

  def poll(self, job: Job) -> End | None:
    """See `Backend`."""
    child = self._children[job['number']]
    # Before the lines: those that it says last are read.
    code = child.code
    for line in child.lines():
      if line.startswith(self._mark):
        self._said[job['number']] = line.removeprefix(self._mark)
    if code is None:
      return None
    child.close()
    del self._children[job['number']]
    return End(code, self._said.pop(job['number'], child.last))

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


class Local:
  """This machine, a share of it for each of the runs at once."""

  stays = False
  poll_sec = 0.2

  def __init__(self, at_once: int, devices: int):
    """Divides it.

    Args:
      at_once: runs.
      devices: of each, see `launch.local`; 0: an even share.

    Raises:
      ValueError: there are not so many.
    """
    parts = shares.of(at_once, devices)
    self._free = list(zip(parts, shares.cores(at_once)))
    self._shares: dict[int, tuple[Share, Sequence[int]]] = {}
    self._children = Children()

  def words(self, stage: Stage, *, name: str) -> Sequence[str]:
    """See `Backend`."""
    del name
    return stage.words

  def check(self, stage: Stage, *, name: str) -> None:
    """Nothing that the checks of all runs leave."""

  def start(self, stage: Stage, *, name: str, attempt: int) -> Job:
    """See `Backend`; its log is where `launch.local` has it."""
    share, cores = self._free.pop(0)
    job = self._children.start(
      self.words(stage, name=name),
      f'{stage.folder}/logs/attempt-{attempt}',
      attempt=attempt,
      share=share,
      cores=cores,
    )
    self._shares[job['number']] = share, cores
    return job

  def find(self, stage: Stage, *, name: str, job: Job, attempt: int) -> Job:
    """None: children end with their sweep, and save before."""
    del stage, name, job, attempt
    return {}

  def poll(self, job: Job) -> End | None:
    """See `Backend`."""
    end = self._children.poll(job)
    if end is not None:
      self._free.append(self._shares.pop(job['number']))
    return end

  def stop(self, job: Job, *, now: bool = False) -> None:
    """See `Backend`."""
    self._children.stop(job, now=now)

  def end(self, stage: Stage, *, name: str) -> str:
    """Nothing goes on without its sweep."""
    del stage, name
    return ''

  def close(self) -> None:
    """See `Backend`."""
    self._children.close()


def holder(stage: Stage) -> str:
  """Which process is at a stage's folder; '': none.

  One that a sweep left which was killed: it saves, or where the system cannot
  tie a process to its parent, it goes on to its end.
  """
  path = f'{stage.folder}/claim'
  if not files.exists(path):
    return ''
  with files.lock(path) as held_by:
    return held_by
