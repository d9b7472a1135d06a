"""What a run computes: state and step of a config on a mesh, built once.

The loop runs it, the planner compiles it for chips that are not here, the
benches time it: all three are of the one step that is made here.
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
from jax.sharding import AbstractMesh, Mesh

from models import parametrisation
from models.objective import Objective, Params
from train import mesh as mesh_lib
from train import optim
from train import step as step_lib
from train.step import State


class Program(NamedTuple):
  """Functions of a run, and the shapes that they are of.

  Attributes:
    objective: what is trained.
    mesh: where.
    batch: shapes of a batch, with their places on the mesh.
    init: key -> parameters before the first update.
    new_state: parameters -> `train.step.State` with them; not jitted.
    state: shapes of the state, with their places.
    is_frozen: a tree of bools like the parameters: which are not trained.
    schedule: update -> learning rate.
    step: (state, batch) -> (state, metrics), jitted; the state is donated.
    eval_step: (params, batch, number) -> metrics, jitted.
    compiler_options: of the recipe, over those of the chips.
  """

  objective: Objective
  mesh: Mesh | AbstractMesh
  batch: dict[str, jax.ShapeDtypeStruct]
  init: Callable[[jax.Array], Params]
  new_state: Callable[[Params], State]
  state: State
  is_frozen: Any
  schedule: Callable[[int], Any]
  step: Any
  eval_step: Any
  compiler_options: Mapping[str, bool | str]

  @property
  def places(self) -> State:
    """Where the state lies: a sharding for each of its arrays."""
    return jax.tree.map(lambda leaf: leaf.sharding, self.state)

  def fresh(self, rng: jax.Array) -> State:
    """A state before the first update, on the mesh."""
    made = jax.jit(
      lambda rng: self.new_state(self.init(rng)), out_shardings=self.places
    )
    return made(rng)

  def flops(self) -> dict[str, float]:
    """Model FLOPs of a step, by part."""
    return self.objective.flops(self.batch)

  def lower(self) -> jax.stages.Lowered:
    """The step, traced and lowered for the mesh, which must have devices."""
    with mesh_lib.use(self.mesh):
      return self.step.lower(self.state, self.batch)


def make(
  config: Mapping[str, Any],
  objective: Objective,
  examples: Mapping[str, Any],
  mesh: Mesh | AbstractMesh,
) -> Program:
  """Builds it; nothing is computed but shapes.

  Args:
    config: plain values, of which `seed`, `steps`, `optim`, `step`,
      `compile.options` and `data.batch_size` are read.
    objective: what is trained.
    examples: anything with the shape and dtype of one example, by record key;
      a batch has `data.batch_size` of them.
    mesh: of devices that are here, of a topology, or of none at all; then
      nothing can be lowered.

  Raises:
    ValueError: the config cannot work on this mesh.
  """
  rows, seed = config['data']['batch_size'], config['seed']
  options = dict(config['step'])
  freeze = options.pop('freeze')
  mesh_lib.check_batch(mesh, batch_size=rows, accumulate=options['accumulate'])
  place = mesh_lib.batch_sharding(mesh)
  batch = {
    key: jax.ShapeDtypeStruct((rows, *each.shape), each.dtype, sharding=place)
    for key, each in examples.items()
  }
  tx, schedule = optim.make(steps=config['steps'], **config['optim'])
  init = functools.partial(_init, objective, batch, config['optim'])
  # The key is made inside: devices of a topology can hold none.
  params = jax.eval_shape(lambda: init(jax.random.key(seed)))
  is_frozen = optim.matches(freeze, params)
  new_state = functools.partial(
    step_lib.init_state, tx=tx, is_frozen=is_frozen, ema=options['ema']
  )
  state = jax.eval_shape(new_state, params)
  places = mesh_lib.state_shardings(mesh, tx, state, is_frozen)
  step = step_lib.make_train_step(
    objective, tx, is_frozen, seed=seed, **options
  )
  return Program(
    objective=objective,
    mesh=mesh,
    batch=batch,
    init=init,
    new_state=new_state,
    state=jax.tree.map(
      lambda leaf, place: jax.ShapeDtypeStruct(
        leaf.shape, leaf.dtype, sharding=place
      ),
      state,
      places,
    ),
    is_frozen=is_frozen,
    schedule=schedule,
    # Donated: the new state takes the memory of the old one. Said where it
    # lies, or the compiler might choose another layout, and compile again for
    # it.
    step=jax.jit(step, donate_argnums=0, out_shardings=(places, None)),
    # Not donated: the parameters are trained on with.
    eval_step=jax.jit(step_lib.make_eval_step(objective, seed=seed)),
    compiler_options=config['compile']['options'],
  )


def _init(
  objective: Objective,
  batch: Mapping[str, Any],
  options: Mapping[str, Any],
  rng: jax.Array,
) -> Params:
  """Parameters before the first update, as `optim.parametrisation` has them."""
  params = objective.init(rng, batch)
  if options['parametrisation'] == 'standard':
    return params
  factors = parametrisation.starts(params, options['base_width'])
  return jax.tree.map(lambda x, factor: factor * x, params, factors)
