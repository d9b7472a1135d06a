"""A program that runs: a step a call, on clips that lie on the devices."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from train import chips
from train import mesh as mesh_lib
from train.program import Program


def running(program: Program) -> Callable[..., None]:
  """A function that makes one step, on random clips, and waits for its end.

  The step is compiled here, and not yet run. What the function is given, it
  calls with state and batch before it steps.

  Args:
    program: of a pretraining recipe, on devices that are here.
  """
  shapes = program.batch['video']
  with mesh_lib.use(program.mesh):
    video = jax.random.bits(jax.random.key(1), shapes.shape, jnp.uint8)
    batch = {'video': jax.device_put(video, shapes.sharding)}
    chip = chips.of_device(program.mesh.devices.flat[0])
    options = chips.compiler_options(chip, program.compiler_options)
    update = program.lower().compile(compiler_options=options)
    state = program.fresh(jax.random.key(0))

  def step(before: Callable[[Any, Any], None] | None = None) -> None:
    nonlocal state
    if before is not None:
      before(state, batch)
    # Waited for in each call: the next one would be queued, not timed.
    state, _ = jax.block_until_ready(update(state, batch))

  return step
