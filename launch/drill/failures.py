"""A run whose machine fails again and again, and the bill of its time.

kill -9 to all of it, at times drawn from an exponential distribution: those of
a machine with a mean time between failures. The times are steps of its log.
"""

import math
import pathlib
import random
import re
import signal
import time

from base import console, exits
from launch.drill import play
from launch.drill.run import Run

_STEPS = 240
_EVERY = 10  # steps between checkpoints
_BETWEEN = 60.0  # steps between failures, in the mean
_SEED = 0
# Of the time that passed, how much the bill may differ by. It begins when the
# first start can be seen to run our code, and ends with the bill of the last:
# on no clock are the start of Python before that, and its end behind it.
_DIFFERS = 0.02
# Of the bill, how much may be of no bucket.
_OTHER = 0.05


def drill(folder: pathlib.Path) -> list[dict[str, str]]:
  """Plays it; the bill.

  Raises:
    ValueError: something is not as promised.
  """
  from train import progress

  draw = random.Random(_SEED)
  run = Run(folder / 'run', steps=_STEPS, every=_EVERY, cache=folder / 'cache')
  play.tell(
    f'{_STEPS} steps, killed on the way, after {_BETWEEN:.0f} steps in the mean'
  )
  kills, redone, reached = [], 0, 0
  began = 0.0
  while True:
    after = math.ceil(draw.expovariate(1 / _BETWEEN))
    with run.started('eval.every=100'):
      if not kills:
        run.until(run.listens)
        began = time.monotonic()
      start = _start(run)
      redone += reached - start
      if kills:
        kills[-1]['goes on at'] = f'{start}'
      is_last = start + after > _STEPS
      if is_last:
        run.until('goodput ')
        took = time.monotonic() - began
        code = run.end()
        break
      run.until(rf'step +{start + after}/')
      run.send(signal.SIGKILL, to_group=True)
      run.end()
    # Of the log, and what the bill knows beside it.
    reached = max(run.steps()[0], progress.read(run.workdir).step)
    kills.append({'killed after step': f'{reached}'})
  play.check('it is done', code == exits.DONE, run.said()[-2000:])
  bill = progress.read(run.workdir)
  console.say(console.table(kills))
  console.say(f'{bill}\n{console.table(bill.lines())}')

  play.check('the run says so at its end', f'{bill}' in run.said(), run.said())
  starts = bill.starts == len(kills) + 1
  play.check(f'{len(kills)} kills, and a start more', starts, bill.starts)
  play.check('all steps are on it', bill.step == _STEPS, bill.step)
  again = bill.redone == redone
  play.check(f'{redone} steps were trained again', again, bill.redone)
  buckets = bill.buckets()
  differs = sum(buckets.values()) / took - 1
  what = f'the buckets add up to the {took:.1f} s that passed, {differs:+.1%}'
  play.check(what, abs(differs) <= _DIFFERS)
  other = buckets['OTHER'] / took
  play.check(f'{other:.1%} are of no bucket', other <= _OTHER)
  lines = [
    {'bucket': '', 'seconds': f'{took:.1f}', 'share': '', 'what': _told(kills)}
  ]
  return [*bill.lines(), *lines]


def _start(run: Run) -> int:
  """The step behind which it goes on, once it has said so."""
  run.until('compiling the step')
  found = re.search(r'goes on at step (\d+) of', run.said())
  return int(found[1]) if found else 0


def _told(kills: list[dict[str, str]]) -> str:
  words = ', '.join(
    f'{kill["killed after step"]} (on at {kill["goes on at"]})'
    for kill in kills
  )
  return f'passed; killed after steps {words}'
