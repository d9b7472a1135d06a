"""What the proof of a checkpoint costs: `python -m launch.bench.proof`.

A state of noise, which is not compressed, is saved once. Then its files are
compared with their digests, and it is restored, in turns: as the system keeps
the files in memory, and after it was told to forget them, so that both come
from the disk.
"""

import os
import pathlib
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from absl import flags
from ml_collections import config_flags

from base import command

_CONFIG = config_flags.DEFINE_config_file(
  'config', 'configs/mae.py:size=S', 'A pretraining recipe, whose state it is.'
)
_DISK = flags.DEFINE_string('disk', '', 'Folder of a disk; a new one if empty.')
_ROUNDS = flags.DEFINE_integer('rounds', 5, 'Turns of each.', lower_bound=1)


def main() -> None:
  """Prints medians, and the ratio of pairs."""
  with tempfile.TemporaryDirectory(dir=_DISK.value or None) as folder:
    _compare(f'{folder}/run')


def _compare(run: str) -> None:
  import jax

  from base import console
  from launch import recipe
  from train import checkpoint
  from train import mesh as mesh_lib

  config = recipe.pretraining(_CONFIG.value)
  mesh = mesh_lib.make(**config['mesh'])
  program = recipe.program(config, mesh)
  options = {'every': 1, 'keep': 1, 'keep_every': None}
  with (
    mesh_lib.use(mesh),
    checkpoint.Checkpoints(run, **options) as checkpoints,
  ):
    checkpoints.save(_noise(program.fresh(jax.random.key(0))), 1)
    checkpoints.wait()
    folder = f'{run}/checkpoints/1'
    paths = [path for path in pathlib.Path(folder).rglob('*') if path.is_file()]
    size = sum(path.stat().st_size for path in paths)
    console.say(f'{size / 1e6:.0f} MB in {len(paths)} files of {folder}')

    def restore():
      jax.block_until_ready(checkpoints.restore(program.state, 1))

    def verify():
      checkpoint.refuse(folder)

    for where, before in (('memory', []), ('the disk', paths)):
      turns = [*_turns((verify, restore), before)][1:]
      proof, whole = map(statistics.median, zip(*turns))
      ratio = statistics.median(a / b for a, b in turns)
      print(
        f'from {where}: compared in {proof:.3f} s, restored in {whole:.3f} s; '
        f'the median of {len(turns)} ratios is {ratio:.2f}'
      )


def _noise(state: Any) -> Any:
  """A state with other numbers in its arrays."""
  import jax

  draw = np.random.default_rng(0)

  def other(x):
    if not jax.numpy.issubdtype(x.dtype, jax.numpy.floating):
      return x
    noise = draw.standard_normal(x.shape, np.float32)
    return jax.device_put(noise.astype(x.dtype), x.sharding)

  return jax.tree.map(other, state)


def _turns(
  each: tuple[Callable[[], None], ...], forgotten: list[pathlib.Path]
) -> Iterator[list[float]]:
  """Seconds of each, turn by turn; the first is to warm up."""
  for number in range(1 + _ROUNDS.value):
    took = {}
    for what in each if number % 2 else each[::-1]:
      for path in forgotten:
        _forget(path)
      began = time.perf_counter()
      what()
      took[what] = time.perf_counter() - began
    yield [took[what] for what in each]


def _forget(path: pathlib.Path) -> None:
  """Has the system read a file from its disk at the next time."""
  with open(path, 'rb') as file:
    os.fsync(file.fileno())
    os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


if __name__ == '__main__':
  command.run(main)
