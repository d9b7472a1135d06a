"""Trains a few steps at each width, and looks how far activations moved."""

import contextlib
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from base.console import progress
from data import pipeline
from launch import recipe
from models.objective import row_keys
from train import mesh as mesh_lib

PARAMETRISATIONS = ('standard', 'mup')
# Where it is looked: the stream in the middle and where readouts read it, and
# what the head has learned to add to pixels. Pixels as a whole would tell of
# the start too, which muP makes smaller where a model is wider.
PLACES = ('half way', 'features', 'pixels')


def at_width(
  config: Mapping[str, Any], width: int, base: int, parametrisation: str
) -> dict[str, Any]:
  """The recipe at another width: heads as wide, `mlp` as many times `dim`.

  The rate is constant from the first step on: what is looked at is a few steps.

  Args:
    config: plain values of a recipe of models.mae that names dim, mlp, heads.
    width: of the stream.
    base: the width at which all parametrisations are one.
    parametrisation: of PARAMETRISATIONS.

  Raises:
    ValueError: the width is not one of whole heads, or the recipe names none.
  """
  model = config['model']
  dim, mlp, heads = (model[key] for key in ('dim', 'mlp', 'heads'))
  if None in (dim, mlp, heads):
    raise ValueError(
      'config.model must name dim, mlp and heads, as configs/quickstart.py '
      f'does, got {dim}, {mlp} and {heads}'
    )
  if width * heads % dim:
    raise ValueError(
      f'a width of {width} is not one of heads of {dim // heads}, as the '
      f'recipe has: expected a multiple of {dim // heads}'
    )
  changed = {
    **model,
    **{'dim': width, 'mlp': width * mlp // dim, 'heads': width * heads // dim},
  }
  optim = {
    **config['optim'],
    **{'schedule': 'constant', 'warmup_fraction': 0.0, 'final_lr': 0.0},
    **{'parametrisation': parametrisation},
    'base_width': base if parametrisation == 'mup' else 0,
  }
  return {**config, 'model': changed, 'optim': optim}


def moved(
  config: Mapping[str, Any], batches: Sequence[Sequence[Mapping[str, Any]]]
) -> dict[str, list[list[float]]]:
  """How far each of PLACES is from where it started, by seed, after each step.

  Args:
    config: as `at_width` makes it.
    batches: of clips, for each seed one a step; the first one's are looked at.
  """

  # Of one device: what is asked does not depend on how it is split.
  mesh = mesh_lib.make(devices=jax.devices()[:1])
  program = recipe.program(config, mesh)
  objective = program.objective

  @jax.jit
  def look(params, head, video):
    rows = {'row': jnp.arange(video.shape[0], dtype=jnp.uint32)}
    index = objective.draw(row_keys(jax.random.key(0), rows))
    as_at_first = objective.reconstruct({**params, 'head': head}, video, index)
    return {
      'half way': objective.features(params, video, depth=0.5).tokens,
      'features': objective.features(params, video).tokens,
      'pixels': objective.reconstruct(params, video, index) - as_at_first,
    }

  found = {place: [] for place in PLACES}
  with mesh_lib.use(mesh):
    fresh = jax.jit(lambda rng: program.new_state(program.init(rng)))
    for seed, of_seed in enumerate(batches):
      state = fresh(jax.random.key(seed))
      video = of_seed[0]['video']
      # A copy: the step takes the state's memory.
      head = jax.tree.map(jnp.copy, state.params['head'])
      start = look(state.params, head, video)
      walks = {place: [] for place in PLACES}
      for batch in of_seed:
        state, _ = program.step(state, batch)
        now = look(state.params, head, video)
        for place in PLACES:
          change = jnp.square(now[place] - start[place])
          walks[place].append(float(jnp.sqrt(change.mean())))
      for place in PLACES:
        found[place].append(walks[place])
  return found


def growth(found: Mapping[int, Sequence[float]]) -> float:
  """By what power of the width the last of the values grows; 0: not at all.

  Args:
    found: by width, how far a place has moved after each step.
  """
  widths = np.log([float(width) for width in found])
  values = np.log([values[-1] for values in found.values()])
  return float(np.polyfit(widths, values, 1)[0])


def check(
  config: Mapping[str, Any], widths: Sequence[int], *, steps: int, seeds: int
) -> dict[str, dict[str, dict[int, list[float]]]]:
  """{parametrisation: {place: {width: medians over seeds after each step}}}.

  Args:
    config: plain values of the recipe.
    widths: of the stream; the first one is the base.
    steps: trained.
    seeds: of start and clips.

  Raises:
    ValueError: see `at_width`.
  """
  data = pipeline.make(split='train', **config['data'])
  with contextlib.closing(data.batches()) as feed:
    batches = [[next(feed)[0] for _ in range(steps)] for _ in range(seeds)]
  found = {name: {place: {} for place in PLACES} for name in PARAMETRISATIONS}
  walks = [(name, width) for name in PARAMETRISATIONS for width in widths]
  with progress('widths', len(walks), 'model') as done:
    for name, width in walks:
      changed = at_width(config, width, widths[0], name)
      for place, of_seed in moved(changed, batches).items():
        found[name][place][width] = np.median(of_seed, axis=0).tolist()
      done.update(1)
  return found
