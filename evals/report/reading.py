"""What a report knows of runs: the files in their folders, nothing else."""

import collections
import dataclasses
import json
import os
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from evals.metrics import Sums


@dataclasses.dataclass(frozen=True)
class Run:
  """A pretraining run and its readout jobs."""

  name: str
  path: str
  config: dict[str, Any]
  metrics: list[dict[str, Any]]  # lines of metrics.jsonl
  pictures: dict[str, str]  # name -> PNG of the last step that has any
  jobs: list['Job']  # finished
  unfinished: list[str]  # folders of jobs without a result yet
  failed: dict[str, str]  # folder and task of `evals.watch` -> why

  @property
  def slug(self) -> str:
    """The name as part of file names and links."""
    return slug(self.name)


@dataclasses.dataclass(frozen=True)
class Job:
  """A finished readout job."""

  run: str  # name of the pretraining run
  path: str
  result: dict[str, Any]  # result.json
  pictures: dict[str, str]

  @property
  def seed(self) -> tuple[str, int]:
    """What jobs that differ by chance only differ in."""
    return self.run, self.result['seed']

  def sums(self, task: str) -> Sums:
    """Sums [n ...] of each test clip, of the head that was chosen."""
    with np.load(os.path.join(self.path, 'clips.npz')) as file:
      return {
        name.removeprefix(f'{task}/'): file[name]
        for name in file.files
        if name.startswith(f'{task}/')
      }


def slug(name: str) -> str:
  """A name of letters, digits, '_', '.' and '-' only."""
  return re.sub(r'[^\w.-]+', '-', name)


def runs(paths: Sequence[str]) -> list[Run]:
  """Reads runs; those of the same name are called by their parents too.

  Raises:
    ValueError: the same folder twice, names that differ in punctuation only,
      or what `run` raises.
  """
  places: dict[str, str] = {}
  for path in paths:
    place = os.path.realpath(path)
    if place in places:
      raise ValueError(
        f'{places[place]} and {path} are the same run: give it once'
      )
    places[place] = path
  return [run(path, name) for path, name in zip(paths, _names(paths))]


def run(path: str, name: str = '') -> Run:
  """Reads a run's folder; what is not there yet is left out.

  Jobs are folders with a result.json at any depth of its readouts/.

  Args:
    path: the folder.
    name: what to call the run; as its folder if empty.

  Raises:
    ValueError: no run there, a readout job, or a result of an earlier version.
  """
  file = os.path.join(path, 'config.json')
  if not os.path.exists(file):
    raise ValueError(
      f'{path} is not a run: it has no config.json. Give the --workdir of a '
      'pretraining run; its readouts are looked for in its readouts/'
    )
  config = _json(file)
  if 'tasks' in config:
    of = config['backbone']['run']
    raise ValueError(
      f'{path} is a readout job, and a report is of pretraining runs. Give '
      f'{of}, whose readout it is: all jobs in its readouts/ are shown, with '
      'what they are compared with'
    )
  name = name or _parts(path)[-1]
  folders = _folders(os.path.join(path, 'readouts'))
  return Run(
    name=name,
    path=path,
    config=config,
    metrics=_lines(os.path.join(path, 'metrics.jsonl')),
    pictures=_last_pictures(os.path.join(path, 'pictures')),
    jobs=[_job(name, folder) for folder in folders['result.json']],
    unfinished=folders['config.json'],
    failed={
      task: why
      for folder in folders['errors.json']
      for task, why in _failures(folder).items()
    },
  )


def curve(run: Run, name: str) -> tuple[list[int], list[float]]:
  """Steps and values of one metric."""
  lines = [line for line in run.metrics if name in line]
  return [int(line['step']) for line in lines], [line[name] for line in lines]


def _names(paths: Sequence[str]) -> list[str]:
  """The last part of each path; more of them where slugs would be the same."""
  parts = [_parts(path) for path in paths]
  counts = [1] * len(parts)
  while True:
    names = ['/'.join(x[-count:]) for x, count in zip(parts, counts)]
    taken = collections.Counter(map(slug, names))
    twins = [place for place, name in enumerate(names) if taken[slug(name)] > 1]
    if not twins:
      return names
    longer = [place for place in twins if counts[place] < len(parts[place])]
    if not longer:
      raise ValueError(
        'runs must have names that differ in letters or digits, got '
        f'{[paths[place] for place in twins]}: rename one of the folders'
      )
    for place in longer:
      counts[place] += 1


def _parts(path: str) -> list[str]:
  return os.path.abspath(path).strip(os.sep).split(os.sep)


def _folders(root: str) -> dict[str, list[str]]:
  """Folders of jobs, by the file that says most of what became of them."""
  found: dict[str, list[str]] = {
    name: [] for name in ('result.json', 'errors.json', 'config.json')
  }
  for folder, folders, files in os.walk(root):
    folders.sort()
    for name in found:
      if name in files:
        found[name].append(folder)
        folders.clear()  # its checkpoints
        break
  return found


def _job(run: str, folder: str) -> Job:
  path = os.path.join(folder, 'result.json')
  result = _json(path)
  if 'tasks' not in result:
    raise ValueError(
      f'{path} is of an earlier version, whose jobs had one task. Remove its '
      'folder (or move it away) and run its job again'
    )
  return Job(run, folder, result, _pngs(os.path.join(folder, 'pictures')))


def _failures(folder: str) -> dict[str, str]:
  failed = _json(os.path.join(folder, 'errors.json'))['failed']
  return {f'{folder}, {task}': why for task, why in failed.items()}


def _json(path: str) -> Any:
  with open(path) as file:
    return json.load(file)


def _lines(path: str) -> list[dict[str, Any]]:
  if not os.path.exists(path):
    return []
  with open(path) as file:
    # A run that still writes may have a last line without its end.
    return [json.loads(line) for line in file if line.endswith('\n')]


def _last_pictures(folder: str) -> dict[str, str]:
  names = os.listdir(folder) if os.path.isdir(folder) else []
  steps = sorted(int(name) for name in names if re.fullmatch(r'\d+', name))
  return _pngs(os.path.join(folder, str(steps[-1]))) if steps else {}


def _pngs(folder: str) -> dict[str, str]:
  names = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
  return {
    name.removesuffix('.png'): os.path.join(folder, name)
    for name in names
    if name.endswith('.png')
  }
