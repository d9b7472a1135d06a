"""Ends a job so that it has saved, and stays ended."""

import time

from base import files
from base.console import say
from launch.slurm import calls, state
from launch.slurm.record import Record

_POLL_SEC = 0.5
_TELL_SEC = 30.0


def stop(record: Record, *, now: bool) -> None:
  """Returns when it has ended.

  Args:
    record: of the job.
    now: do not wait for a save.
  """
  now_in, _ = state.of(record)
  if now_in not in state.GOES_ON:
    say(f'job {record.job} is not running: nothing to stop')
    return
  # Seen by the script before it starts tasks, and when they have ended.
  record.own.mkdir(exist_ok=True)
  files.write(record.stop, '')
  if now or now_in == 'PENDING':
    calls.call('scancel', record.job)
    say(f'job {record.job} is cancelled')
    return
  calls.call('scancel', '--signal=TERM', record.job)
  say(f'job {record.job}: told to save and stop (Ctrl-C leaves it to that)')
  told = time.monotonic()
  while now_in in state.GOES_ON:
    time.sleep(_POLL_SEC)
    now_in, _ = state.of(record)
    if time.monotonic() - told > _TELL_SEC:
      told = time.monotonic()
      say(f'job {record.job}: still saving; stop --now ends it without')
  ends = record.ends()
  say(f'job {record.job}: {ends[-1]["why"] if ends else now_in}')
