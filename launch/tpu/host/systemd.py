"""A verb that outlives the connection which began it: a unit of systemd."""

import os
import subprocess
import sys

from launch.tpu.host import places, processes

_SYSTEMD = '/run/systemd/system'


def detach(words, log, pid, unit):
  """Runs a verb beyond the end of this connection.

  Args:
    words: of the verb.
    log: file of what it says.
    pid: file of its number, which the verb itself writes under systemd.
    unit: of systemd, which refuses a second of that name; '': a session of its
      own, as where there is no systemd.
  """
  command = [sys.executable, '-m', 'launch.tpu.host', *words]
  kept = {'HOME': os.environ['HOME'], 'SCALE4D_ADDRESS': places.address()}
  log.parent.mkdir(parents=True, exist_ok=True)
  if unit and os.path.isdir(_SYSTEMD):
    sudo = [] if os.getuid() == 0 else ['sudo', '-n']
    asked = subprocess.run(
      [
        *(*sudo, 'systemd-run', f'--unit={unit}', f'--uid={os.getuid()}'),
        # When it is told to stop, what it has started goes on for the save.
        *('-p', 'KillMode=mixed', '-p', 'TimeoutStopSec=120'),
        *('-p', f'StandardOutput=append:{log}'),
        *('-p', f'StandardError=append:{log}', '-p', 'LimitNOFILE=65536'),
        *('-p', f'WorkingDirectory={places.CODE}'),
        *(f'--setenv={name}={value}' for name, value in kept.items()),
        *command,
      ],
      stdin=subprocess.DEVNULL,
      stdout=subprocess.PIPE,
      stderr=subprocess.STDOUT,
    )
    if not asked.returncode:
      return
    said = asked.stdout.decode('utf-8', 'replace').strip()
    print(f'not as a unit of systemd: {said}', file=sys.stderr)
  with open(log, 'ab') as file:
    process = subprocess.Popen(
      command,
      cwd=str(places.CODE),
      env={**os.environ, **kept},
      stdin=subprocess.DEVNULL,
      stdout=file,
      stderr=subprocess.STDOUT,
      start_new_session=True,
    )
  processes.note(pid, process.pid)
