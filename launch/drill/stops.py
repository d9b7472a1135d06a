"""A training run told to stop 16 times and stalled three times.

Each signal is sent in a state that can be seen; each time the run must end
saved, with the code of `base/exits.py`, and go on. What was interrupted ends
with the bits of a run that met nothing; on two processes, which sum in another
order, with its samples.
"""

import functools
import os
import pathlib
import re
import signal
import time

from base import console, exits
from launch.drill import play, tiny
from launch.drill.launched import launched
from launch.drill.run import Run, workers_of

_STEPS = 400
_EVERY = 25  # steps between checkpoints
_STALLED = 'data.stalled_sec=6'
# (phase, signal, to the whole group). The phases are below.
INTERRUPTS = (
  ('start', signal.SIGTERM, False),
  ('start', signal.SIGTERM, True),
  ('start', signal.SIGINT, True),
  ('compile', signal.SIGTERM, False),
  ('step', signal.SIGTERM, True),
  ('restore', signal.SIGTERM, False),
  ('restore', signal.SIGINT, True),
  ('data wait', signal.SIGTERM, False),
  ('data wait', signal.SIGINT, True),
  ('step', signal.SIGINT, True),
  ('step', signal.SIGHUP, True),
  ('evaluation', signal.SIGTERM, False),
  ('evaluation', signal.SIGINT, True),
  ('save', signal.SIGTERM, True),
  ('save', signal.SIGINT, False),
)


def drill(folder: pathlib.Path) -> list[dict[str, str]]:
  """Plays it; what was tried.

  Raises:
    ValueError: something is not as promised.
  """
  for number in (signal.SIGINT, signal.SIGHUP):
    # Started behind a script or by nohup, runs would not hear them.
    if signal.getsignal(number) == signal.SIG_IGN:
      signal.signal(number, signal.SIG_DFL)
  play.tell(f'{_STEPS} steps, undisturbed')
  run_in = functools.partial(Run, steps=_STEPS, every=_EVERY)
  whole = run_in(folder / 'whole')
  with whole.started():
    play.check('it is done', whole.end() == exits.DONE, whole.said())

  play.tell(f'the same, told to stop {len(INTERRUPTS)} times on its way')
  cut, rows = run_in(folder / 'cut'), []
  for phase, number, to_group in INTERRUPTS:
    began, wrong = time.monotonic(), _interrupt(cut, phase, number, to_group)
    to = 'to the group' if to_group else 'to the process'
    rows.append(_row(f'{number.name} {to}, {phase}', wrong, began))
  began = time.monotonic()
  rows.append(_row('to the same bits', _goes_on(cut, whole), began))

  play.tell('the same; workers are stopped, killed, and hang')
  stalled = run_in(folder / 'stalled', cache=folder / 'cache')
  for name, function in (
    ('a stopped and a killed worker', _replaced),
    ('workers that hang in a read', _named),
    ('to the same bits as well', lambda run: _goes_on(run, whole)),
  ):
    began = time.monotonic()
    rows.append(_row(name, function(stalled), began))

  play.tell('on two processes; both are told, while one waits for data')
  began = time.monotonic()
  wrong = _together(folder, whole)
  rows.append(_row('SIGTERM to two processes, data wait of one', wrong, began))
  console.say(console.table(rows))
  wrong = [row for row in rows if row['ended right'] != 'yes']
  play.check(f'{len(rows)} tried, each ended right', not wrong, wrong)
  return rows


def _row(what: str, wrong: str, began: float) -> dict[str, str]:
  took = f'{time.monotonic() - began:.1f}'
  console.say(f'   {"WRONG" if wrong else "right"}: {what}, {took} s {wrong}')
  return {'tried': what, 'ended right': wrong or 'yes', 'seconds': took}


# Of each phase: changes of the config, and what is waited for.
def _reach(run: Run, phase: str) -> None:
  last = run.steps()[1]
  if phase == 'start':
    run.until(run.listens)
  elif phase == 'compile':
    run.until('compiling the step')
  elif phase == 'restore':
    run.until(f'goes on at step {last} of')
  elif phase == 'evaluation':
    run.until('is at the evaluation after')
  else:
    run.until(rf'step +{last + 3}/')
    if phase == 'save':
      run.until(run.saves)
    if phase == 'data wait':
      for worker in run.workers():
        os.kill(worker, signal.SIGSTOP)
      run.until('has not come on for 3s, and is replaced after')


_CHANGES = {
  'data wait': [_STALLED],
  'evaluation': ['eval.every=5', 'watchdog.tell_sec=0.2'],
}


def _interrupt(run: Run, phase: str, number: int, to_group: bool) -> str:
  """What went wrong; '': nothing."""
  before = run.steps()[1]
  with run.started(*_CHANGES.get(phase, [])):
    _reach(run, phase)
    run.send(number, to_group=to_group)
    code = run.end()
    left = run.left()
  trained, saved = run.steps()
  at_once = phase in ('start', 'compile', 'restore')
  by_hand = number == signal.SIGINT and at_once
  expected = exits.INTERRUPTED if by_hand else exits.AGAIN
  if code != expected:
    return f'code {code}, expected {expected}: {run.said()[-1000:]}'
  if left:
    return f'workers that are left: {left}'
  if at_once:
    return '' if saved == before else f'step {saved}, before {before}'
  right = saved == trained > before
  return '' if right else f'saved {saved}, trained {trained}, before {before}'


def _replaced(run: Run) -> str:
  """One worker is stopped, then another killed; the run stays at work."""
  with run.started('data.workers=2', _STALLED):
    run.until(r'step +5/')
    first = run.workers()
    os.kill(first[0], signal.SIGSTOP)
    run.until('has not come on for 6s: replaced')
    run.until(lambda: len(set(run.workers()) - set(first)) == 2)
    os.kill(run.workers()[-1], signal.SIGKILL)
    run.until('it died.*: replaced')
    run.send(signal.SIGTERM)
    code = run.end()
  trained, saved = run.steps()
  right = code == exits.AGAIN and saved == trained > 5
  return '' if right else f'code {code}: {run.said()[-1000:]}'


def _named(run: Run) -> str:
  """A disk that does not answer, at the open of a file: of every worker."""
  with run.started('data.stalled_sec=2'):
    run.until(rf'step +{run.steps()[1] + 3}/')
    (file,) = pathlib.Path(f'{run.cache}').glob('*/train/video.npy')
    aside = file.with_suffix('.aside')
    file.rename(aside)
    os.mkfifo(file)
    os.kill(run.workers()[0], signal.SIGKILL)
    code = run.end()
  file.unlink()
  aside.rename(file)
  said = run.said()
  named = re.search(r'is at example \d+ \(record \d+ of world\).*in its', said)
  trained, saved = run.steps()
  right = code == exits.FAULT and named and saved == trained
  return '' if right else f'code {code}: {said[-1000:]}'


def _together(folder: pathlib.Path, whole: Run) -> str:
  """Both save the same step, and go on from it together."""
  workdir, steps = f'{folder / "together"}', 60
  command = [
    *tiny.command(workdir, steps=steps, save_every=_EVERY),
    *(f'--config.{_STALLED}', '--config.data.sources.world.cache='),
  ]
  flags = ['--processes=2', '--devices=1', '--max_restarts=0']
  logs = folder / 'together-logs'
  with launched(logs, flags, command) as run:
    run.until('step 5', lambda: 5 in tiny.losses(workdir))
    for worker in workers_of(run.pids()[1]):
      os.kill(worker, signal.SIGSTOP)
    waits = 'has not come on for 3s, and is replaced after'
    run.until(waits, lambda: waits in run.said())
    run.process.send_signal(signal.SIGTERM)
    code, said = run.end(), run.said()
  told = re.findall(r'\[(\d)\] stopped after step (\d+):', said)
  saved = [path.name for path in pathlib.Path(workdir, 'checkpoints').iterdir()]
  trained = f'{max(tiny.losses(workdir))}'
  both = [('0', trained), ('1', trained)]
  if code != exits.AGAIN or sorted(told) != both or trained not in saved:
    return f'code {code}, told {told}, saved {saved}: {said[-1000:]}'
  with launched(logs, flags, command) as run:
    code, said = run.end(), run.said()
  if code != exits.DONE:
    return f'code {code}: {said[-1000:]}'
  mine, other = tiny.samples(workdir), tiny.samples(whole.workdir)
  return '' if mine.items() <= other.items() else f'other samples: {mine}'


def _goes_on(run: Run, whole: Run) -> str:
  """To its end, which is that of a run that met nothing."""
  with run.started():
    code = run.end()
  if code != exits.DONE:
    return f'code {code}: {run.said()[-1000:]}'
  return tiny.differs(whole.workdir, run.workdir)
