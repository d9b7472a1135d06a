"""A sweep of commands that train nothing, and such a command.

    python -m tests.launch.sweep.driver local FOLDER AT_ONCE SECONDS CODES ...

sweeps runs r0, r1, ... of FOLDER; the run of CODES '3,0' ends with 3 when it is
started first, and does its work when it is started again.
"""

import os
import pathlib
import signal
import sys
import time

from base import exits, files
from base.exits import ATTEMPT
from launch.checks import Cost
from launch.sweep import loop
from launch.sweep.backends import local, slurm
from launch.sweep.entry import Entry
from launch.sweep.runs import Item
from launch.sweep.stages import TRAIN, Stage
from launch.sweep.state import fresh, read

STEPS = 40


def entries(folder, runs, *, sec=0.01, readout=True):
  """Of runs, each of the codes that its starts end with."""
  made = []
  for number, codes in enumerate(runs):
    run = f'{folder}/r{number}'
    stages = [stage(TRAIN, run, sec, codes)]
    if readout:
      stages.append(stage('readouts/x', f'{run}/readouts/x', sec, '0'))
    state = read(run) or fresh(Item('recipe', {'number': number}))
    made.append(Entry(f'r{number}', run, stages, state, Cost(1, 1e9)))
  return made


def stage(name, folder, sec, codes):
  words = ('python', '-m', __name__, 'run', name, folder, f'{sec}', codes)
  return Stage(name, folder, words, STEPS)


def follow(made, *, at_once=2, max_restarts=2, backend=None):
  backend = backend or local.Local(at_once, 0)
  backend.poll_sec = min(backend.poll_sec, 0.1)  # these runs are short
  loop.follow(
    made,
    backend,
    at_once=at_once,
    max_restarts=max_restarts,
  )


def run(name, folder, sec, codes):
  """What `train` and `evals` do of which a sweep knows: claim, save, stop."""
  stopped = []
  signal.signal(signal.SIGTERM, lambda *_: stopped.append(True))
  folder = pathlib.Path(folder)
  with files.lock(folder / 'claim') as held_by:
    assert not held_by
    with open(folder / 'starts', 'a') as file:
      file.write(os.environ[ATTEMPT] + '\n')
    if hasattr(os, 'sched_getaffinity'):
      mine = sorted(os.sched_getaffinity(0))
      (folder / 'cores').write_text(','.join(map(str, mine)))
    codes = [int(code) for code in codes.split(',')]
    start = len((folder / 'starts').read_text().splitlines()) - 1
    code = codes[min(start, len(codes) - 1)]
    at = folder / 'at'
    step = int(at.read_text()) if at.exists() else 0
    while step < STEPS:
      step += 1
      with open(folder / 'steps', 'a') as file:
        file.write(f'{step}\n')
      time.sleep(float(sec))
      if stopped:
        files.write(at, f'{step}')
        sys.exit(exits.AGAIN)
      if code:
        print(f'it ends with {code}')
        sys.exit(code)
    if name == TRAIN:
      (folder / f'checkpoints/{STEPS}/default').mkdir(parents=True)
    else:
      files.write(folder / 'result.json', '{"tasks": {}}')


if __name__ == '__main__':
  __name__ = 'tests.launch.sweep.driver'
  if sys.argv[1] == 'run':
    run(*sys.argv[2:])
  else:
    from base import command

    # Ignored by what a shell has in the background.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    on, folder, at_once, sec, *runs = sys.argv[1:]
    sys.argv[1:] = []
    backend = None
    if on == 'slurm':
      backend = slurm.Slurm(['--time=20'], workdir=folder, max_restarts=1)
    made = entries(folder, runs, sec=sec)
    command.run(lambda: follow(made, at_once=int(at_once), backend=backend))
