"""What ran a run, and where: a line in WORKDIR/environment.jsonl per start.

With the resolved config beside it, what a stranger needs to run it again.
"""

import datetime
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import jax

_ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
# Those that numbers may depend on.
_PACKAGES = (
  'av',
  'flax',
  'grain',
  'jax',
  'jaxlib',
  'libtpu',
  'numpy',
  'optax',
  'orbax-checkpoint',
)


def record(workdir: str) -> None:
  """Adds this start to the folder's environment.jsonl; in one process only."""
  if jax.process_index():
    return
  with open(os.path.join(workdir, 'environment.jsonl'), 'a') as file:
    file.write(json.dumps(describe()) + '\n')


def describe() -> dict[str, Any]:
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
