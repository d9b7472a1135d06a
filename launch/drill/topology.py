"""A run that is moved to other devices, meshes and processes on its way.

Each time it is told to stop, and goes on elsewhere. What it was trained on is
then the same as of a run that stayed where it began, to the hash of each step;
losses, evaluation and checkpoints are, but for the order of sums.
"""

import pathlib
import signal
import time
from collections.abc import Mapping, Sequence

from base import console, exits, jsons
from launch.drill import play, tiny
from launch.drill.launched import launched

_STEPS = 240
_EVERY = 8  # steps between checkpoints, and between evaluations
# (processes, devices of each, mesh): 8, 4, 2, 8 devices of one process, then 2,
# 4 and 1 processes. A batch has 8 rows; where `tensor` is 2, two devices need
# the same ones, once of two processes.
_LEGS = (
  (1, 8, {'fsdp': 8}),
  (1, 4, {'fsdp': 2, 'tensor': 2}),
  (1, 2, {'tensor': 2}),
  (1, 8, {'replica': 2, 'fsdp': 2, 'tensor': 2}),
  (2, 1, {'tensor': 2}),
  (4, 1, {'fsdp': 4}),
  (1, 1, {}),
)
# Relative, of losses, and of parameters to the largest of their array. Float32
# is rounded at 6e-8, sums are in another order, and training adds up what comes
# of it.
_TOLERANCE = 1e-4
# Softmax takes no notice of it: its gradient is nothing but rounding, of which
# Adam makes whole steps. Nor does what the model computes depend on it.
_FREE = '/attention/key/bias'
# Steps between lines differ too: a hash does not depend on them.
_LOGGED = {'whole': 1, 'moved': 3}
_OVERRIDES = {
  'checkpoint.keep': 1000,
  'eval.every': _EVERY,
  'eval.batches': 2,
  'eval.pictures': 0,
}
_READOUT = {
  'data.batch_size': 8,
  'data.workers': 0,
  'log.tensorboard': False,
  'tasks.depth.width': 16,
  'tasks.classify.width': 16,
  'eval.every': 0,
}


def drill(folder: pathlib.Path) -> list[dict[str, str]]:
  """Plays it; where the run was, and how far it is from the other there.

  Raises:
    ValueError: something is not as promised.
  """
  play.tell(f'{_STEPS} steps on one device')
  with _run(folder, 'whole', 0, _LEGS[-1]) as run:
    play.check('it is done', run.end() == exits.DONE, run.said()[-2000:])
  whole = _Record(folder / 'whole')
  rows, before = [], 0
  for number, leg in enumerate(_LEGS, 1):
    began, is_last = time.monotonic(), number == len(_LEGS)
    play.tell(f'the same, from step {before}, on {_named(leg)}')
    with _run(folder, 'moved', number, leg) as run:
      if not is_last:
        run.until(
          f'a checkpoint {_EVERY} steps on',
          lambda before=before: _saved(folder) >= before + _EVERY,
        )
        run.process.send_signal(signal.SIGTERM)
      code, expected = run.end(), exits.DONE if is_last else exits.AGAIN
      play.check(f'it ends with {expected}', code == expected, run.said())
    moved = _Record(folder / 'moved')
    rows.append(
      {'on': _named(leg), 'steps': f'{before + 1} to {moved.last}'}
      | _compared(whole, moved, before)
      | {'seconds': f'{time.monotonic() - began:.1f}'}
    )
    before = moved.last
  play.tell('its features read out on 1, 2 and 4 processes')
  one = _readout(folder, 1)
  rows += [_readout_beside(folder, one, processes) for processes in (2, 4)]
  console.say(console.table(rows))
  return rows


def _readout(folder: pathlib.Path, processes: int) -> dict:
  """The result of a readout job of the moved run, by task."""
  name = f'readout-{processes}'
  command = [
    *('python', '-m', 'evals', f'--checkpoint={folder / "moved"}'),
    # Clips that fill no batch.
    '--config=configs/readout.py:task=depth+classify,data=world,steps=4,'
    'data.test_clips=11',
    *(f'--config.{key}={value}' for key, value in _READOUT.items()),
    f'--workdir={folder / name}',
  ]
  flags = [f'--processes={processes}', '--devices=1', '--max_restarts=0']
  with launched(folder / f'{name}-logs', flags, command) as run:
    play.check('it is done', run.end() == exits.DONE, run.said()[-2000:])
  path = folder / name / 'result.json'
  return jsons.read(path, {'tasks': dict}, 'play the drill again')['tasks']


def _readout_beside(
  folder: pathlib.Path, one: dict, processes: int
) -> dict[str, str]:
  """A row: how far its scores are from those of one process."""
  began = time.monotonic()
  found = _readout(folder, processes)
  pairs = [
    (score['value'], found[task]['metrics'][name]['value'])
    for task, result in one.items()
    for name, score in result['metrics'].items()
  ]
  far = max(abs(a - b) / max(abs(a), abs(b), 1e-12) for a, b in pairs)
  return {
    'on': f'{processes} processes, a readout',
    **_checked('scores', len(pairs), far),
    'seconds': f'{time.monotonic() - began:.1f}',
  }


def _run(folder, name, number, leg):
  processes, devices, mesh = leg
  changes = {
    **_OVERRIDES,
    'data.sources.world.cache': folder / 'cache',
    'log.every': _LOGGED[name],
    **{f'mesh.{axis}': mesh.get(axis, 1) for axis in ('replica', 'fsdp')},
    'mesh.tensor': mesh.get('tensor', 1),
  }
  return launched(
    folder / f'{name}-logs-{number}',
    [f'--processes={processes}', f'--devices={devices}', '--max_restarts=0'],
    [
      *tiny.command(f'{folder / name}', steps=_STEPS, save_every=_EVERY),
      *(f'--config.{key}={value}' for key, value in changes.items()),
    ],
  )


class _Record:
  """What a run logged, and its checkpoints.

  Attributes:
    lines: of metrics.jsonl.
    last: step.
  """

  def __init__(self, workdir: pathlib.Path):
    self.workdir = workdir
    self.lines = jsons.read_lines(
      workdir / 'metrics.jsonl', {'step': int}, 'play the drill again'
    )
    self.last = max(_steps(workdir))

  def of(self, name: str, behind: int) -> dict:
    """{step: value} of a scalar, of steps behind one."""
    return {
      line['step']: line[name]
      for line in self.lines
      if name in line and line['step'] > behind
    }


def _compared(whole: _Record, moved: _Record, before: int) -> dict[str, str]:
  """Cells of a row, of the steps behind `before`."""
  hashes = moved.of('data/samples', before)
  known = whole.of('data/samples', 0)
  same = hashes.items() <= known.items()
  play.check(f'{len(hashes)} hashes of samples are the same', same, hashes)
  found = {'hashes': f'{len(hashes)} the same'}
  for title, name in (('loss', 'train/loss'), ('validation', 'eval/loss')):
    mine, other = moved.of(name, before), whole.of(name, 0)
    far = max(abs(mine[step] / other[step] - 1) for step in mine)
    found |= _checked(title, len(mine), far)
  steps = [
    step
    for step in _steps(moved.workdir)
    if step > before and step % _EVERY == 0
  ]
  far = max(_apart(whole.workdir, moved.workdir, step) for step in steps)
  return found | _checked('parameters', len(steps), far)


def _checked(title: str, count: int, far: float) -> dict[str, str]:
  what = f'{title} within {_TOLERANCE:g}, {count} times'
  play.check(what, far <= _TOLERANCE, far)
  return {f'{title}, relative': f'{far:.1e}'}


def _apart(one: pathlib.Path, other: pathlib.Path, step: int) -> float:
  """How far the parameters of two runs are apart, see _TOLERANCE."""
  import jax
  import numpy as np

  from train import checkpoint, optim

  trees = [
    {
      optim.path_name(path): leaf
      for path, leaf in jax.tree_util.tree_leaves_with_path(
        checkpoint.read(f'{each}', step=step)
      )
    }
    for each in (one, other)
  ]
  return max(
    np.abs(leaf - trees[1][name]).max() / max(np.abs(leaf).max(), 1e-12)
    for name, leaf in trees[0].items()
    if not name.endswith(_FREE)
  )


def _saved(folder: pathlib.Path) -> int:
  """The last step of the moved run that proves itself, of those it saves."""
  steps = [step for step in _steps(folder / 'moved') if step % _EVERY == 0]
  return max(steps, default=0)


def _steps(workdir: pathlib.Path) -> Sequence[int]:
  found = (workdir / 'checkpoints').glob('*/digests.json')
  return [int(each.parent.name) for each in found]


def _named(leg: tuple[int, int, Mapping[str, int]]) -> str:
  """'2 processes of 1 device, tensor=2'."""
  processes, devices, mesh = leg
  axes = ''.join(f', {axis}={size}' for axis, size in mesh.items())
  whose = f'{processes} process{"es" if processes > 1 else ""}'
  return f'{whose} of {devices} device{"s" if devices > 1 else ""}{axes}'
