"""What is known of a launch: one small file, runs/launches/NAME.json.

It lies here and not beside the workdir: `status`, `logs` and `stop` are given a
name and nothing else, they must work where the workdir cannot be read, and it
says what machines are rented, whatever becomes of the run.
"""

import dataclasses
import json
import pathlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from base import files, jsons, names

FOLDER = pathlib.Path('runs', 'launches')
RUN, STOP = 'run', 'stop'
_REMEDY = 'remove it, after `gcloud compute tpus queued-resources list`'


@dataclasses.dataclass(frozen=True)
class Record:
  """Of a launch.

  Attributes:
    name: of the launch and of its machines.
    project: of Google Cloud.
    zone: in it.
    type: Google's name of a slice.
    topology: as 'v5p:4x4x8'.
    slices: how many.
    tier: one of `machine.TIERS`.
    through: how ssh gets there, one of `queued.THROUGH`.
    ssh_port: of the hosts.
    command: words of the job.
    code: name of the checkout on the hosts.
    wait_sec: for machines, at most.
    attempt: number of the last start, from 1; 0: none yet.
    restarts: that counted.
    wanted: RUN or STOP.
    outcome: how it ended; '': it did not.
    forecast: see `launch.forecast`.
  """

  name: str
  project: str
  zone: str
  type: str
  topology: str
  slices: int
  tier: str
  through: str
  ssh_port: int
  command: list[str]
  code: str
  wait_sec: int
  attempt: int
  restarts: int
  wanted: str
  outcome: str
  forecast: dict[str, Any]


_KINDS = {
  field.name: {'command': [str], 'forecast': dict}.get(field.name, field.type)
  for field in dataclasses.fields(Record)
}


def path_of(name: str) -> pathlib.Path:
  """The file of a launch."""
  return FOLDER / f'{name}.json'


def find(name: str) -> Record | None:
  """That of a name, if there is one.

  Raises:
    ValueError: it is damaged.
  """
  if not path_of(name).exists():
    return None
  found = jsons.read(path_of(name), _KINDS, _REMEDY)
  return Record(**{key: found[key] for key in _KINDS})


def load(name: str) -> Record:
  """That of a name.

  Raises:
    ValueError: there is none, or it is damaged.
  """
  found = find(name)
  if found is None:
    known = sorted(each.stem for each in FOLDER.glob('*.json'))
    if not known:
      raise ValueError(
        f'--name={name}: nothing was launched from this folder; run it where '
        '`python -m launch.tpu start` was run'
      )
    names.choose('--name', name, known)
  return found


def save(record: Record) -> Record:
  """Writes it."""
  FOLDER.mkdir(parents=True, exist_ok=True)
  text = json.dumps(dataclasses.asdict(record), indent=1)
  files.write(path_of(record.name), text + '\n')
  return record


def change(name: str, **values: Any) -> Record:
  """Changes some of what is written; the others may be another command's."""
  with files.lock(FOLDER / f'.{name}.lock', wait=True):
    return save(dataclasses.replace(load(name), **values))


@contextmanager
def followed(name: str) -> Iterator[None]:
  """Inside, this is the one command that restarts a launch.

  Raises:
    ValueError: another one does.
  """
  with files.lock(FOLDER / f'.{name}.followed') as other:
    if other:
      raise ValueError(
        f'--name={name} is followed by {other} already: look at it with '
        f'`python -m launch.tpu status --name={name}`, or end that one first '
        '(the job goes on)'
      )
    yield
