"""Hands a job to Slurm, and looks whether it can ever start."""

import importlib.util
import pathlib
import time

from base import exits, files
from base.console import say
from launch import checks
from launch.job import Job
from launch.slurm import calls, follow, state
from launch.slurm.order import Order
from launch.slurm.record import Record

_LOOK_SEC = 3.0  # in which Slurm has a reason for a job that waits
_TICK = 0.3


def start(
  order: Order,
  job: Job,
  folder: pathlib.Path,
  *,
  dry_run: bool,
  plan: bool,
  wait_poll_sec: float,
) -> int:
  """Starts it, or prints what would be; the exit code of the launcher.

  Args:
    order: machines and limits.
    job: the command.
    folder: of logs and state, made if need be.
    dry_run: print the script alone.
    plan: whether to refuse a recipe that cannot work, as far as shapes tell.
    wait_poll_sec: stay until the job has ended, with so many seconds between
      two looks at it, also with one that goes on already; 0: do not stay.

  Raises:
    ValueError: submitit is not here; Slurm refuses the job, or would never
      start it; or the last job of this name is not at its end.
  """
  if importlib.util.find_spec('submitit') is None:
    raise ValueError(
      'submitit is not installed, which writes the batch script: `pip install '
      '--group slurm`'
    )
  from launch.slurm import script

  text = script.text(order, job, folder)
  # Not known of a queue: its processes may wait for days to be told.
  try:
    planned = checks.of_job(job, order.devices) if plan else ''
  except ValueError as error:
    raise ValueError(f'{error} (--plan=none starts it as it is)') from error
  if dry_run:
    print(f'# sbatch --parsable < this script, of {len(text)} characters')
    print(text, end='')
    return exits.DONE
  if (folder / 'job.json').exists():
    record = Record.read(folder)
    if state.code(record) is None:
      # An earlier launcher may have been killed.
      if wait_poll_sec and record.command == f'{job}':
        return follow.follow(record, poll_sec=wait_poll_sec)
      raise ValueError(
        f'job {record.job} of this name goes on: `python -m launch.slurm stop` '
        'it first, or choose another --name'
      )
  say(planned)
  files.make_folder(folder, '--logs')
  number = calls.call('sbatch', '--parsable', text=text).strip()
  number = number.partition(';')[0]  # of a federation, NUMBER;CLUSTER
  files.write(folder / f'{number}_submission.sh', text)
  tasks = order.nodes * order.tasks_per_node
  record = Record(folder, number, tasks, f'{job}')
  record.write()
  say(
    f'job {number}: {order.nodes} nodes x {order.tasks_per_node} tasks, '
    f'{job}; logs in {folder}'
  )
  _look(record)
  if wait_poll_sec:
    return follow.follow(record, poll_sec=wait_poll_sec)
  return exits.DONE


def _look(record: Record) -> None:
  """Says why it waits; takes back what would wait for ever."""
  deadline = time.monotonic() + _LOOK_SEC
  refused = 0
  while True:
    now, reason = state.of(record)
    # Twice: Slurm may still be looking.
    refused = refused + 1 if calls.NEVER.search(reason) else 0
    if refused == 2:
      calls.call('scancel', record.job)
      raise ValueError(
        f'Slurm took the job but would never start it ({reason}), so it is '
        f'cancelled: {calls.remedy(reason)}'
      )
    settled = reason not in ('', 'None') and not refused
    if now != 'PENDING' or settled or time.monotonic() > deadline:
      break
    time.sleep(_TICK)
  if now == 'PENDING':
    say(f'it waits: {reason}')
