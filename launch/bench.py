"""Times the training step alone: `python -m launch.bench --config=...`.

On random clips that lie on the device, so that neither reading nor logging
counts: what this machine's chips can do with a recipe at most.
"""

import functools
import statistics
import time

from absl import flags
from ml_collections import config_flags

from train import command

_CONFIG = config_flags.DEFINE_config_file(
  'config', None, 'A pretraining recipe: configs/FILE.py:KEY=VALUE,...'
)
_STEPS = flags.DEFINE_integer('steps', 20, 'Timed steps.')


def main() -> None:
  """Prints one line: median step, clips/s, model FLOP/s, MFU."""
  import jax
  import jax.numpy as jnp

  from models import objective as objective_lib
  from train import chips, optim, start
  from train import mesh as mesh_lib
  from train import step as step_lib

  start.up(compilation_cache='')
  config = _CONFIG.value.to_dict()
  model, clips = config['model'], config['data']['batch_size']
  objective = objective_lib.make(**model)
  mesh = mesh_lib.make(**config['mesh'])
  options = {k: v for k, v in config['step'].items() if k != 'freeze'}
  tx, _ = optim.make(steps=config['steps'], **config['optim'])
  shape = (clips, model['frames'], model['height'], model['width'], 3)
  with mesh_lib.use(mesh):
    video = jax.random.bits(jax.random.key(1), shape, jnp.uint8)
    batch = {'video': jax.device_put(video, mesh_lib.batch_sharding(mesh))}
    init = functools.partial(objective.init, batch=batch)
    shapes = jax.eval_shape(init, jax.random.key(0))
    is_frozen = optim.matches(config['step']['freeze'], shapes)
    new = functools.partial(
      step_lib.init_state, tx=tx, is_frozen=is_frozen, ema=options['ema']
    )

    def state_of(rng):
      return new(init(rng))

    places = mesh_lib.state_shardings(
      mesh, tx, jax.eval_shape(state_of, jax.random.key(0)), is_frozen
    )
    state = jax.jit(state_of, out_shardings=places)(jax.random.key(0))
    step = jax.jit(
      step_lib.make_train_step(
        objective, tx, is_frozen, seed=config['seed'], **options
      ),
      donate_argnums=0,
      out_shardings=(places, None),
    )
    seconds = []
    for _ in range(3 + _STEPS.value):
      began = time.perf_counter()
      state, logged = step(state, batch)
      jax.block_until_ready(logged)
      seconds.append(time.perf_counter() - began)
  took = statistics.median(seconds[3:])
  rate = sum(objective.flops(batch).values()) / took / jax.device_count()
  peak = chips.peak_flops(jax.devices()[0])
  print(
    f'{jax.device_count()} x {jax.devices()[0].device_kind}: '
    f'{1e3 * took:.1f} ms a step of {clips} clips, {clips / took:.1f} clips/s, '
    f'{rate / 1e12:.2f} model TFLOP/s per chip'
    + (f', MFU {rate / peak:.1%}' if peak else '')
  )


if __name__ == '__main__':
  command.run(main, required=['config'])
