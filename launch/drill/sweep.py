"""`launch.sweep`: six runs, one of which diverges, under a sweep killed twice.

Five are done once each, one is named, and the table says so.
"""

import csv
import json
import pathlib
import subprocess
import sys

from base import files
from launch.drill import play, tiny

_STEPS = 30
_LONG = 1800.0  # seconds, of a busy machine
_SWEEP = """
import itertools
from launch.drill import tiny

def sweep():
  for lr, seed in itertools.product((1e-3, 3e-3), (0, 1, 2)):
    broken = (lr, seed) == (3e-3, 0)
    yield {{
      'config': 'configs/quickstart.py:steps={steps}',
      'name': 'broken' if broken else '',
      'optim.lr': 1e30 if broken else lr,
      'seed': seed,
      'checkpoint.every': 5,
    }}
"""
_READOUT = 'configs/readout.py:task=depth+pose,data=world,steps=3'
_GOOD = [f'lr-{lr}_seed-{seed}' for lr in (0.001, 0.003) for seed in (0, 1, 2)]
_GOOD.remove('lr-0.003_seed-0')


def drill(folder: pathlib.Path) -> None:
  """Plays it.

  Raises:
    ValueError: something is not as promised.
  """
  (folder / 'sweep_drill.py').write_text(_SWEEP.format(steps=_STEPS))
  runs = folder / 'runs'
  play.tell('six runs of 30 steps, two at a time; one of them diverges')
  sweep = _Sweep(folder, 1)
  play.wait(
    'step 7 of the second',
    lambda: max(tiny.losses(runs / _GOOD[1]), default=0) > 7,
    _LONG,
  )
  play.tell('the sweep is killed')
  sweep.process.kill()
  play.wait('its runs to save and end', lambda: not _claimed(runs), _LONG)
  begun = {name: _checkpoints(runs / name) for name in _GOOD[:2]}
  play.check('they saved before', all(begun.values()), begun)

  play.tell('the same command; killed when two runs have their readouts')
  sweep = _Sweep(folder, 2)
  play.wait('that', lambda: len(_done(runs)) >= 2, _LONG)
  sweep.process.kill()
  play.wait('its runs to end', lambda: not _claimed(runs), _LONG)
  before = {name: _written(runs / name) for name in _done(runs)}

  play.tell('the same command, to the end')
  sweep = _Sweep(folder, 3)
  code = sweep.process.wait(_LONG)
  said = sweep.log.read_text()
  play.check('its code says that something failed', code == 1, said)
  last = said.strip().splitlines()[-1]
  play.check(
    'it names the run that diverges, alone',
    last.startswith('1 of 6 runs failed: broken: train: '),
    last,
  )
  play.check('the others are done', _done(runs) == sorted(_GOOD), _done(runs))
  again = [name for name in before if _written(runs / name) != before[name]]
  play.check('what was done did not run again', not again, again)
  for name in _GOOD:
    steps = list(tiny.losses(runs / name))
    play.check(
      f'{name} did each step once',
      steps == list(range(1, _STEPS + 1)),
      steps,
    )
  _check_table(runs, said)

  play.tell('the same command once more')
  sweep = _Sweep(folder, 4)
  code = sweep.process.wait(_LONG)
  said = sweep.log.read_text()
  started = [line for line in said.splitlines() if ', start ' in line]
  play.check('nothing is started', code == 1 and not started, said)


class _Sweep:
  """The command, writing into a file."""

  def __init__(self, folder: pathlib.Path, number: int):
    self.log = folder / f'terminal-{number}.log'
    more = {f'--config.{key}={value}' for key, value in tiny.OVERRIDES.items()}
    with open(self.log, 'w') as file:
      self.process = subprocess.Popen(
        [
          *(sys.executable, '-m', 'launch.sweep'),
          f'--config={folder}/sweep_drill.py',
          *('--on=local', '--at_once=2', f'--workdir={folder}/runs'),
          *(f'--readouts={_READOUT}', '--', *sorted(more)),
        ],
        env=tiny.environment(),
        stdout=file,
        stderr=file,
      )


def _claimed(runs: pathlib.Path) -> list[str]:
  """Folders at which processes are."""
  found = []
  # Not all below: checkpoints come and go while one looks.
  for path in (*runs.glob('*/claim'), *runs.glob('*/readouts/*/claim')):
    with files.lock(path) as held_by:
      found += [str(path)] * bool(held_by)
  return found


def _checkpoints(run: pathlib.Path) -> list[str]:
  return [x.name for x in run.glob('checkpoints/*') if x.name.isdigit()]


def _done(runs: pathlib.Path) -> list[str]:
  """Names of runs with a result of their readout."""
  return sorted(
    path.parents[2].name for path in runs.glob('*/readouts/*/result.json')
  )


def _written(run: pathlib.Path) -> dict[str, int]:
  """When the files were that each start of a command writes."""
  return {
    str(path): path.stat().st_mtime_ns
    for path in (
      *run.rglob('environment.jsonl'),
      *run.rglob('config.json'),
      *run.rglob('result.json'),
    )
  }


def _check_table(runs: pathlib.Path, said: str) -> None:
  """Of what it says, each number is that of the run's own files."""
  with open(runs / 'results.csv') as file:
    table = {line['run']: line for line in csv.DictReader(file)}
  states = {name: line['state'] for name, line in table.items()}
  wanted = {**dict.fromkeys(_GOOD, 'done'), 'broken': 'failed'}
  play.check('the table has six runs, as they are', states == wanted, states)
  for name in _GOOD:
    (path,) = (runs / name).glob('readouts/*/result.json')
    tasks = json.loads(path.read_text())['tasks']
    found = {
      f'{task} {key}': f'{scores["metrics"][key]["value"]:.4f}'
      for task, scores in tasks.items()
      for key in scores['headline']
    }
    losses = tiny.losses(runs / name)
    found['train/loss'] = f'{losses[_STEPS]:.4f}'
    there = {key: table[name][key] for key in found}
    play.check(f'its numbers are those of {name}', there == found, there)
    play.check('and are on the terminal', found['train/loss'] in said)
  page = (runs / 'report/index.html').read_text()
  play.check('the report shows them', all(name in page for name in _GOOD))
