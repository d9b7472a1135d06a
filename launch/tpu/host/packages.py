"""What the job needs beside the checkout: installed once on a host."""

import contextlib
import hashlib
import json
import os
import shutil
import subprocess
import sys

from launch.tpu.host import places, processes, systemd

_OLDEST = (3, 11)
_NEWEST = ('python3.13', 'python3.12', 'python3.11')


def prepare():
  """Begins to install, if it is not done and nobody is at it."""
  if state() not in ('yes', 'now'):
    log = places.HOME / 'install.log'
    systemd.detach(['install'], log, _pid(), '')


def state():
  """'yes', 'now', 'no', or 'failed: ' and why."""
  if places.job()['python'] or (_folder() / 'ready').exists():
    return 'yes'
  if processes.is_alive(_pid()):
    return 'now'
  failed = places.read(_folder() / 'failed.json')
  return f'failed: {failed["why"]}' if failed else 'no'


def python():
  """The interpreter that has them."""
  return places.job()['python'] or str(_folder() / 'env' / 'bin' / 'python')


def install():
  """Takes minutes; what goes wrong is in its log and in `state`."""
  folder = _folder()
  folder.mkdir(parents=True, exist_ok=True)
  with contextlib.suppress(FileNotFoundError):
    (folder / 'failed.json').unlink()
  words = places.CODE / '.launch'
  wanted = [
    *('-r', str(places.CODE / 'requirements.txt')),
    *('-c', str(words / 'constraints.txt'), *places.job()['packages']),
  ]
  env, here = str(folder / 'env'), sys.executable
  found = _new_python()
  try:
    if found:
      _run([found, '-m', 'venv', env])
      _run([f'{env}/bin/python', '-m', 'pip', 'install', '--quiet', *wanted])
    else:
      # An image whose Python is older than what JAX needs: uv brings one.
      _run([here, '-m', 'pip', 'install', '--quiet', '--user', 'uv'])
      _run([here, '-m', 'uv', 'venv', '--python=3.11', env])
      os.environ['VIRTUAL_ENV'] = env
      _run([here, '-m', 'uv', 'pip', 'install', '--quiet', *wanted])
  except (OSError, subprocess.CalledProcessError) as error:
    why = places.last_line(places.HOME / 'install.log') or str(error)
    places.write(folder / 'failed.json', json.dumps({'why': why}))
    raise
  places.write(folder / 'ready', '')


def _folder():
  """For all codes that need the same packages."""
  words = (places.CODE / 'requirements.txt').read_bytes()
  words += (places.CODE / '.launch' / 'constraints.txt').read_bytes()
  words += json.dumps(places.job()['packages']).encode()
  name = 'packages-' + hashlib.sha256(words).hexdigest()[:12]
  return places.HOME.parent / name


def _pid():
  return _folder().with_suffix('.pid')


def _new_python():
  if sys.version_info[:2] >= _OLDEST:
    return sys.executable
  return next(filter(None, map(shutil.which, _NEWEST)), '')


def _run(words):
  print('+', *words, flush=True)
  subprocess.run(words, check=True, stdin=subprocess.DEVNULL)
