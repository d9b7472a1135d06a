"""Stays with a job until its end, and shows what task 0 says."""

import time

from base.console import say
from launch import policy
from launch.slurm import calls, state
from launch.slurm.record import Record


def follow(record: Record, *, poll_sec: float) -> int:
  """The exit code of the job; Ctrl-C leaves it running.

  Args:
    record: of the job.
    poll_sec: between two looks at it; a controller has many to answer.
  """
  say(f'job {record.job}: following it (Ctrl-C leaves it running)')
  shown = was = None
  while True:
    try:
      now, reason = state.of(record)
      code = state.code(record)
    except calls.Unreachable:  # the job goes on without it
      now, reason, code = 'unknown, the controller does not answer', '', None
    shown = _show(record, shown)
    if (now, reason) != was:
      was = (now, reason)
      waits = f': {reason}' if now == 'PENDING' else ''
      say(f'[launch.slurm] {now or "forgotten by Slurm"}{waits}')
    if code is not None:
      say(f'[launch.slurm] job {record.job} ended: {policy.meaning(code)}')
      return code
    time.sleep(poll_sec)


def _show(record: Record, shown: int | None) -> int:
  """Prints what is new in the log of task 0; where it ends now.

  Args:
    record: of the job.
    shown: what the last call gave; None: what is there is old.
  """
  path = record.log(0)
  if not path.exists():
    return 0
  with open(path, 'rb') as file:
    if shown is None:
      return file.seek(0, 2)
    file.seek(shown)
    # Whole lines: half of one may be half of a letter.
    new, end, _ = file.read().rpartition(b'\n')
  for line in new.split(b'\n') if end else ():
    say(line.decode(errors='replace').rpartition('\r')[2])
  return shown + len(new) + len(end)
