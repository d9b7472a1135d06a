"""Start after start, until the policy has it that a run is at its end."""

import pathlib
import signal
import tempfile
import time

from base import exits, files
from base.console import duration
from launch import policy
from launch.job import Job
from launch.local.attempt import Attempt, Start, say
from launch.local.stop import Stop

_PORTS = 5  # that may be taken in a row
_TICK = 0.05
_TOLD = 128 + signal.SIGTERM  # of who does not listen to it (yet)


def folder_of_logs(job: Job, logs: str) -> pathlib.Path:
  """That of --logs, made if need be; else in the run's own, or a new one.

  Raises:
    ValueError: it cannot be a folder.
  """
  workdir = job.flag('workdir')
  if not logs and workdir and files.is_local(workdir):
    logs = f'{workdir}/logs'
  if not logs:
    return pathlib.Path(tempfile.mkdtemp(prefix='scale4d-logs-'))
  files.make_folder(logs, '--logs')
  return pathlib.Path(logs)


def run(start: Start, *, max_restarts: int) -> int:
  """The exit code of the launcher.

  Args:
    start: what is started, and again.
    max_restarts: starts after a crash.
  """
  restarts = ports = 0
  with Stop() as stop:
    while True:
      number, folder = _new_folder(start.logs)
      attempt = Attempt(start, number, folder)
      pids = ' '.join(f'{child.pid}' for child in attempt.children)
      say(f'start {number}: {start.job}; logs in {folder}; pids {pids}')
      try:
        end = attempt.wait(stop)
      finally:
        attempt.kill()
      if end.is_killed:
        say('killed by Ctrl-C')
        return exits.INTERRUPTED
      if end.port_taken and ports < _PORTS and not stop.by:
        ports += 1
        say('another program took the port that was free: choosing another')
        continue
      verdict = policy.verdict(
        end.ended, restarts=restarts, max_restarts=max_restarts
      )
      # Told before they could hear it, while they still imported.
      if stop.by == 'SIGINT' and verdict.code == _TOLD:
        say('stopped by Ctrl-C before there was anything to save')
        return exits.INTERRUPTED
      # Of a good end, or of none that was told, there is no log to look at.
      log = attempt.children[verdict.process].log
      is_good = policy.is_good(verdict.code) or verdict.process < 0
      say(verdict.why + ('' if is_good else f'; {log}'))
      if stop.by or not verdict.again:
        return verdict.code
      restarts += verdict.counts
      pause = policy.pause(restarts if verdict.counts else 0)
      say(f'starting again in {duration(pause)}')
      until = time.monotonic() + pause
      while time.monotonic() < until and not stop.by:
        time.sleep(_TICK)
      if stop.by:
        say(f'{stop.by}: not started again')
        return verdict.code


def _new_folder(logs: pathlib.Path) -> tuple[int, pathlib.Path]:
  """Number and folder of the logs of the next start.

  They go on where those of an earlier launcher end, and overwrite nothing.
  """
  taken = [
    int(each.name.removeprefix('attempt-'))
    for each in logs.glob('attempt-*')
    if each.name.removeprefix('attempt-').isdigit()
  ]
  number = max(taken, default=0)
  while True:
    number += 1
    folder = logs / f'attempt-{number}'
    try:
      folder.mkdir()
    except FileExistsError:
      continue  # of another launcher, at this moment
    return number, folder
