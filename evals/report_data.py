"""What a report knows of a run: the files in its folder, nothing else."""

import dataclasses
import json
import os
import re
from collections.abc import Sequence
from typing import Any

import numpy as np


@dataclasses.dataclass(frozen=True)
class Run:
  """A pretraining run and its finished readouts."""

  name: str
  path: str
  config: dict[str, Any]
  metrics: list[dict[str, Any]]  # lines of metrics.jsonl
  pictures: dict[str, str]  # name -> PNG of the last step that has any
  readouts: list['Readout']

  @property
  def slug(self) -> str:
    """The name as part of file names and links."""
    return slug(self.name)


@dataclasses.dataclass(frozen=True)
class Readout:
  """A finished readout job."""

  path: str
  result: dict[str, Any]  # result.json
  pictures: dict[str, str]


@dataclasses.dataclass(frozen=True)
class Row:
  """Readouts that differ in their seed only."""

  run: str
  task: str
  source: str
  random_init: bool
  steps: int
  readouts: list[Readout]

  @property
  def headline(self) -> list[str]:
    return self.readouts[0].result['headline']

  @property
  def seeds(self) -> list[int]:
    return [readout.result['seed'] for readout in self.readouts]

  def values(self, metric: str) -> list[float]:
    """One per seed."""
    return [r.result['metrics'][metric]['value'] for r in self.readouts]

  def score(self, metric: str) -> dict[str, float]:
    """Mean over seeds of the value and of the ends of its interval.

    `std` is over seeds; 0 of a single one.
    """
    scores = [r.result['metrics'][metric] for r in self.readouts]
    mean = {
      end: float(np.mean([score[end] for score in scores]))
      for end in ('value', 'low', 'high')
    }
    values = self.values(metric)
    std = float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
    return mean | {'std': std}


def slug(name: str) -> str:
  """A name of letters, digits, '_', '.' and '-' only."""
  return re.sub(r'[^\w.-]+', '-', name)


def run(path: str) -> Run:
  """Reads a run's folder; what is not there yet is left out.

  Raises:
    ValueError: no run there.
  """
  config = os.path.join(path, 'config.json')
  if not os.path.exists(config):
    raise ValueError(
      f'{path} is not a run: it has no config.json. Give the --workdir of a '
      'pretraining run; its readouts are looked for in its readouts/'
    )
  folder = os.path.join(path, 'readouts')
  names = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
  found = [os.path.join(folder, name) for name in names]
  return Run(
    name=os.path.basename(os.path.abspath(path)),
    path=path,
    config=_json(config),
    metrics=_lines(os.path.join(path, 'metrics.jsonl')),
    pictures=_last_pictures(os.path.join(path, 'pictures')),
    readouts=[
      Readout(
        path=at,
        result=_json(os.path.join(at, 'result.json')),
        pictures=_pngs(os.path.join(at, 'pictures')),
      )
      for at in found
      if os.path.exists(os.path.join(at, 'result.json'))
    ],
  )


def rows(runs: Sequence[Run]) -> list[Row]:
  """Readouts by what they are of, seeds together; pretrained first."""
  groups: dict[tuple, list[Readout]] = {}
  for each in runs:
    for readout in each.readouts:
      r = readout.result
      key = (each.name, r['task'], r['source'], r['random_init'], r['steps'])
      groups.setdefault(key, []).append(readout)
  for group in groups.values():
    group.sort(key=lambda readout: readout.result['seed'])
  return [Row(*key, group) for key, group in sorted(groups.items())]


def pairs(every: Sequence[Row]) -> list[tuple[Row, Row]]:
  """(pretrained, random init) of the same run, task, data and steps."""
  baselines = {
    (row.run, row.task, row.source, row.steps): row
    for row in every
    if row.random_init
  }
  found = []
  for row in every:
    key = (row.run, row.task, row.source, row.steps)
    if not row.random_init and key in baselines:
      found.append((row, baselines[key]))
  return found


def curve(run: Run, name: str) -> tuple[list[int], list[float]]:
  """Steps and values of one metric."""
  lines = [line for line in run.metrics if name in line]
  return [int(line['step']) for line in lines], [line[name] for line in lines]


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
