"""How long the loop waits for its folder: `python -m launch.bench.workdirs`.

The same state saved, and the same line logged, by two runs in turns: one whose
folder is on a disk, one whose folder is in an object store. Only what the loop
itself waits for is timed; what threads do meanwhile is waited for in between.
"""

import contextlib
import os
import pathlib
import statistics
import tempfile
import time

from absl import flags
from ml_collections import config_flags

from base import command

_CONFIG = config_flags.DEFINE_config_file(
  'config', 'configs/quickstart.py', 'A pretraining recipe, whose state it is.'
)
_STORE = flags.DEFINE_string(
  'store',
  '',
  'Folder of an object store; an emulator on this machine if empty.',
)
_DISK = flags.DEFINE_string('disk', '', 'Folder of a disk; a new one if empty.')
_ROUNDS = flags.DEFINE_integer('rounds', 20, 'Pairs of saves.', lower_bound=1)
_LINES = 20  # logged between two saves


def main() -> None:
  """Prints medians, and the ratio of pairs."""
  from launch import emulator

  with contextlib.ExitStack() as held:
    store, disk = _STORE.value, _DISK.value
    folder = held.enter_context(tempfile.TemporaryDirectory())
    if not store:
      if emulator.missing():
        raise ValueError(
          f'the emulator needs {emulator.missing()}; or give --store=gs://...'
        )
      log = pathlib.Path(folder) / 'emulator.log'
      os.environ.update(held.enter_context(emulator.started(log)))
      store = f'gs://{emulator.BUCKET}/bench'
    _compare(disk or f'{folder}/run', store)


def _compare(*folders: str) -> None:
  import jax

  from base import console
  from launch import recipe
  from train import mesh as mesh_lib

  config = recipe.pretraining(_CONFIG.value)
  mesh = mesh_lib.make(**config['mesh'])
  program = recipe.program(config, mesh)
  with mesh_lib.use(mesh), contextlib.ExitStack() as held:
    state = jax.block_until_ready(program.fresh(jax.random.key(0)))
    size = sum(x.nbytes for x in jax.tree.leaves(state))
    console.say(
      f'{size / 1e6:.0f} MB, {len(jax.tree.leaves(state))} arrays, '
      f'{" and ".join(folders)}'
    )
    runs = [held.enter_context(_Run(each, config)) for each in folders]
    pairs = []
    for number in range(3 + _ROUNDS.value):
      # Who is first changes.
      order = runs if number % 2 else runs[::-1]
      took = {run: run.step(state, number + 1) for run in order}
      pairs.append([took[run] for run in runs])
  for place, what in enumerate(('save', 'log line')):
    times = [[run[place] for run in pair] for pair in pairs[3:]]
    disk, store = (1e3 * statistics.median(each) for each in zip(*times))
    ratio = statistics.median(b / a for a, b in times)
    print(
      f'{what}: {disk:.3f} ms on a disk, {store:.3f} ms in the store, the '
      f'median of {len(times)} ratios is {ratio:.2f}'
    )


class _Run:
  """What of a run waits for its folder."""

  def __init__(self, folder, config):
    from train import checkpoint, progress, writer
    from train import workdir as workdir_lib

    self._clock = progress.Clock()
    self._goodput = progress.Goodput(folder, self._clock)
    self._held = contextlib.ExitStack()
    self._held.enter_context(workdir_lib.claim(folder, config))
    log = config['log'] | {'wandb': 'disabled'}
    self._writer = self._held.enter_context(
      writer.Writer(folder, start=0, attempt=1, config=config, **log)
    )
    self._checkpoints = self._held.enter_context(
      checkpoint.Checkpoints(folder, **config['checkpoint'])
    )

  def __enter__(self) -> '_Run':
    return self

  def __exit__(self, *unused) -> None:
    self._held.close()

  def step(self, state, number: int) -> tuple[float, float]:
    """Seconds of a save, and of a line, as `train/loop.py` has them."""
    values = {f'train/value-{n}': 0.5 for n in range(30)}
    began = time.perf_counter()
    for _ in range(_LINES):
      self._writer.scalars(number, values)
    line = (time.perf_counter() - began) / _LINES
    self._writer.flush()
    began = time.perf_counter()
    with self._clock('save'):
      self._writer.before_save()
      self._checkpoints.save(state, number)
    self._writer.soon(self._goodput.write)
    self._writer.bring()
    save = time.perf_counter() - began
    self._writer.flush()
    self._checkpoints.wait()
    return save, line


if __name__ == '__main__':
  command.run(main)
