"""A program that runs: a step a call, on clips that lie on the devices."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from train import chips
from train import mesh as mesh_lib
from train.program import Program


def running(
  program: Program, labels: Mapping[str, np.ndarray] | None = None
) -> Callable[..., None]:
  """A function that makes one step, on random clips, and waits for its end.

  The step is compiled here, and not yet run. What the function is given, it
  calls with state and batch before it steps.

  Args:
    program: of a recipe, on devices that are here.
    labels: of a readout's clip, which all clips of the batch get.
  """
  shapes = program.batch['video']
  with mesh_lib.use(program.mesh):
    video = jax.random.bits(jax.random.key(1), shapes.shape, jnp.uint8)
    batch = {'video': jax.device_put(video, shapes.sharding)}
    for key, label in (labels or {}).items():
      rows = np.broadcast_to(label, program.batch[key].shape)
      batch[key] = jax.device_put(rows, program.batch[key].sharding)
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
