"""What it costs to watch a run's health: `python -m launch.bench.health`.

A step, and one with a look before it, in turns: the difference of a pair is
what a look costs, with what the host makes of it. Training pays that once in
`config.health.every` steps, and once the compilation of the look.
"""

import statistics
import time

from absl import flags
from ml_collections import config_flags

from base import command

_CONFIG = config_flags.DEFINE_config_file(
  'config', 'configs/quickstart.py', 'A pretraining recipe, whose step it is.'
)
_ROUNDS = flags.DEFINE_integer('rounds', 20, 'Pairs of steps.', lower_bound=1)


def main() -> None:
  """Prints one line: a step, a look, and its share of the time."""
  import jax

  from base import console
  from launch import recipe
  from launch.bench.running import running
  from train import mesh as mesh_lib
  from train.health import Health

  config = recipe.pretraining(_CONFIG.value)
  every = config['health']['every']
  if not every:
    raise ValueError(
      'config.health.every=0 never looks at features and layers, and costs '
      'nothing: expected a number of steps'
    )
  mesh = mesh_lib.make(**config['mesh'])
  program = recipe.program(config, mesh)
  health = Health(program, config['seed'], **config['health'])
  console.say('compiling the step ...')
  with mesh_lib.use(mesh):
    step = running(program)

    def plain() -> float:
      began = time.perf_counter()
      step()
      return time.perf_counter() - began

    def watched() -> float:
      began = time.perf_counter()
      step(lambda state, batch: health.look(state, batch, 1))
      health.read(1, lambda *unused: None)
      return time.perf_counter() - began

    plain()
    first = watched()  # compiles
    pairs = []
    for number in range(3 + _ROUNDS.value):
      # Who is first changes.
      order = (plain, watched) if number % 2 else (watched, plain)
      took = {each: each() for each in order}
      pairs.append((took[plain], took[watched]))
  pairs = pairs[3:]
  took = statistics.median(each for each, _ in pairs)
  look = statistics.median(watched - plain for plain, watched in pairs)
  print(
    f'{jax.device_count()} x {jax.devices()[0].device_kind}: a step '
    f'{1e3 * took:.1f} ms, a look {1e3 * look:.1f} ms, every {every} steps: '
    f'{look / (every * took):.2%} of the time; the first one {first:.1f} s'
  )


if __name__ == '__main__':
  command.run(main)
