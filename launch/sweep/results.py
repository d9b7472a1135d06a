"""The table at the end of a sweep, and the report on its runs."""

import csv
import io
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

from base import console, files, jsons
from launch.sweep.entry import Entry, logged
from launch.sweep.stages import TRAIN

LOSSES = ('train/loss', 'eval/loss')
_REMEDY = (
  "remove it: the job's command tests again, from the job's last checkpoint"
)


def rows(entries: Sequence[Entry]) -> list[dict[str, str]]:
  """A line per run: what it cost, its losses, the main score of each task.

  Raises:
    ValueError: a damaged result.
  """
  return [_row(entry) for entry in entries]


def _row(entry: Entry) -> dict[str, str]:
  is_done = entry.stage is None
  found = {
    'run': entry.name,
    'state': 'failed' if entry.state.failed else 'done' if is_done else 'open',
    'parameters': _short(entry.cost.parameters),
    'FLOPs': f'{entry.cost.flops:.2e}',
  }
  return found | {name: f'{value:.4f}' for name, value in scores(entry).items()}


def scores(entry: Entry) -> dict[str, float]:
  """Losses of a run as last logged, and the main score of each task.

  Raises:
    ValueError: a damaged result.
  """
  values = logged(entry.stages[0])
  found = {name: values[name] for name in LOSSES if name in values}
  for stage in entry.stages:
    if stage.name == TRAIN or stage.name not in entry.state.done:
      continue
    result = _result(f'{stage.folder}/result.json')
    for task, of_task in result['tasks'].items():
      for name in of_task['headline']:
        found[f'{task} {name}'] = of_task['metrics'][name]['value']
  return found


def _result(path: str) -> dict[str, Any]:
  result = jsons.read(path, {'tasks': dict}, _REMEDY)
  for task, found in result['tasks'].items():
    kind = {'headline': [str], 'metrics': dict}
    jsons.expect(found, kind, f'{path}: tasks: {task}', _REMEDY)
  return result


def write(workdir: str, entries: Sequence[Entry]) -> str:
  """DIR/results.csv; the same as text.

  Raises:
    ValueError: a damaged result.
  """
  lines = rows(entries)
  names = dict.fromkeys(name for line in lines for name in line)
  text = io.StringIO()
  writer = csv.DictWriter(text, list(names), lineterminator='\n')
  writer.writeheader()
  writer.writerows(lines)
  files.write(f'{workdir}/results.csv', text.getvalue())
  return console.table(lines)


def report(workdir: str, entries: Sequence[Entry]) -> str:
  """What `evals.report` says of the runs that are done; it writes DIR/report.

  A process of its own, since it draws with libraries that take a while.
  """
  done = [entry.folder for entry in entries if entry.stage is None]
  if not done:
    return ''
  command = [
    *(sys.executable, '-m', 'evals.report', *done),
    f'--out={workdir}/report',
  ]
  made = subprocess.run(command, capture_output=True, text=True)
  if made.returncode:
    last = (made.stderr.strip().splitlines() or ['it said nothing'])[-1]
    return f'no report was written: {last}'
  return made.stdout.strip()


def _short(count: int) -> str:
  """'22.5M'."""
  for unit, size in (('B', 1e9), ('M', 1e6), ('k', 1e3)):
    if count >= size:
      return f'{count / size:.1f}{unit}'
  return f'{count}'
