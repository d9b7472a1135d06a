"""What lies on disk of each evaluated checkpoint: results, errors, losses.

WORKDIR/STEP/ is the job of all tasks of a step, WORKDIR/STEP-TASK/ that of one
task where they failed together, WORKDIR/STEP/errors.json says why, and
WORKDIR/STEP.deleted that the run deleted the checkpoint before its turn.
"""

import json
import os
import time
from collections.abc import Mapping, Sequence
from typing import Any

from etils import epath

from base import files, jsons
from evals import result as result_lib


def is_done(workdir: str, step: int) -> bool:
  """Whether each task of the step has a result or an error."""
  folder = os.path.join(workdir, str(step))
  if _has_result(folder):
    return True
  found = errors(folder)
  return found is not None and all(
    name in found['failed'] or _has_result(folder_of(folder, name))
    for name in found['tasks']
  )


def steps(workdir: str) -> list[int]:
  """Of jobs that were begun."""
  names = files.names(files.path(workdir))
  return sorted(int(name) for name in names if name.isdigit())


def has_begun(workdir: str) -> bool:
  """Whether a job has claimed its folder, which it does once it can work."""
  folder = files.path(workdir)
  return any(
    files.exists(folder / str(step) / 'config.json') for step in steps(workdir)
  )


def folder_of(folder: str, task: str) -> str:
  """Of the job of one task, beside that of all."""
  return f'{folder}-{task}'


def errors(folder: str) -> dict[str, Any] | None:
  """`tasks` of a step's job, and which `failed`: {task: error}.

  Under 'together' is the error of the job of all. None: nothing failed yet.

  Raises:
    ValueError: the file is damaged.
  """
  path = _errors_path(folder)
  if not files.exists(path):
    return None
  remedy = 'remove it: the tasks of this step are tried again'
  return jsons.read(path, {'tasks': [str], 'failed': dict}, remedy)


def write_errors(
  folder: str, tasks: Sequence[str], failed: Mapping[str, str]
) -> None:
  """See `errors`."""
  found = {'tasks': tasks, 'failed': failed}
  files.write(_errors_path(folder), json.dumps(found, indent=2))


def forget_errors(folder: str) -> None:
  """The tasks of this step are tried again."""
  files.remove(_errors_path(folder))


def failures(workdir: str) -> dict[str, dict[str, str]]:
  """{step: {task: error}} of all steps."""
  found = {}
  for step in steps(workdir):
    failed = errors(os.path.join(workdir, str(step)))
    if failed is not None:
      found[str(step)] = failed['failed']
  return found


def write_lost(workdir: str, step: int) -> bool:
  """Notes that a step was deleted before its turn; whether that is news."""
  path = _lost_path(os.path.join(workdir, str(step)))
  if files.exists(path):
    return False
  files.write(path, json.dumps({'time': time.time()}))
  return True


def write_results(workdir: str) -> None:
  """WORKDIR/results.jsonl: a line per evaluated step and task.

  Of a step that was deleted before, a line with an `error` in place of scores.
  Written anew from the jobs' results each time, so that no line can be
  missing, torn or there twice, whenever a process is killed.

  Raises:
    ValueError: a job's result or errors.json is damaged.
  """
  lines = []
  for step in sorted({*steps(workdir), *_lost(workdir)}):
    folder = os.path.join(workdir, str(step))
    if files.exists(_lost_path(folder)) and not is_done(workdir, step):
      line = {'step': step, 'error': 'deleted before it was its turn'}
      lines.append(json.dumps(line) + '\n')
    folders = [folder]
    if not _has_result(folder):
      tasks = (errors(folder) or {'tasks': []})['tasks']
      folders = [folder_of(folder, name) for name in tasks]
    for each in filter(_has_result, folders):
      result = result_lib.read(each)
      for task, found in result['tasks'].items():
        line = {
          'step': step,
          'task': task,
          **{key: result[key] for key in ('source', 'split', 'seed')},
          **{key: found[key] for key in ('metrics', 'trivial', 'lr', 'clips')},
        }
        lines.append(json.dumps(line) + '\n')
  files.write(files.path(workdir) / 'results.jsonl', ''.join(lines))


def _lost(workdir: str) -> list[int]:
  """Steps that were deleted before they were evaluated."""
  there = files.names(files.path(workdir))
  names = [os.path.splitext(name) for name in there]
  return [
    int(name) for name, end in names if end == '.deleted' and name.isdigit()
  ]


def _lost_path(folder: str) -> epath.Path:
  return files.path(f'{folder}.deleted')


def _has_result(folder: str) -> bool:
  return files.exists(files.path(folder) / 'result.json')


def _errors_path(folder: str) -> epath.Path:
  return files.path(folder) / 'errors.json'
