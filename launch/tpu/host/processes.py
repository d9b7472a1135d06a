"""Processes of a host that outlive the connection that started them."""

import contextlib
import json
import os
import pathlib
import subprocess
import sys

from launch.tpu.host import places

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
  note(pid, process.pid)


def note(path, pid):
  """Writes down a process, and when it began: its number is used again."""
  places.write(path, json.dumps({'pid': pid, 'began': _began(pid)}))


def is_alive(path):
  """Whether the process that was written down still runs."""
  who = places.read(path)
  return bool(who) and bool(who['began']) and _began(who['pid']) == who['began']


def send(path, number, group=False):
  """Sends a signal to it if it runs, or to its group."""
  if is_alive(path):
    with contextlib.suppress(ProcessLookupError, PermissionError):
      (os.killpg if group else os.kill)(places.read(path)['pid'], number)


def _began(pid):
  """When a process began, by the system's clock; '' if it is over."""
  try:
    text = pathlib.Path(f'/proc/{pid}/stat').read_text()
  except OSError:
    return ''
  # Behind the name, which may hold blanks, the state is the first.
  words = text.rpartition(')')[2].split()
  return '' if words[0] == 'Z' else words[19]
