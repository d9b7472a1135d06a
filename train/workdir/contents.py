"""What a run's folder holds: its config, and how far the run has come."""

from collections.abc import Mapping
from typing import Any

from etils import epath

from base import files, jsons

# What Orbax writes last into a checkpoint.
COMMITTED = 'commit_success.txt'
# Keys of config.json that are no part of the config.
_HISTORY, _FINGERPRINT = 'history', 'fingerprint'
_REMEDIES = {
  'config.json': 'put a copy back; the command of the run, given another '
  '--workdir, writes one there',
  'watch.json': 'remove it: the command of the watch writes it again',
}


def read_config(workdir: str, *, name: str = 'config.json') -> dict[str, Any]:
  """The config that a run's folder holds, as it is now.

  Raises:
    ValueError: the file is damaged.
    FileNotFoundError: there is none.
  """
  config = jsons.read(files.path(workdir) / name, dict, _REMEDIES[name])
  ours = (_HISTORY, _FINGERPRINT)
  return {key: value for key, value in config.items() if key not in ours}


def read_history(
  workdir: str, *, name: str = 'config.json'
) -> list[dict[str, Any]]:
  """What was changed of a run since it began, see `settle`; mostly nothing.

  Raises:
    ValueError: the file is damaged.
    FileNotFoundError: there is none.
  """
  return _read(workdir, name, _HISTORY, [], [dict])


def read_fingerprint(workdir: str, *, name: str = 'config.json') -> dict:
  """{split: {label: fingerprint}} of the data of a run, see `settle`.

  Raises:
    ValueError: the file is damaged.
    FileNotFoundError: there is none.
  """
  return _read(workdir, name, _FINGERPRINT, {}, dict)


def _read(workdir, name, key, default, kind):
  path = files.path(workdir) / name
  found = jsons.read(path, dict, _REMEDIES[name]).get(key, default)
  return jsons.expect(found, kind, f'{path}: {key}', _REMEDIES[name])


def with_ours(
  config: Mapping[str, Any], fingerprint: Mapping, history: list
) -> dict[str, Any]:
  """What config.json is to hold."""
  ours = {_FINGERPRINT: fingerprint, _HISTORY: history}
  return {**config, **{key: value for key, value in ours.items() if value}}


def has_begun(workdir: str) -> bool:
  """Whether a run's folder holds what it computed: a checkpoint or a result."""
  return bool(steps(workdir)) or is_done(workdir)


def is_done(workdir: str) -> bool:
  """Whether the folder is that of a readout job with its result."""
  return files.exists(files.path(workdir) / 'result.json')


def steps(workdir: str) -> list[int]:
  """Of a run's whole checkpoints, in order."""
  folder = files.path(workdir) / 'checkpoints'
  return sorted(
    int(name)
    for name in files.names(folder)
    if name.isdigit() and is_whole(folder / name)
  )


def is_whole(checkpoint: epath.Path) -> bool:
  """Whether all of a checkpoint is there, of what has a checkpoint's name.

  On a disk Orbax gives it the name last; in an object store it writes a file
  last.
  """
  if files.is_local(checkpoint):
    return files.is_folder(checkpoint)
  return files.exists(checkpoint / COMMITTED)
