"""A training run killed 20 times, with kill -9, and started again each time.

Each kill comes in a state that can be seen, to the whole group: the run ends
with the bits of one that met nothing, and its log has each step once.
"""

import functools
import pathlib
import signal
import time

from base import console, exits, jsons
from launch.drill import play, tiny
from launch.drill.run import Run

_STEPS = 400
_EVERY = 10  # steps between checkpoints
_ROUNDS = 4
# Phase -> what is waited for, beside a number of steps.
_PHASES = {
  'start': lambda run: run.until(run.listens),
  'compile': lambda run: run.until('compiling the step'),
  'step': lambda run: _after(run, 35),
  'save': lambda run: (_after(run, 12), run.until(run.saves)),
  'evaluation': lambda run: run.until('is at the evaluation after'),
}
_CHANGES = {'evaluation': ['eval.every=15', 'watchdog.tell_sec=0.1']}


def drill(folder: pathlib.Path) -> list[dict[str, str]]:
  """Plays it; what was killed.

  Raises:
    ValueError: something is not as promised.
  """
  run_in = functools.partial(
    Run, steps=_STEPS, every=_EVERY, cache=folder / 'cache'
  )
  play.tell(f'{_STEPS} steps, undisturbed')
  whole = run_in(folder / 'whole')
  with whole.started():
    play.check('it is done', whole.end() == exits.DONE, whole.said())

  phases = [*_PHASES] * _ROUNDS
  play.tell(f'the same, killed {len(phases)} times on its way')
  cut, rows = run_in(folder / 'cut'), []
  for phase in phases:
    began = time.monotonic()
    with cut.started(*_CHANGES.get(phase, [])):
      _PHASES[phase](cut)
      cut.send(signal.SIGKILL, to_group=True)
      cut.end()
    took = time.monotonic() - began
    trained, saved = cut.steps()
    rows.append(
      {'killed in': phase, 'step': f'{trained}', 'saved': f'{saved}'}
      | {'seconds': f'{took:.1f}'}
    )
  console.say(console.table(rows))
  with cut.started():
    play.check('it is done', cut.end() == exits.DONE, cut.said())
  wrong = tiny.differs(whole.workdir, cut.workdir)
  play.check('it ends with the same bits', not wrong, wrong)
  lines = jsons.read_lines(
    f'{cut.workdir}/metrics.jsonl', {'step': int}, 'play the drill again'
  )
  steps = [line['step'] for line in lines if 'train/loss' in line]
  once = steps == [*range(1, _STEPS + 1)]
  play.check('each step is logged once', once, steps)
  return rows


def _after(run: Run, steps: int) -> None:
  run.until(rf'step +{run.steps()[1] + steps}/')
