"""A run's newest checkpoint damaged in many ways, and started again.

What must not be is that it goes on with other numbers than were saved. Most
damages are tried by the function that a start and every reader call, in this
process; some by whole starts, to the last bit of a run that met nothing.
"""

import contextlib
import io
import os
import pathlib
import random
import shutil
import subprocess
import sys
import time

from base import console
from launch.drill import damages, play, tiny

_STEPS, _EVERY = 12, 4
_NEWEST = f'checkpoints/{_STEPS}'
_BEFORE = _STEPS - _EVERY
# Tried by whole starts too: what Orbax and tensorstore go on with, or fail at.
_WHOLE = (
  'a flipped bit',
  'garbled JSON',
  'no commit marker',
  'an empty folder',
)
_SECONDS = 600.0  # of a busy machine


def drill(folder: pathlib.Path, *, flips: int) -> list[dict[str, str]]:
  """Plays it; what was tried.

  Args:
    folder: to write to.
    flips: how many single bits are flipped, at places drawn with a seed.

  Raises:
    ValueError: something is not as promised.
  """
  os.environ |= tiny.ENVIRONMENT
  whole = folder / 'whole'
  play.tell(f'{_STEPS} steps, a checkpoint every {_EVERY}')
  _train(whole)
  # Of a step that is new readers wait a minute for digests: by the time that
  # they are missing it is older.
  rows = [
    _whole_starts(folder, whole),
    _each_flip(folder, whole, flips),
    _each_damage(folder, whole),
  ]
  console.say(console.table([row for row, _ in rows]))
  wrong = [line for _, lines in rows for line in lines]
  play.check('every one ended right', not wrong, wrong[:5])
  return [row for row, _ in rows]


def _each_damage(folder, whole):
  play.tell(
    f'{len(damages.ALL)} damages: readers refuse, and a start finds the newest '
    'good checkpoint; in this process'
  )
  return _tried(
    'damages',
    {
      name: lambda name=name: _wrong(folder, whole, name)
      for name in damages.ALL
    },
  )


def _each_flip(folder, whole, flips):
  from train import checkpoint

  run = _copied(whole, folder / 'flips')
  step = run / _NEWEST
  play.tell(f'{flips} flipped bits, one at a time, compared in this process')
  paths = sorted(path for path in step.rglob('*') if path.is_file())
  draw = random.Random(0)
  sizes = [path.stat().st_size for path in paths]

  def flipped(path, bit):
    damages.flip(path, bit)
    try:
      checkpoint.refuse(str(step))
    except ValueError as error:
      named = f'{_STEPS} is damaged: {path.relative_to(step)} '
      return '' if named in str(error) else str(error)
    finally:
      damages.flip(path, bit)
    return 'not seen'

  tries = {}
  for path in draw.choices(paths, sizes, k=flips):
    bit = draw.randrange(8 * path.stat().st_size)
    what = f'bit {bit} of {path.relative_to(step)}'
    tries[what] = lambda path=path, bit=bit: flipped(path, bit)
  found = _tried('flipped bits', tries)
  checkpoint.refuse(str(step))  # all are as they were
  return found


def _whole_starts(folder, whole):
  play.tell(
    f'{len(_WHOLE)} of the damages: `python -m train` again, to its end'
  )
  return _tried(
    'whole starts',
    {name: lambda name=name: _trained(folder, whole, name) for name in _WHOLE},
  )


def _tried(what, tries):
  """A row of the table, and lines on those that did not end right."""
  began = time.monotonic()
  wrong = []
  for name, trial in tries.items():
    said = trial()
    if said:
      wrong.append(f'{name}: {said}')
      console.say(f'   WRONG: {wrong[-1]}')
  row = {
    'what': what,
    'tried': str(len(tries)),
    'ended right': str(len(tries) - len(wrong)),
    'seconds': f'{time.monotonic() - began:.1f}',
  }
  return row, wrong


def _wrong(folder, whole, name):
  """What is not as it should be after a damage; '' if all is."""
  from train import checkpoint

  run = _damaged(folder, whole, name)
  try:
    checkpoint.read(str(run))
    refused = ''
  except ValueError as error:
    refused = str(error)
  said = io.StringIO()
  with (
    contextlib.redirect_stdout(said),
    checkpoint.Checkpoints(
      str(run), every=_EVERY, keep=3, keep_every=None
    ) as checkpoints,
  ):
    start = checkpoints.latest()
  told = said.getvalue()
  if name == damages.NO_PROOF:
    right = not refused and start == _STEPS and 'no digests.json' in told
  else:
    named = f'{_NEWEST} is DAMAGED: {damages.ALL[name].said}'
    right = f'{_STEPS} is damaged: ' in refused and start == _BEFORE
    right = right and named in told
  return '' if right else f'starts at {start}; said {told!r}, {refused!r}'


def _trained(folder, whole, name):
  run = _damaged(folder, whole, name)
  said = _train(run)
  if f'goes on at step {_BEFORE} of {_STEPS}' not in said:
    return said[-500:]
  return tiny.differs(str(whole), str(run))


def _train(run):
  """What a start of the run says."""
  command = tiny.command(str(run), steps=_STEPS, save_every=_EVERY)
  ended = subprocess.run(
    [sys.executable, *command[1:]],
    capture_output=True,
    text=True,
    timeout=_SECONDS,
  )
  if ended.returncode:
    raise ValueError(f'training failed: {ended.stderr[-1000:]}')
  return ended.stdout


def _damaged(folder, whole, name):
  run = _copied(whole, folder / 'damaged')
  damages.ALL[name].make(run / _NEWEST)
  return run


def _copied(whole, place):
  shutil.rmtree(place, ignore_errors=True)
  return pathlib.Path(shutil.copytree(whole, place))
