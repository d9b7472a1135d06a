"""What scanning over time saves.

    python -m launch.bench.over_time --config=...

Compiles the gradient of a recurrent model's loss, scanned and unrolled, for
clips of more and more frames; prints seconds of compilation and the bytes that
the compiled program needs besides its inputs and outputs. Nothing is run.
"""

import time

from absl import flags
from ml_collections import config_flags

from base import command

_CONFIG = config_flags.DEFINE_config_file(
  'config', None, 'A recipe of a recurrent model: configs/FILE.py:KEY=VALUE'
)
_FRAMES = flags.DEFINE_list('frames', ['4', '8', '16', '32'], 'Of the clips.')
_CLIPS = flags.DEFINE_integer('clips', 1, 'Clips of a batch.', lower_bound=1)
flags.register_validator(
  'frames',
  lambda counts: all(count.isdigit() and int(count) for count in counts),
  'expected whole numbers, with commas between them',
)


def compile_gradient(model, clips: int) -> tuple[float, int]:
  """Seconds of compilation, and bytes of temporaries.

  Args:
    model: options of `models.objective.make`.
    clips: of the batch.
  """
  import jax
  import numpy as np

  from models import objective as objective_lib

  objective = objective_lib.make(**model)
  shape = (clips, *(model[key] for key in ('frames', 'height', 'width')), 3)
  batch = {
    'video': jax.ShapeDtypeStruct(shape, np.uint8),
    'row': jax.ShapeDtypeStruct((clips,), np.uint32),
  }
  rng = jax.random.key(0)
  # Shapes do: nothing is run.
  params = jax.eval_shape(lambda rng: objective.init(rng, batch), rng)
  step = jax.jit(jax.grad(objective.loss, has_aux=True))
  began = time.perf_counter()
  compiled = step.lower(params, batch, rng).compile()
  seconds = time.perf_counter() - began
  return seconds, compiled.memory_analysis().temp_size_in_bytes


def main() -> None:
  """Prints one line for each number of frames."""
  from launch import recipe

  model = recipe.pretraining(_CONFIG.value)['model']
  print(f'{"frames":>6}{"scanned":>20}{"unrolled":>20}')
  for frames in map(int, _FRAMES.value):
    line = f'{frames:6}'
    for scan in (True, False):
      options = model | {'frames': frames, 'scan': scan}
      seconds, size = compile_gradient(options, _CLIPS.value)
      line += f'{seconds:9.1f} s {size / 2**20:6.0f} MB'
    print(line, flush=True)


if __name__ == '__main__':
  command.run(main, required=['config'])
