"""Memory of a long video: `python -m launch.bench.carried --config=...`.

Follows videos of more and more frames with a recurrent model, in chunks, the
state carried from one to the next; what is read of a chunk is dropped, as a
tracker would after drawing it. Prints how far the process grew meanwhile, and
beside it the bytes that one pass over all frames would need, which is compiled
and not run.
"""

import resource
import time

from absl import flags
from ml_collections import config_flags

from base import command

_CONFIG = config_flags.DEFINE_config_file(
  'config', None, 'A recipe of a recurrent model: configs/FILE.py:KEY=VALUE'
)
_FRAMES = flags.DEFINE_list('frames', ['64', '256', '1024'], 'Of the videos.')
_CHUNK = flags.DEFINE_integer('chunk', 8, 'Frames of a chunk.', lower_bound=1)
flags.register_validator(
  'frames',
  lambda counts: all(count.isdigit() and int(count) for count in counts),
  'expected whole numbers, with commas between them',
)


def resident() -> float:
  """The memory that this process has now, MiB (Linux)."""
  with open('/proc/self/statm') as file:
    pages = int(file.read().split()[1])
  return pages * resource.getpagesize() / 2**20


def main() -> None:
  """Prints one line for each number of frames."""
  import jax
  import numpy as np

  from base import console
  from launch import recipe
  from models import objective as objective_lib
  from train import malloc

  malloc.keep()
  # Unrolled, a pass over a thousand frames would compile for hours.
  model = recipe.pretraining(_CONFIG.value)['model'] | {'scan': True}
  chunk = _CHUNK.value
  counts = list(map(int, _FRAMES.value))
  if any(count % chunk for count in counts):
    raise ValueError(
      f'--frames={counts} must be multiples of --chunk={chunk}: choose others'
    )
  objective = objective_lib.make(**model)
  size = (model['height'], model['width'], 3)
  clip = np.zeros((1, model['frames'], *size), np.uint8)

  def init():
    return objective.init(jax.random.key(0), {'video': clip})

  def follow(params, video, state):
    features = objective.features(params, video, state=state)
    return features.tokens, features.state

  # By shapes, and of the recipe's own clip: a model that carries nothing may
  # take no other, and would say so instead.
  _, state = jax.eval_shape(follow, jax.eval_shape(init), clip, None)
  if state is None:
    raise ValueError(
      f'--config has model.name={model["name"]}, which carries no state from a '
      'chunk to the next: expected a recurrent model, such as configs/moog.py'
    )
  params = jax.jit(init)()

  rng = np.random.default_rng(0)
  step = jax.jit(follow)

  def frames(count):
    return rng.integers(0, 256, (1, count, *size), np.uint8)

  # Both programs, with a state and without, are compiled and have run.
  console.say('compiling ...')
  _, state = step(params, frames(chunk), None)
  jax.block_until_ready(step(params, frames(chunk), state))
  title = f'in chunks of {chunk}: grew by'
  print(
    f'{"frames":>7}{title:>34}{"ms a frame":>12}{"one pass would need":>21}'
  )
  for count in counts:
    # After the first chunks have run, so that it is growth, not start.
    before, began, state = resident(), time.perf_counter(), None
    most = before
    for _ in range(count // chunk):
      tokens, state = step(params, frames(chunk), state)
      jax.block_until_ready(tokens)
      most = max(most, resident())
    took = 1e3 * (time.perf_counter() - began) / count
    whole = jax.ShapeDtypeStruct((1, count, *size), np.uint8)
    # Compiled, not run: a pass over all frames may not fit.
    memory = step.lower(params, whole, None).compile().memory_analysis()
    needs = memory.temp_size_in_bytes + memory.output_size_in_bytes
    grew = most - before
    print(
      f'{count:7}{grew:30.1f} MiB{took:12.1f}{needs / 2**20:17.0f} MiB',
      flush=True,
    )


if __name__ == '__main__':
  command.run(main, required=['config'])
