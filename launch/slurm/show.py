"""Where a job is, and what it says."""

import os

from base.console import say
from launch import policy
from launch.slurm import calls
from launch.slurm.record import Record


def status(record: Record) -> None:
  """Prints state, starts and the last line of task 0."""
  about = calls.find(record.job)
  say(f'job      {record.job}: {record.command}')
  say(f'state    {_state(record, about)}')
  for end in record.ends():
    counts = ' (counts)' if end['counts'] else ''
    say(f'start {end["attempt"]}  ended: {end["why"]}{counts}')
  path = record.log(0)
  if path.exists():
    lines = path.read_text(errors='replace').splitlines() or ['']
    say(f'log      {path}')
    say(f'says     {lines[-1]}')


def _state(record: Record, about: dict[str, str]) -> str:
  state, reason = about.get('JobState', ''), about.get('Reason', 'None')
  if state == 'PENDING':
    restarts = int(about.get('Restarts', '0'))
    again = f' for start {restarts + 1}' if restarts else ''
    if reason == 'BeginTime':
      when = about['StartTime'].replace('T', ' ')
      return f'PENDING{again}: a requeued job waits until {when}'
    more = f'; {calls.remedy(reason)}' if calls.NEVER.search(reason) else ''
    return f'PENDING{again}: {reason}{more}'
  if state == 'RUNNING':
    return (
      f'RUNNING start {int(about.get("Restarts", "0")) + 1} on '
      f'{about.get("NodeList")}, {about.get("RunTime")} of '
      f'{about.get("TimeLimit")}'
    )
  if state == 'TIMEOUT':
    return (
      'TIMEOUT: it had not saved when the time was over, so it was not started '
      'again: give more of --save_sec, then start it again'
    )
  ends = record.ends()
  if ends and state in ('', 'COMPLETED', 'FAILED', 'COMPLETING'):
    last = ends[-1]
    code = policy.meaning(last['code'])
    return f'ended: {last["why"]} (exit code {code})'
  if not state:
    return (
      'unknown: Slurm has forgotten it, and it ended without a word, as by '
      'scancel or with its node; see the log'
    )
  more = f' ({reason})' if reason != 'None' else ''
  return f'{state}{more}'


def log(record: Record, task: int, *, follow: bool) -> None:
  """Prints what a task has said in all starts.

  Args:
    record: of the job.
    task: its number.
    follow: go on as it says more.

  Raises:
    ValueError: no such task, or it has said nothing.
  """
  if task >= record.tasks:
    raise ValueError(
      f'--task={task}: job {record.job} has {record.tasks}, from 0'
    )
  path = record.log(task)
  if not path.exists():
    raise ValueError(
      f'{path} is not there yet: the job has not started, see status'
    )
  if follow:
    os.execvp('tail', ['tail', '-n', '+1', '-F', f'{path}'])
  print(path.read_text(errors='replace'), end='')
