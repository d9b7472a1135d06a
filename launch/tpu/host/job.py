"""The job on this host: started once an attempt, and its end written down."""

import contextlib
import json
import os
import re
import signal
import subprocess
import time

from launch.tpu.host import packages, places, processes, systemd

_KILLED = 137
_START = 1 << 18  # bytes of a log, in which processes join
_COMES = 60.0  # seconds within which a unit has come up


def start(number, hosts):
  """Runs the job as this attempt, if it does not already.

  Args:
    number: of the attempt.
    hosts: addresses of all, in the order of their processes.
  """
  folder = places.attempt(number)
  for other in places.HOME.glob('attempts/*'):
    if other != folder:
      # That it is over, this host was not told: chips are for one process.
      for name in ('child', 'pid'):
        processes.send(other / name, signal.SIGKILL, group=True)
  folder.mkdir(parents=True, exist_ok=True)
  try:
    with open(folder / 'claimed', 'x'):
      pass
  except FileExistsError:
    return
  words = ['run', f'--attempt={number}', f'--hosts={",".join(hosts)}']
  name = f'scale4d-{places.HOME.name}-{number}'
  systemd.detach(words, folder / 'log', folder / 'pid', name)


def run(number, hosts):
  """The job itself, in the unit."""
  folder, job = places.attempt(number), places.job()
  processes.note(folder / 'pid', os.getpid())
  environment = {
    **os.environ,
    'PYTHONUNBUFFERED': '1',
    'SCALE4D_ATTEMPT': str(number),
    'JAX_COORDINATOR_PORT': str(job['port']),
    **job['environment'],
  }
  if job['join'] == 'addresses' and len(hosts) > 1:
    environment['JAX_COORDINATOR_ADDRESS'] = f'{hosts[0]}:{job["port"]}'
    environment['JAX_NUM_PROCESSES'] = str(len(hosts))
    environment['JAX_PROCESS_ID'] = str(hosts.index(places.address()))
  first, *words = job['command']
  if first in ('python', 'python3'):
    first = packages.python()
  told = []
  signal.signal(signal.SIGTERM, lambda *unused: told.append(True))
  try:
    child = subprocess.Popen(
      [first, *words],
      cwd=str(places.CODE),
      env=environment,
      stdin=subprocess.DEVNULL,
      start_new_session=True,
    )
  except OSError as error:
    print(error, flush=True)
    _ended(folder, 1)
    return
  processes.note(folder / 'child', child.pid)
  code = None
  while code is None:
    with contextlib.suppress(subprocess.TimeoutExpired):
      code = child.wait(0.2)
    if told:
      told.clear()
      # It alone: what it has started is needed for the save.
      child.terminate()
  _ended(folder, 128 - code if code < 0 else code)
  # What it has left behind.
  with contextlib.suppress(ProcessLookupError, PermissionError):
    os.killpg(child.pid, signal.SIGKILL)


def stop(number, kill):
  """Tells the job to save and stop; or ends it, with all it has started."""
  signalled = signal.SIGKILL if kill else signal.SIGTERM
  processes.send(places.attempt(number) / 'child', signalled, group=kill)


def state(number):
  """'none', 'running', 'ended', or 'killed', which is without an end."""
  folder = places.attempt(number)
  if (folder / 'end.json').exists():
    return 'ended'
  if not (folder / 'claimed').exists():
    return 'none'
  if processes.is_alive(folder / 'pid'):
    return 'running'
  begun = (folder / 'claimed').stat().st_mtime
  if not (folder / 'pid').exists() and time.time() - begun < _COMES:
    return 'running'
  # Its end may have been written meanwhile.
  return 'ended' if (folder / 'end.json').exists() else 'killed'


def joins(number):
  """'yes', 'waits' for the others, or 'no', as the log of an attempt says."""
  try:
    with open(places.attempt(number) / 'log', 'rb') as file:
      said = file.read(_START).decode('utf-8', 'replace')
  except OSError:
    return 'no'
  job = places.job()
  if re.search(job['joined'], said):
    return 'yes'
  return 'waits' if re.search(job['waits'], said) else 'no'


def end(number):
  """(code, time) of an attempt that is over; time is 0 where nobody told it."""
  found = places.read(places.attempt(number) / 'end.json')
  return (found['code'], found['time']) if found else (_KILLED, 0.0)


def _ended(folder, code):
  end = {'code': code, 'time': time.time()}
  places.write(folder / 'end.json', json.dumps(end))
