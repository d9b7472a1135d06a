"""What is kept of a job beside its logs: for Slurm forgets it in minutes."""

import dataclasses
import json
import pathlib
from typing import Any

from base import files, jsons
from launch.policy import Verdict

_REMEDY = 'see `squeue --me` for the job, and the logs for how it ended'
_FILE = 'job.json'
_KEPT = ('code', 'counts', 'again', 'why')  # of a verdict


@dataclasses.dataclass(frozen=True)
class Record:
  """Of the last job of a name.

  Attributes:
    folder: of its logs.
    job: its number.
    tasks: processes.
    command: as one line.
  """

  folder: pathlib.Path
  job: str
  tasks: int
  command: str

  def write(self) -> None:
    """Where `read` finds it."""
    about = {'job': self.job, 'tasks': self.tasks, 'command': self.command}
    files.write(self.folder / _FILE, json.dumps(about, indent=2))

  @classmethod
  def read(cls, folder: pathlib.Path) -> 'Record':
    """Of a folder of logs.

    Raises:
      ValueError: no job was started there, or its record is damaged.
    """
    path = folder / _FILE
    if not path.exists():
      raise ValueError(
        f'{folder} holds no job: nothing was started by this --name with these '
        '--logs, from this folder'
      )
    kind = {'job': str, 'tasks': int, 'command': str}
    about = jsons.read(path, kind, _REMEDY)
    return cls(folder, about['job'], about['tasks'], about['command'])

  @property
  def own(self) -> pathlib.Path:
    """Folder of how its starts ended."""
    return self.folder / self.job

  def ends(self) -> list[dict[str, Any]]:
    """Of its starts, in order; see `add_end`."""
    path = self.own / 'ends.json'
    kind = {'attempt': int, 'code': int, 'counts': bool, 'again': bool}
    kind = [{**kind, 'why': str}]
    return jsons.read(path, kind, _REMEDY) if path.exists() else []

  def add_end(self, attempt: int, verdict: Verdict) -> None:
    """How a start ended.

    Args:
      attempt: number of the start.
      verdict: on it.
    """
    end = {name: getattr(verdict, name) for name in _KEPT}
    ends = [*self.ends(), {'attempt': attempt, **end}]
    files.write(self.own / 'ends.json', json.dumps(ends, indent=2))

  @property
  def stop(self) -> pathlib.Path:
    """File that is there when the job shall not be started again."""
    return self.own / 'stop'

  def log(self, task: int) -> pathlib.Path:
    """File of what a task says in all starts, as submitit names it."""
    return self.folder / f'{self.job}_{task}_log.out'
