"""The last line of a batch script: what becomes of a job whose tasks ended.

By the one policy of `launch/policy.py`, from the codes that tasks kept: back
into the queue, or at its end, with the code that decided.
"""

import dataclasses
import os
import pathlib
import sys

from absl import flags

from base import command, exits
from launch import policy

# For a controller that is restarted: without it the run would stop here.
_PATIENCE_SEC = 120.0
_LOGS = flags.DEFINE_string('logs', None, 'Folder of logs and state.')
_JOB = flags.DEFINE_string('job', None, 'Number of the job.')
_CODE = flags.DEFINE_integer('code', None, 'Of srun.')
_MAX_RESTARTS = flags.DEFINE_integer('max_restarts', 3, 'After a crash.')


def main() -> None:
  """Decides, keeps it, and has Slurm do it."""
  from base.console import say
  from base.exits import ATTEMPT
  from launch.slurm import calls
  from launch.slurm.record import Record

  record = Record(pathlib.Path(_LOGS.value), _JOB.value, 0, '')
  attempt = int(os.environ[ATTEMPT])
  ended = codes(record.own / f'attempt-{attempt}', _CODE.value)
  restarts = sum(end['counts'] for end in record.ends())
  verdict = policy.verdict(
    ended, restarts=restarts, max_restarts=_MAX_RESTARTS.value
  )
  if record.stop.exists():
    is_saved = verdict.code == exits.AGAIN
    verdict = dataclasses.replace(
      verdict, again=False, why='stopped' if is_saved else verdict.why
    )
  record.add_end(attempt, verdict)
  say(
    f'[launch.slurm] start {attempt}: {verdict.why}'
    + ('; back in the queue' * verdict.again)
  )
  if verdict.again:
    # By it the job ends: this process too.
    try:
      calls.call('scontrol', 'requeue', _JOB.value, patience_sec=_PATIENCE_SEC)
    except ValueError:
      why = f'{verdict.why}, but Slurm did not take it back; see the log'
      record.add_end(
        attempt, dataclasses.replace(verdict, again=False, why=why)
      )
      raise
  sys.exit(verdict.code)


def codes(folder: pathlib.Path, srun: int) -> list[tuple[int, int]]:
  """(task, code) in the order in which they ended.

  Args:
    folder: in which each has left its own.
    srun: its code, which alone tells of tasks that could not leave one.
  """
  found = []
  for path in folder.iterdir():
    told = path.read_text().split()
    if len(told) == 2:  # not that of a shell which was killed as it wrote
      found.append((float(told[0]), int(path.name), int(told[1])))
  ended = [(task, code) for _, task, code in sorted(found)]
  is_told = any(not policy.is_good(code) for _, code in ended)
  if (srun and not is_told) or not ended:
    # Its own 1 is not of wrong input, but of a node that went, and the like.
    is_own = srun in policy.HOPELESS or not srun
    ended.append((-1, exits.FAULT if is_own else srun))
  return ended


if __name__ == '__main__':
  command.run(main, required=['logs', 'job', 'code'])
