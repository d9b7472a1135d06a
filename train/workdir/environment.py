"""What runs, and where: a line of environment.jsonl for each start."""

import datetime
import importlib.metadata
import json
import os
import pathlib
import platform
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import jax

from base import exits, files

_ROOT = os.fspath(pathlib.Path(__file__).absolute().parents[2])
# Those that numbers may depend on.
_PACKAGES = (
  *('av', 'flax', 'grain', 'jax', 'jaxlib', 'libtpu', 'numpy', 'optax'),
  'orbax-checkpoint',
)


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
