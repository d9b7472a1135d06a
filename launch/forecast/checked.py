"""A job is planned before anything is started, and refused if it cannot work.

`check` has `python -m launch.plan` plan the recipe that is in the job's own
words, in a process of its own: the TPU's compiler ends the process at options
that it cannot read, and a launcher waits for days without what a plan held.
"""

import importlib.util
import json
import os
import pathlib
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from typing import Any

from absl import flags

from base import command as command_lib
from base import files
from base.console import say
from launch import policy
from launch.forecast.told import Forecast
from launch.job import Job

# `--help` of a launcher has --plan as its own.
flags.disclaim_key_flags()

HOW = ('compile', 'shapes', 'none')
_ANYWAY = '--plan=none starts without a forecast'
# JAX must find neither chips nor a cluster here, nor CPU options in libtpu's.
_NOT_FOR_PLANS = ('XLA_FLAGS', 'JAX_PLATFORMS', 'JAX_COORDINATOR_ADDRESS')


def flag() -> flags.FlagHolder[str]:
  """Defines --plan, for the command of a launcher that calls it."""
  return flags.DEFINE_enum(
    'plan',
    'compile',
    HOW,
    "compile: by the TPU's compiler, minutes, where libtpu is installed, else "
    'as shapes. shapes: what shapes alone tell, seconds. none: start without.',
  )


def check(
  job: Job, topology: str, *, slices: int = 1, how: str = 'compile'
) -> Forecast:
  """What the job will be; refuses what cannot work on that slice.

  Args:
    job: of which only `python -m train` and `python -m evals` have a forecast.
    topology: of a slice, as 'v5p:8x8x8'; '': no slice of TPUs.
    slices: how many of them.
    how: a name of HOW, see `flag`.

  Raises:
    ValueError: the recipe does not fit, does not divide, is laid out for
      another slice, or wants what the compiler does not know; or no such slice.
  """
  nothing = _nothing(job, topology, how)
  if nothing:
    return Forecast(nothing)
  name = f'{slices}x{topology}' if slices > 1 else topology
  recipe = job.flag('config')
  _check_layout(recipe, name)
  words = [f'--topology={name}', *job.recipe]
  if job.module == 'evals':
    words.append(f'--checkpoint={job.flag("checkpoint")}')
  if how == 'shapes':
    words.append('--shapes_only')
  elif importlib.util.find_spec('libtpu'):
    say(
      f'forecast: compiling {recipe} for {name}, which takes minutes '
      '(--plan=shapes: seconds)'
    )
  return _read(_plan(words))


def _nothing(job: Job, topology: str, how: str) -> str:
  """Why there is no forecast; '' if there is."""
  if how == 'none':
    return 'skipped by --plan=none'
  if not topology:
    return 'only of slices of TPUs'
  if job.module not in ('train', 'evals') or not job.flag('config'):
    return 'only of `python -m train` and `python -m evals` with --config='
  if job.module == 'train':
    return ''
  # What a readout reads may be on the machines alone.
  data = re.search(r'[:,]data\.path=([^,]+)', job.flag('config'))
  read = {'--checkpoint': job.flag('checkpoint'), 'data.path': data and data[1]}
  for option, path in read.items():
    if path and files.is_local(path) and not os.path.exists(path):
      return f'{option}={path} is not on this machine, and is read for it'
  return ''


def _check_layout(recipe: str, name: str) -> None:
  """Raises ValueError if the recipe has its layout from another slice."""
  layout = re.search(r'[:,]topology=([^,]+)', recipe)
  if layout and layout[1].removeprefix('1x') != name:
    raise ValueError(
      f'--config={recipe} is laid out for {layout[1]}, but would run on '
      f'{name}: give topology={name} in the recipe, or start on {layout[1]}'
    )


def _plan(words: Sequence[str]) -> dict[str, Any]:
  """What `python -m launch.plan` writes for these words."""
  command = ['-m', 'launch.plan', *words]
  environment = {
    key: value for key, value in os.environ.items() if key not in _NOT_FOR_PLANS
  }
  with tempfile.TemporaryDirectory() as folder:
    path = pathlib.Path(folder, 'plan.json')
    done = subprocess.run(
      [sys.executable, *command, f'--json={path}'],
      stdin=subprocess.DEVNULL,
      capture_output=True,
      text=True,
      env=environment,
    )
    if not done.returncode:
      return json.loads(path.read_text())
  *_, last = done.stderr.splitlines() or ['it said nothing']
  if done.returncode not in policy.HOPELESS:
    raise ValueError(
      f'the plan of this job failed (exit code {done.returncode}): {last}; '
      f'`{shlex.join(["python", *command])}` shows where, {_ANYWAY}'
    )
  details = [
    line for line in done.stdout.splitlines() if 'which takes min' not in line
  ]
  say('\n'.join(details))
  raise ValueError(f'{command_lib.without_hint(last)} ({_ANYWAY})')


def _read(found: dict[str, Any]) -> Forecast:
  """From the figures of a plan."""
  if 'reduced' in found:
    ((model, each),) = found['estimates'].items()
    held = found['bytes_by_formula']['total']
    how = (
      f'reduced: nothing was compiled ({found["reduced"]}); {model}, '
      'temporaries are not in the memory'
    )
  else:
    each = found['estimates']['roofline']
    held = found['compiled_bytes']['peak']
    how = "the TPU's compiler, timed by the roofline model; nothing ran"
    if found['warnings']:
      how += f'; it warns: {found["warnings"][0]}'
  # A chip of TPU7x is two devices.
  devices = found['devices'] / found['chips']
  return Forecast(
    how=how,
    topology=found['topology'],
    chips=found['chips'],
    **{key: each[key] for key in ('step_sec', 'mfu', 'days', 'chip_hours')},
    bytes_per_chip=held * devices,
    bytes_limit=found['bytes_limit'] * devices,
  )
