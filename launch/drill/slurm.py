"""`launch.slurm`: the time limit comes; the job saves, waits and goes on.

On a real Slurm of this machine (needs root). It ends with the bits of a run
that met no limit.
"""

import os
import pathlib
import statistics
import subprocess
import sys
import tempfile

from base import jsons
from launch.drill import play, slurm_of_one, tiny
from launch.slurm import calls, state
from launch.slurm.record import Record

_LONG = 1800.0  # seconds, of a busy machine
_LIMIT_MIN, _SAVE_SEC = 3, 60
# Longer than Slurm takes to tell processes to stop.
_TRAINING_SEC = 60 * _LIMIT_MIN


def missing() -> str:
  """Why it cannot be played here; '' if it can."""
  return slurm_of_one.missing()


def drill(folder: pathlib.Path) -> None:
  """Plays it.

  Raises:
    ValueError: something is not as promised, or there can be no Slurm here.
  """
  play.tell('a Slurm of one machine: controller, node, keys')
  # Apart from the folder: names of its sockets must be short.
  with (
    tempfile.TemporaryDirectory(prefix='slurm-') as short,
    slurm_of_one.running(pathlib.Path(short, 'of-one')) as variables,
  ):
    os.environ.update(variables | tiny.ENVIRONMENT)
    _play(folder)


def _play(folder: pathlib.Path) -> None:
  play.tell('30 steps in two tasks: how long is a step?')
  _start(folder / 'probe', 30, minutes=60)
  play.check('it is done', _end(folder / 'probe') == 'COMPLETED')
  steps = round(_TRAINING_SEC / _step_sec(folder / 'probe'))

  play.tell(f'{steps} steps, with an hour for them')
  _start(folder / 'whole', steps, minutes=60)
  play.check('it is done', _end(folder / 'whole') == 'COMPLETED')

  play.tell(f'the same with {_LIMIT_MIN} minutes, in which they do not end')
  record = _start(folder / 'cut', steps, minutes=_LIMIT_MIN)
  play.wait('the first start ends', lambda: len(record.ends()) > 0, _LONG)
  (end,) = record.ends()
  play.check('it was told in time, saved and stopped', end['code'] == 75, end)
  saved = max(tiny.losses(f'{folder}/cut'))
  play.check('before its last step', saved < steps, saved)
  play.wait(
    'it is in the queue again',
    lambda: calls.find(record.job)['JobState'] == 'PENDING',
    _LONG,
  )
  said = _call('status', folder / 'cut')
  play.check(
    'status says so', 'PENDING for start 2: a requeued job waits' in said, said
  )
  play.tell('it need not wait its two minutes; more time from here')
  calls.call('scontrol', 'update', f'JobId={record.job}', 'TimeLimit=60')
  play.check('it is done', _end(folder / 'cut') == 'COMPLETED')
  codes = [end['code'] for end in record.ends()]
  play.check('in two starts', codes == [75, 0], codes)
  found = tiny.differs(f'{folder}/whole', f'{folder}/cut')
  play.check('losses and parameters are those of the other', not found, found)


def _start(workdir: pathlib.Path, steps: int, *, minutes: int) -> Record:
  """Two tasks, by the launcher."""
  _call(
    'start',
    workdir,
    *(f'--time={minutes}', '--tasks_per_node=2', f'--save_sec={_SAVE_SEC}'),
    *('--max_restarts=0', '--'),
    *tiny.command(f'{workdir}', steps=steps, save_every=100_000),
  )
  return Record.read(_logs(workdir))


def _end(workdir: pathlib.Path) -> str:
  """State of its job, when it has ended; none waits longer than it must."""
  record = Record.read(_logs(workdir))

  def has_ended() -> bool:
    slurm_of_one.hurry(record.job)
    return state.code(record) is not None

  play.wait('the job ends', has_ended, _LONG)
  return state.of(record)[0]


def _call(verb: str, workdir: pathlib.Path, *words: str) -> str:
  """What `python -m launch.slurm` says."""
  done = subprocess.run(
    [
      *(sys.executable, '-m', 'launch.slurm', verb, f'--name={workdir.name}'),
      *(f'--logs={_logs(workdir)}', *words),
    ],
    stdout=subprocess.PIPE,
    text=True,
  )
  play.check(f'{verb} ends with 0', done.returncode == 0, done.stdout)
  return done.stdout


def _logs(workdir: pathlib.Path) -> pathlib.Path:
  return workdir.parent / f'{workdir.name}-logs'


def _step_sec(workdir: pathlib.Path) -> float:
  """The median of its second half."""
  lines = jsons.read_lines(
    workdir / 'metrics.jsonl', {'step': int}, 'play the drill again'
  )
  found = [line['time/step_sec'] for line in lines if 'time/step_sec' in line]
  return statistics.median(found[len(found) // 2 :])
