"""Runs on slices of TPUs: `launch.tpu`, one for each run, which follows it.

A launcher that is started again with the same words goes on with what runs: so
a sweep that was stopped or killed finds its runs again.
"""

import os
from collections.abc import Sequence

from launch.sweep.backends import End, Job, commands, local
from launch.sweep.stages import Stage


class Tpu:
  """`python -m launch.tpu start`, which ends as its job does."""

  stays = True
  poll_sec = 1.0

  def __init__(self, flags: Sequence[str], *, workdir: str, max_restarts: int):
    """Starts nothing.

    Args:
      flags: of its start, of all runs.
      workdir: of the sweep.
      max_restarts: crashes after which the launcher starts a job again.
    """
    self._flags, self._workdir = list(flags), workdir
    self._max_restarts = max_restarts
    # What the job says is behind that.
    self._children = local.Children('[0] ')

  def words(self, stage: Stage, *, name: str) -> Sequence[str]:
    """See `Backend`."""
    return (
      *('python', '-m', 'launch.tpu', 'start'),
      f'--name={commands.cloud_name(self._workdir, name)}',
      f'--max_restarts={self._max_restarts}',
      *commands.machines(stage.where, self._flags),
      # The next stage wants the same machines.
      *(['--keep'] * (not stage.is_last)),
      *('--', *stage.words),
    )

  def check(self, stage: Stage, *, name: str) -> None:
    """See `Backend`: the launcher's own --dry_run."""
    # Compiled it is by the start: here it would take minutes for each run.
    words = self.words(stage, name=name)
    commands.call(*words[1:4], '--dry_run', '--plan=shapes', *words[4:])

  def start(self, stage: Stage, *, name: str, attempt: int) -> Job:
    """See `Backend`; what the launcher says is kept here."""
    told = commands.cloud_name(self._workdir, name)
    return self._children.start(
      self.words(stage, name=name),
      os.path.abspath(f'runs/sweeps/{told}/attempt-{attempt}'),
      attempt=attempt,
      share={},
    )

  def find(self, stage: Stage, *, name: str, job: Job, attempt: int) -> Job:
    """See `Backend`: where one was noted, its launcher finds out."""
    if not job:
      return {}
    return self.start(stage, name=name, attempt=attempt)

  def poll(self, job: Job) -> End | None:
    """See `Backend`."""
    return self._children.poll(job)

  def stop(self, job: Job, *, now: bool = False) -> None:
    """Ends the launcher alone: the job goes on."""
    self._children.stop(job, now=now)

  def end(self, stage: Stage, *, name: str) -> str:
    """See `Backend`: machines are given back."""
    del stage
    told = commands.cloud_name(self._workdir, name)
    return commands.call('-m', 'launch.tpu', 'stop', f'--name={told}')

  def close(self) -> None:
    """Ends the launchers."""
    self._children.close()
