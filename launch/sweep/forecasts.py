"""What a run will reach, of those before it, written down before it starts."""

import subprocess
import sys
from collections.abc import Callable, Sequence

from base import console, files
from launch.sweep.entry import Entry

_LEAST = 3  # sizes, as launch.scaling.power.fit wants


def check(entries: Sequence[Entry]) -> None:
  """Whether forecasts can be made of runs as they are planned.

  Raises:
    ValueError: of one of them there are too few before it, or it is not larger.
  """
  for number, entry in enumerate(entries):
    sizes = {each.cost.parameters for each in entries[:number]}
    mine = entry.cost.parameters
    if entry.forecast and (len(sizes) < _LEAST or mine <= max(sizes)):
      raise ValueError(
        f'run {entry.name}: its forecast needs {_LEAST} sizes or more, all '
        f'smaller, yielded before it; got {mine:,} parameters after '
        f'{", ".join(f"{size:,}" for size in sorted(sizes)) or "none"}'
      )


def in_order(
  entries: Sequence[Entry],
  workdir: str,
  follow: Callable[[Sequence[Entry]], None],
) -> None:
  """Follows all runs; those before a forecast are over when it is written.

  Args:
    entries: in the order of the sweep.
    workdir: its folder, of which forecasts become files.
    follow: returns when nothing is left to do of the runs that it is given.

  Raises:
    ValueError: a forecast cannot be made.
  """
  for number, entry in enumerate(entries):
    if not entry.forecast or not is_due(workdir, entry):
      continue
    before = entries[:number]
    follow(before)
    if any(each.state.failed for each in before):
      console.say(
        f'{entry.name}: not started, since what it will reach is forecast of '
        'all before it, and some of them failed'
      )
      return
    console.say(write(workdir, before, entry))
  follow(entries)


def path(workdir: str, entry: Entry) -> str:
  """Of the file of a run's forecast."""
  return f'{workdir}/forecast-{entry.name}.json'


def is_due(workdir: str, entry: Entry) -> bool:
  """Whether it is still to be made: later the run has begun."""
  made = files.exists(path(workdir, entry))
  return not (made and files.exists(f'{entry.folder}/config.json'))


def write(workdir: str, before: Sequence[Entry], entry: Entry) -> str:
  """Makes it, and returns what there is to tell.

  In a process of its own, since JAX counts the parameters.

  Raises:
    ValueError: it cannot be made.
  """
  (train, *_) = entry.stages
  recipe = [word for word in train.words if word.startswith('--config')]
  made = subprocess.run(
    [
      *(sys.executable, '-m', 'launch.scaling.forecast'),
      *(each.folder for each in before),
      *recipe,
      f'--workdir={entry.folder}',
      f'--out={path(workdir, entry)}',
    ],
    capture_output=True,
    text=True,
  )
  if made.returncode:
    last = (made.stderr.strip().splitlines() or ['it said nothing'])[-1]
    raise ValueError(f'no forecast of {entry.name}: {last}')
  return f'{entry.name} was not started yet; forecast:\n{made.stdout.strip()}'
