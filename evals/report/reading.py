"""What a report knows of runs: the files in their folders, nothing else.

A damaged file takes nothing with it but what it holds: of a job, the job, or
its pairs; the report names it. Without the run's own config.json there is none.
"""

import collections
import dataclasses
import io
import os
import re
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np

from base import files, jsons, npz
from evals import is_readout
from evals import job as job_lib
from evals import result as result_lib
from evals.metrics import Sums
from evals.watch import outcomes
from train import progress, workdir
from train.writer import SAMPLES

# What is read of a pretraining run's config.json, see `jsons.read`.
_KIND = {
  **{'steps': int, 'model': {'name': str}},
  'data': {'batch_size': int, 'sources': dict},
}
_NO_PAIRS = (
  'its job is paired with no other; remove the result.json beside it, and the '
  "job's command tests again"
)


@dataclasses.dataclass(frozen=True)
class Run:
  """A pretraining run and its readout jobs."""

  name: str
  path: str
  config: dict[str, Any]
  metrics: list[dict[str, Any]]  # lines of metrics.jsonl
  pictures: dict[str, str]  # name -> PNG of the last step that has any
  bill: progress.Bill | None  # where its time went
  jobs: list['Job']  # finished
  unfinished: list[str]  # folders of jobs without a result yet
  failed: dict[str, str]  # folder and task of `evals.watch` -> why
  damaged: list[str]  # files that could not be read, each with why

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
  # clips.npz; None where it is damaged. Arrays are not compared by `==`.
  clips: dict[str, np.ndarray] | None = dataclasses.field(
    compare=False, repr=False
  )

  @property
  def seed(self) -> tuple[str, int]:
    """What jobs that differ by chance only differ in."""
    return self.run, self.result['seed']

  def sums(self, task: str) -> Sums | None:
    """Sums [n ...] of each test clip, of the head that was chosen."""
    if self.clips is None:
      return None
    return {
      name.removeprefix(f'{task}/'): values
      for name, values in self.clips.items()
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
    place = workdir.real(path)
    if place in places:
      raise ValueError(
        f'{places[place]} and {path} are the same run: give it once'
      )
    places[place] = path
  return [run(path, name) for path, name in zip(paths, _names(paths))]


def run(path: str, name: str = '') -> Run:
  """Reads a run's folder; what is not there yet, or damaged, is left out.

  Jobs are folders with a result.json at any depth of its readouts/.

  Args:
    path: the folder.
    name: what to call the run; as its folder if empty.

  Raises:
    ValueError: no run there, a readout job, or its config.json is damaged.
  """
  folder = files.path(path)
  if not files.exists(folder / 'config.json'):
    raise ValueError(
      f'{path} is not a run: it has no config.json. Give the --workdir of a '
      'pretraining run; its readouts are looked for in its readouts/'
    )
  if is_readout(job_lib.read_config(path, {})):
    raise ValueError(
      f'{path} is a readout job, and a report is of pretraining runs. Give '
      f'{job_lib.run_of(path)}, whose readout it is: all jobs in its readouts/ '
      'are shown, with what they are compared with'
    )
  config = job_lib.read_config(path, _KIND)
  name = name or _parts(path)[-1]
  folders = _folders(os.path.join(path, 'readouts'))
  damaged: list[str] = []
  jobs = [_job(name, each, damaged) for each in folders['result.json']]
  return Run(
    name=name,
    path=path,
    config=config,
    metrics=_lines(os.path.join(path, 'metrics.jsonl'), damaged),
    pictures=_last_pictures(os.path.join(path, 'pictures')),
    bill=_bill(path, damaged),
    jobs=[job for job in jobs if job],
    unfinished=folders['config.json'],
    failed={
      task: why
      for each in folders['errors.json']
      for task, why in _failures(each, damaged).items()
    },
    damaged=damaged,
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
  whole = os.fspath(files.path(path)).replace('://', '/')
  return whole.strip(os.sep).split(os.sep)


def _folders(root: str) -> dict[str, list[str]]:
  """Folders of jobs, by the file that says most of what became of them."""
  found: dict[str, list[str]] = {
    name: [] for name in ('result.json', 'errors.json', 'config.json')
  }
  _look(root, found)
  return found


def _look(folder: str, found: dict[str, list[str]]) -> None:
  """Adds a folder of a job, or those that are below another folder."""
  there = files.names(folder)
  for name in found:
    if name in there:
      found[name].append(folder)
      return
  for name in there:
    below = os.path.join(folder, name)
    if files.is_folder(below) and not os.path.islink(below):
      _look(below, found)


def _job(run: str, folder: str, damaged: list[str]) -> Job | None:
  """A job; without a result that can be read, None."""
  try:
    result = result_lib.read(folder)
  except ValueError as error:
    damaged.append(str(error))
    return None
  clips = None
  try:
    clips = _clips(os.path.join(folder, 'clips.npz'), result['tasks'])
  except ValueError as error:
    damaged.append(str(error))
  pictures = _pngs(os.path.join(folder, 'pictures'))
  return Job(run, folder, result, pictures, clips)


def _clips(path: str, tasks: Collection[str]) -> dict[str, np.ndarray]:
  """'<task>/<name>' -> sums [n ...] of each test clip.

  Raises:
    ValueError: the file is damaged.
  """
  try:
    raw = io.BytesIO(files.read_bytes(path))
  except OSError as e:
    raise ValueError(f'{path} cannot be read ({e}): {_NO_PAIRS}') from e
  clips = npz.read(raw, path, _NO_PAIRS)
  lacking = [task for task in tasks if f'{task}/count' not in clips]
  if lacking:
    raise ValueError(f'{path} lacks clips of {", ".join(lacking)}: {_NO_PAIRS}')
  return clips


def _failures(folder: str, damaged: list[str]) -> dict[str, str]:
  try:
    failed = outcomes.errors(folder)['failed']
  except ValueError as error:
    damaged.append(str(error))
    return {}
  return {f'{folder}, {task}': why for task, why in failed.items()}


def _bill(path: str, damaged: list[str]) -> progress.Bill | None:
  try:
    return progress.read(path)
  except FileNotFoundError:
    return None
  except ValueError as error:
    damaged.append(str(error))
    return None


def _lines(path: str, damaged: list[str]) -> list[dict[str, Any]]:
  """What was logged; lines that say nothing are skipped."""
  if not files.exists(path):
    return []
  # Bytes of a damaged file may be no UTF-8. A run that still writes may have a
  # last line without its end.
  *texts, _ = files.read_bytes(path).decode(errors='replace').split('\n')
  lines = [line for line in map(_line, texts) if line]
  if len(lines) < len(texts):
    damaged.append(
      f'{len(texts) - len(lines)} of {len(texts)} lines of {path}, which are '
      'not JSON of a step and numbers'
    )
  return lines


def _line(text: str) -> dict[str, Any] | None:
  try:
    line = jsons.parse(text)
  except ValueError:
    return None
  if isinstance(line, dict):
    line.pop(SAMPLES, None)  # no curve
  is_whole = (
    isinstance(line, dict)
    and 'step' in line
    and isinstance(line['step'], int)
    and all(
      isinstance(value, float)
      # Of more than 64 bits it is none that a curve can be drawn through.
      or (isinstance(value, int) and abs(value) < 2**63)
      for value in line.values()
    )
  )
  return line if is_whole else None


def _last_pictures(folder: str) -> dict[str, str]:
  names = files.names(folder)
  steps = sorted(int(name) for name in names if re.fullmatch(r'\d+', name))
  return _pngs(os.path.join(folder, str(steps[-1]))) if steps else {}


def _pngs(folder: str) -> dict[str, str]:
  return {
    name.removesuffix('.png'): os.path.join(folder, name)
    for name in files.names(folder)
    if name.endswith('.png')
  }
