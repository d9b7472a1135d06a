"""Whether runs can work, and what they cost, before any starts.

In a process of its own: a launcher starts others, for which a JAX of many
threads is no good parent.
"""

import concurrent.futures
import dataclasses
import math
import multiprocessing
import os
from collections.abc import Mapping, Sequence
from typing import Any

from launch import overrides
from launch.job import Job

Config = Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class Cost:
  """Of a run.

  Attributes:
    parameters: of its model.
    flops: model FLOPs of all its steps.
  """

  parameters: int
  flops: float


def of_job(job: Job, devices: int) -> str:
  """A line on what a job is; refuses one that cannot work on its devices.

  Args:
    job: of which only training with a recipe is built as shapes; of readouts,
      whose backbone may be elsewhere, the recipe is read.
    devices: of all its processes.

  Raises:
    ValueError: its recipe, or an override, is none, or cannot work.
  """
  if job.module not in ('train', 'evals') or not job.flag('config'):
    return ''
  config = overrides.resolved(job.recipe)
  if job.module == 'evals':
    return ''
  (cost,) = costs({'': config}, [], devices).values()
  return (
    f'{cost.parameters:,} parameters, {cost.flops:.2e} FLOPs in '
    f'{config["steps"]:,} steps, on {devices} devices'
  )


def costs(
  configs: Mapping[str, Config],
  readouts: Sequence[Config],
  devices: int = 0,
) -> dict[str, Cost]:
  """What each run costs.

  Args:
    configs: name -> resolved values of a run.
    readouts: those of the recipes of readouts that follow each.
    devices: of each; 0: as many as its mesh says.

  Raises:
    ValueError: a run, or a readout of it, cannot work; it is named.
  """
  spawned = multiprocessing.get_context('spawn')
  with concurrent.futures.ProcessPoolExecutor(
    1, spawned, initializer=_without_accelerator
  ) as pool:
    found = pool.submit(_all, dict(configs), list(readouts), devices).result()
  for name, result in found.items():
    if isinstance(result, str):
      raise ValueError(f'run {name}: {result}' if name else result)
  return found


def _without_accelerator() -> None:
  # Shapes are computed, no arrays; before JAX is imported.
  os.environ['JAX_PLATFORMS'] = 'cpu'


def _all(
  configs: dict[str, Config], readouts: list[Config], devices: int
) -> dict[str, Cost | str]:
  found: dict[str, Cost | str] = {}
  for name, config in configs.items():
    try:
      found[name] = _cost(config, readouts, devices)
    except ValueError as error:
      found[name] = str(error)
      break
  return found


def _cost(config: Config, readouts: list[Config], devices: int) -> Cost:
  import jax

  from evals import job
  from launch import recipe
  from train import mesh

  sizes = config['mesh']
  if not devices:
    # Its chips, where it says how many; of the rest one.
    sizes = {k: 1 if n == -1 else n for k, n in sizes.items()}
    devices = math.prod(sizes.values())
  program = recipe.program(config, mesh.make_abstract(devices, **sizes))
  for readout in readouts:
    job.make_objective(recipe.of_readouts(readout, config))
  params = jax.tree.leaves(program.state.params)
  return Cost(
    sum(leaf.size for leaf in params),
    sum(program.flops().values()) * config['steps'],
  )
