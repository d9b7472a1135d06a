"""Runs as jobs of Slurm, whose queue they wait in: `launch.slurm`, one each.

A stage is a job, which Slurm starts again by itself; it goes on without the
sweep, and the next finds it by what `launch.slurm` keeps beside its logs.
"""

import pathlib
from collections.abc import Sequence

from base import files
from launch.slurm import state
from launch.slurm.record import Record
from launch.sweep.backends import End, Job, commands
from launch.sweep.stages import Stage

# Begin lines that are not the job's own.
_OF_SLURM = ('[launch.slurm]', 'srun:', 'slurmstepd:')


class Slurm:
  """The cluster that `sbatch` of this machine reaches."""

  stays = True
  poll_sec = 2.0

  def __init__(self, flags: Sequence[str], *, workdir: str, max_restarts: int):
    """Asks nobody.

    Args:
      flags: of `launch.slurm start`, of all runs.
      workdir: of the sweep.
      max_restarts: crashes after which a job goes back into the queue.
    """
    self._flags, self._workdir = list(flags), workdir
    self._max_restarts = max_restarts

  def words(self, stage: Stage, *, name: str) -> Sequence[str]:
    """See `Backend`."""
    # Slices of TPUs are nothing to Slurm.
    own = [word for word in stage.where if not word.startswith('--topology=')]
    return (
      *('python', '-m', 'launch.slurm', 'start'),
      *self._which(stage, name),
      f'--max_restarts={self._max_restarts}',
      *(*self._flags, *own, '--', *stage.words),
    )

  def _which(self, stage: Stage, name: str) -> list[str]:
    """Flags by which `launch.slurm` knows the job of a stage."""
    return [
      f'--name={commands.cloud_name(self._workdir, name)}',
      f'--logs={self._folder(stage, name)}',
    ]

  def _folder(self, stage: Stage, name: str) -> pathlib.Path:
    """Of its logs, which are on a disk."""
    if files.is_local(stage.folder):
      return pathlib.Path(stage.folder, 'slurm').absolute()
    told = commands.cloud_name(self._workdir, name)
    return pathlib.Path('runs/sweeps', told, stage.name).absolute()

  def check(self, stage: Stage, *, name: str) -> None:
    """See `Backend`: the launcher's own --dry_run."""
    words = self.words(stage, name=name)
    commands.call(*words[1:4], '--dry_run', *words[4:])

  def start(self, stage: Stage, *, name: str, attempt: int) -> Job:
    """See `Backend`."""
    try:
      # Planned before.
      words = self.words(stage, name=name)
      commands.call(*words[1:4], '--plan=none', *words[4:])
    except ValueError:
      # What a killed sweep was about to hand in may have come meanwhile.
      found = self.find(stage, name=name, job={}, attempt=attempt)
      if not found:
        raise
    return {'logs': f'{self._folder(stage, name)}'}

  def find(self, stage: Stage, *, name: str, job: Job, attempt: int) -> Job:
    """See `Backend`; also one that was handed in, and not noted any more."""
    del attempt
    folder = self._folder(stage, name)
    if job:
      return job
    if not (folder / 'job.json').exists():
      return {}
    is_alive = state.code(Record.read(folder)) is None
    return {'logs': f'{folder}'} if is_alive else {}

  def poll(self, job: Job) -> End | None:
    """See `Backend`."""
    record = Record.read(pathlib.Path(job['logs']))
    code = state.code(record)
    return None if code is None else End(code, _said(record))

  def stop(self, job: Job, *, now: bool = False) -> None:
    """Nothing: it goes on without a sweep, see `end`."""

  def end(self, stage: Stage, *, name: str) -> str:
    """See `Backend`."""
    which = self._which(stage, name)
    return commands.call('-m', 'launch.slurm', 'stop', *which)

  def close(self) -> None:
    """Nothing is left behind here."""


def _said(record: Record) -> str:
  """The last line of task 0; of the script about it, if there is none."""
  path = record.log(0)
  lines = path.read_text(errors='replace').splitlines() if path.exists() else []
  told = [line for line in lines if not line.startswith(_OF_SLURM)]
  return commands.last_line('\n'.join(told or lines))
