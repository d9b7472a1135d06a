"""Whether the runs of a sweep can work, and what they cost, before any starts.

In a process of its own: the sweep's starts others, for which a JAX of many
threads is no good parent.
"""

import concurrent.futures
import dataclasses
import multiprocessing
import os
from collections.abc import Mapping, Sequence
from typing import Any

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


def costs(
  configs: Mapping[str, Config], readouts: Sequence[Config]
) -> dict[str, Cost]:
  """What each run costs.

  Args:
    configs: name -> resolved values of a run.
    readouts: those of the recipes of readouts that follow each.

  Raises:
    ValueError: a run, or a readout of it, cannot work; it is named.
  """
  spawned = multiprocessing.get_context('spawn')
  with concurrent.futures.ProcessPoolExecutor(
    1, spawned, initializer=_without_accelerator
  ) as pool:
    found = pool.submit(_all, dict(configs), list(readouts)).result()
  for name, result in found.items():
    if isinstance(result, str):
      raise ValueError(f'run {name}: {result}')
  return found


def _without_accelerator() -> None:
  # Shapes are computed, no arrays; before JAX is imported.
  os.environ['JAX_PLATFORMS'] = 'cpu'


def _all(
  configs: dict[str, Config], readouts: list[Config]
) -> dict[str, Cost | str]:
  found: dict[str, Cost | str] = {}
  for name, config in configs.items():
    try:
      found[name] = _cost(config, readouts)
    except ValueError as error:
      found[name] = str(error)
      break
  return found


def _cost(config: Config, readouts: list[Config]) -> Cost:
  import jax

  from evals import job
  from launch import recipe
  from train import mesh

  # Its chips, where it says how many; of the rest one.
  sizes = {k: 1 if n == -1 else n for k, n in config['mesh'].items()}
  devices = 1
  for size in sizes.values():
    devices *= size
  program = recipe.program(config, mesh.make_abstract(devices, **sizes))
  for readout in readouts:
    job.make_objective(recipe.of_readouts(readout, config))
  params = jax.tree.leaves(program.state.params)
  return Cost(
    sum(leaf.size for leaf in params),
    sum(program.flops().values()) * config['steps'],
  )
