"""The program that training runs, of a recipe on a mesh, without its data.

That of readouts too: their recipe with the backbone of a pretraining recipe.
"""

import functools
import json
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import AbstractMesh, Mesh

from models import objective as objective_lib
from models.objective import Objective
from train import chips, optim
from train import mesh as mesh_lib
from train import step as step_lib


class Program(NamedTuple):
  """A recipe's step, and the shapes that it is of.

  Attributes:
    objective: what is trained.
    mesh: where.
    new_state: key -> `train.step.State`, the state before the first update.
    state: shapes of the state, with their places on the mesh.
    batch: shapes of a batch, with theirs.
    step: (state, batch) -> (state, metrics), jitted; the state is donated.
    compiler_options: of the recipe, over those of the chips.
  """

  objective: Objective
  mesh: Mesh | AbstractMesh
  new_state: Any
  state: step_lib.State
  batch: dict[str, jax.ShapeDtypeStruct]
  step: Any
  compiler_options: Mapping[str, bool | str]

  def flops(self) -> dict[str, float]:
    """Model FLOPs of a step, by part."""
    return self.objective.flops(self.batch)

  def lower(self):
    """The step, traced and lowered for the mesh."""
    with mesh_lib.use(self.mesh):
      return self.step.lower(self.state, self.batch)

  def running(self) -> Callable[[], None]:
    """A function that makes one step, on random clips, and waits for its end.

    The clips lie on the devices. The step is compiled here, and not yet run.
    """
    shapes = self.batch['video']
    with mesh_lib.use(self.mesh):
      video = jax.random.bits(jax.random.key(1), shapes.shape, jnp.uint8)
      batch = {'video': jax.device_put(video, shapes.sharding)}
      chip = chips.of_device(self.mesh.devices.flat[0])
      options = chips.compiler_options(chip, self.compiler_options)
      update = self.lower().compile(compiler_options=options)
      state = self.new_state(jax.random.key(0))

    def step() -> None:
      nonlocal state
      state, _ = jax.block_until_ready(update(state, batch))

    return step


def make(config: Mapping[str, Any], mesh: Mesh | AbstractMesh) -> Program:
  """The program of a pretraining recipe, or of readouts.

  Args:
    config: plain values, as `train.loop.run` takes them. Of `data` only
      `batch_size` is read: clips are of the model's shape. Or what
      `of_readouts` made, whose labels have the shapes of the source's.
    mesh: of devices that are here, of a topology, or of none at all; then
      nothing can be lowered.

  Raises:
    ValueError: the config cannot work on this mesh.
  """
  model, clips = config['model'], config['data']['batch_size']
  options = dict(config['step'])
  freeze = options.pop('freeze')
  mesh_lib.check_batch(mesh, batch_size=clips, accumulate=options['accumulate'])
  if 'tasks' in config:
    from evals import job  # Orbax comes with it, and takes a while to import

    objective = job.make_objective(config)
    rows = _labelled(json.dumps(config['data'], sort_keys=True))
  else:
    objective = objective_lib.make(**model)
    clip = (model['frames'], model['height'], model['width'], 3)
    rows = {'video': jax.ShapeDtypeStruct(clip, jnp.uint8)}
  place = mesh_lib.batch_sharding(mesh)
  batch = {
    key: jax.ShapeDtypeStruct((clips, *row.shape), row.dtype, sharding=place)
    for key, row in rows.items()
  }
  tx, _ = optim.make(steps=config['steps'], **config['optim'])
  init = functools.partial(objective.init, batch=batch)
  # The key is made inside: a topology's devices can hold none.
  shapes = jax.eval_shape(lambda: init(jax.random.key(0)))
  is_frozen = optim.matches(freeze, shapes)
  new = functools.partial(
    step_lib.init_state, tx=tx, is_frozen=is_frozen, ema=options['ema']
  )
  state = jax.eval_shape(lambda: new(init(jax.random.key(0))))
  places = mesh_lib.state_shardings(mesh, tx, state, is_frozen)
  step = step_lib.make_train_step(
    objective, tx, is_frozen, seed=config['seed'], **options
  )
  return Program(
    objective=objective,
    mesh=mesh,
    new_state=jax.jit(lambda rng: new(init(rng)), out_shardings=places),
    state=jax.tree.map(
      lambda leaf, place: jax.ShapeDtypeStruct(
        leaf.shape, leaf.dtype, sharding=place
      ),
      state,
      places,
    ),
    batch=batch,
    step=jax.jit(step, donate_argnums=0, out_shardings=(places, None)),
    compiler_options=config['compile']['options'],
  )


def of_readouts(
  config: Mapping[str, Any], backbone: Mapping[str, Any]
) -> dict[str, Any]:
  """A readout job's config, of a backbone that need not have been trained.

  Args:
    config: a readout recipe's values, on a source that can be read here, such
      as the built-in world.
    backbone: the values of a pretraining recipe.

  Raises:
    ValueError: they do not fit together.
  """
  from evals.resolve import completed

  # Of its data nothing is taken: clips are of the model's shape.
  pretraining = {'model': backbone['model'], 'data': {'sources': {}}}
  untrained = {'run': '', 'step': None, 'random_init': True}
  return completed(config, pretraining, untrained)


@functools.cache
def _labelled(data: str) -> dict[str, jax.ShapeDtypeStruct]:
  """Shapes of a clip and its labels, of a data section as JSON; reads one."""
  from data import pipeline

  example = pipeline.make(split='train', **json.loads(data)).example()
  return {
    key: jax.ShapeDtypeStruct(value.shape, value.dtype)
    for key, value in example.items()
  }
