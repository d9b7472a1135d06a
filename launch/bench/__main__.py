"""Times the training step alone: `python -m launch.bench --config=...`.

On random clips that lie on the device, so that neither reading nor logging
counts: what this machine's chips can do with a recipe at most.
"""

import statistics
import time

from absl import flags
from ml_collections import config_flags

from base import command

_CONFIG = config_flags.DEFINE_config_file(
  'config', None, 'A pretraining recipe: configs/FILE.py:KEY=VALUE,...'
)
_STEPS = flags.DEFINE_integer('steps', 20, 'Timed steps.', lower_bound=1)


def main() -> None:
  """Prints one line: median step, clips/s, model FLOP/s, MFU."""
  import jax

  from base import console
  from launch import recipe
  from launch.bench.running import running
  from train import chips, processes
  from train import mesh as mesh_lib

  config = recipe.pretraining(_CONFIG.value)
  processes.join('', **config['processes'])
  mesh = mesh_lib.make(**config['mesh'])
  program = recipe.program(config, mesh)
  console.say('compiling the step ...')
  clips, step = program.batch['video'].shape[0], running(program)
  seconds = []
  # The first three warm caches and clocks, and are not counted.
  for _ in range(3 + _STEPS.value):
    began = time.perf_counter()
    step()
    seconds.append(time.perf_counter() - began)
  # Not the mean, which one hiccup of the machine moves.
  took = statistics.median(seconds[3:])
  rate = sum(program.flops().values()) / took / jax.device_count()
  peak = chips.peak_flops(jax.devices()[0])
  print(
    f'{jax.device_count()} x {jax.devices()[0].device_kind}: '
    f'{1e3 * took:.1f} ms a step of {clips} clips, {clips / took:.1f} clips/s, '
    f'{rate / 1e12:.2f} model TFLOP/s per chip'
    + (f', MFU {rate / peak:.1%}' if peak else '')
  )


if __name__ == '__main__':
  command.run(main, required=['config'])
