"""A run's folder: whose it is, what it was started with, by what and where."""

import contextlib
import datetime
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jax
from etils import epath

from base import exits, files
from base.console import say

# Config keys that may change between the starts of one run: they decide where,
# how it is watched and what it survives, not what it computes.
NEUTRAL = (
  *('checkpoint', 'compile', 'eval', 'log', 'mesh', 'processes', 'watchdog'),
  *('data.workers', 'data.stalled_sec', 'data.max_bad'),
)
# What Orbax writes last into a checkpoint.
COMMITTED = 'commit_success.txt'
_ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
# Those that numbers may depend on.
_PACKAGES = (
  *('av', 'flax', 'grain', 'jax', 'jaxlib', 'libtpu', 'numpy', 'optax'),
  'orbax-checkpoint',
)
# Folders that this process holds: a readout job, and the training run in it.
_HELD: set[str] = set()


@contextlib.contextmanager
def claim(workdir: str, config: Mapping[str, Any]) -> Iterator[None]:
  """Inside, the folder is this run's alone; `settle` says what it holds.

  The first process claims for all of a run. What it has claimed, it may claim
  again inside.

  Args:
    workdir: the folder.
    config: resolved.

  Raises:
    ValueError: another process runs there, or it is of another config.
  """
  path = real(workdir)
  if jax.process_index() or path in _HELD:
    settle(workdir, config)
    yield
    return
  files.make_folder(workdir, '--workdir', stores_too=True)
  with files.lock(_claim_of(path), sure=True) as held_by:
    if held_by:
      raise ValueError(
        f'--workdir={workdir} is in use by {held_by}: stop that one, or choose '
        'another --workdir'
      )
    files.remove_drafts(path)  # of a run that was killed
    settle(workdir, config)
    _HELD.add(path)
    try:
      yield
    finally:
      _HELD.remove(path)


def check_claim(workdir: str) -> None:
  """To be asked before what only the owner of a folder may do.

  Raises:
    RuntimeError: another process has taken the folder, see `files.check_lock`.
  """
  files.check_lock(_claim_of(real(workdir)))


def real(workdir: str) -> str:
  """One name for a folder, however it is called."""
  path = os.fspath(files.path(workdir))
  return os.path.realpath(path) if files.is_local(path) else path


def _claim_of(path: str) -> str:
  return os.path.join(path, 'claim')


def settle(
  workdir: str,
  config: Mapping[str, Any],
  *,
  name: str = 'config.json',
  anew: bool = True,
) -> None:
  """Writes the resolved config into the folder, if it may be of this config.

  Args:
    workdir: the folder, made if need be.
    config: resolved.
    name: of the file.
    anew: whether another config may take the folder where nothing was computed
      yet, such as after an option that cannot work.

  Raises:
    ValueError: the folder belongs to a run of another config.
  """
  files.make_folder(workdir, '--workdir', stores_too=True)
  path = files.path(workdir) / name
  if files.exists(path):
    before = flatten(read_config(workdir, name=name))
    now = flatten(json.loads(json.dumps(config)))
    changed = [
      f'{key}: {before.get(key, "absent")} there, {now.get(key, "absent")} now'
      for key in sorted(before.keys() | now.keys())
      if before.get(key) != now.get(key)
      and not any(f'{key}.'.startswith(f'{free}.') for free in NEUTRAL)
    ]
    differs = '; '.join(changed[:5])
    if changed and (not anew or has_begun(workdir)):
      raise ValueError(
        f'--workdir={workdir} holds a run of another config ({differs}): '
        'choose another --workdir, or set these back. To train on from its '
        'parameters, set config.init_from.path.'
      )
    if changed:
      say(
        f'{workdir} was claimed by another config ({differs}), which saved '
        'nothing there: it begins anew'
      )
  if jax.process_index() == 0:
    files.write(path, json.dumps(config, indent=2))


def read_config(workdir: str, *, name: str = 'config.json') -> dict[str, Any]:
  """The config that a run's folder holds.

  Raises:
    ValueError: the file is damaged.
    FileNotFoundError: there is none.
  """
  return files.read_json(
    files.path(workdir) / name,
    dict,
    'put a copy back, or remove it: the command of the run writes it again',
  )


def has_begun(workdir: str) -> bool:
  """Whether a run's folder holds what it computed: a checkpoint or a result."""
  folder = files.path(workdir)
  saved = [
    name
    for name in files.names(folder / 'checkpoints')
    if name.isdigit() and is_whole(folder / 'checkpoints' / name)
  ]
  return bool(saved) or files.exists(folder / 'result.json')


def is_whole(checkpoint: epath.Path) -> bool:
  """Whether all of a checkpoint is there, of what has a checkpoint's name.

  On a disk Orbax gives it the name last; in an object store it writes a file
  last.
  """
  if files.is_local(checkpoint):
    return files.is_folder(checkpoint)
  return files.exists(checkpoint / COMMITTED)


def flatten(config: Mapping[str, Any], prefix: str = '') -> dict[str, Any]:
  """{'a': {'b': 1}} -> {'a.b': 1}; an empty mapping stays a value."""
  flat = {}
  for key, value in config.items():
    if isinstance(value, Mapping) and value:
      flat |= flatten(value, f'{prefix}{key}.')
    else:
      flat[f'{prefix}{key}'] = value
  return flat


def record_start(workdir: str) -> int:
  """Adds a line to the folder's environment.jsonl: what runs, and where.

  With the resolved config beside it, what a stranger needs to run it again.
  In one process only.

  Returns:
    How often the run was started, with this time; 0 in other processes.
  """
  if jax.process_index():
    return 0
  path = files.path(workdir) / 'environment.jsonl'
  before = files.read_bytes(path) if files.exists(path) else b''
  attempt = before.count(b'\n') + 1
  # That of a launcher counts anew when the launcher is started again.
  launched = os.environ.get(exits.ATTEMPT)
  line = {'attempt': attempt, 'attempt_of_launcher': launched, **environment()}
  files.append(path, json.dumps(line) + '\n')
  return attempt


def environment() -> dict[str, Any]:
  """Time, command, versions, commit and devices, as JSON has them.

  `commit` is None where the code is not a git checkout, and `changed` lists the
  files in which the code differed from it.
  """
  device = jax.devices()[0]
  return {
    'time': datetime.datetime.now(datetime.UTC).isoformat(timespec='seconds'),
    'command': sys.orig_argv,
    'commit': _git('rev-parse', 'HEAD'),
    'changed': (_git('status', '--porcelain') or '').splitlines(),
    'python': platform.python_version(),
    'packages': versions(_PACKAGES),
    'devices': {
      'platform': device.platform,
      'kind': device.device_kind,
      'count': jax.device_count(),
      'processes': jax.process_count(),
    },
  }


def versions(packages: Sequence[str]) -> dict[str, str]:
  """Package -> version, of those that are installed."""
  found = {}
  for name in packages:
    try:
      found[name] = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
      continue  # libtpu, away from TPUs
  return found


def _git(*words: str) -> str | None:
  """What git says of this checkout; None if there is no git, or no checkout."""
  try:
    said = subprocess.run(
      ['git', '-C', _ROOT, *words], capture_output=True, text=True
    )
  except FileNotFoundError:
    return None
  return said.stdout.rstrip('\n') if said.returncode == 0 else None
