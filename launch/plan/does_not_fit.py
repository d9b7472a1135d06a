"""What is said of a step that does not fit a chip, and what would help."""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

from configs.common import with_changes
from launch import recipe
from launch.plan import memory
from launch.plan.compiler import OutOfMemoryError
from launch.plan.topology import Topology
from train import mesh as mesh_lib
from train.chips import rentable


class DoesNotFitError(ValueError):
  """A step needs more memory than a chip has; the mildest remedy is named.

  Attributes:
    details: lines on what takes the memory, and on what else would help.
  """

  def __init__(self, message: str, details: str):
    """Takes the line, and the lines."""
    super().__init__(message)
    self.details = details


def error(
  config: Mapping[str, Any],
  topology: Topology,
  held: memory.Memory,
  refused: OutOfMemoryError | None = None,
) -> DoesNotFitError:
  """To be raised where a step does not fit.

  Args:
    config: the recipe.
    topology: where.
    held: what a chip would hold, by formula.
    refused: by the compiler; None: by the formula.
  """
  needed = refused.needed if refused else held.total
  limit = refused.limit if refused else topology.device.hbm_gib * memory.GIB
  source = 'the compiler' if refused else 'the formula'
  parts = ', '.join(
    f'{name} {_gib(value)}' for name, value in vars(held).items() if value
  )
  lines, scale = [f'by formula: {parts}'], 1.0
  if refused:
    if refused.largest:
      lines.append('largest buffers, by the compiler:')
      lines += [f'  {line}' for line in refused.largest[:5]]
    fixed = held.total - held.activations - held.gradients
    # The compiler needs more than the formula says: of what a change can make
    # smaller, in proportion.
    scale = max(1.0, (needed - fixed) / (held.total - fixed))
  changes = remedies(config, topology, scale=scale)
  if changes:
    lines.append('each of these would make it fit, predicted by formula:')
    lines += [f'  {each.what}: {_gib(each.held.total)}' for each in changes]
    remedy = f'by formula it fits with {changes[0].what}'
  else:
    remedy = 'no single change makes it fit: choose a larger topology'
  return DoesNotFitError(
    f'the step needs {_gib(needed)} of a chip of {topology.name}, which has '
    f'{_gib(limit)} for programs, says {source}; {remedy}',
    '\n'.join(lines),
  )


@dataclasses.dataclass(frozen=True)
class Change:
  """Something to do about a program that does not fit.

  Attributes:
    what: overrides of the command, or another topology.
    held: by a chip, predicted.
  """

  what: str
  held: memory.Memory


def remedies(
  config: Mapping[str, Any],
  topology: Topology,
  *,
  scale: float = 1.0,
  count: int = 3,
) -> list[Change]:
  """Changes that would make a program fit, the mildest first.

  Args:
    config: the recipe that does not fit.
    topology: on which it does not.
    scale: of the activations and gradients: what the compiler needs of what
      the formula says.
    count: at most so many.
  """
  found: dict[tuple[str, ...], Change] = {}
  for change, changed, where in _candidates(config, topology):
    if tuple(change) in found:
      continue
    try:
      mesh = where.abstract_mesh(**changed['mesh'])
      program = recipe.program(changed, mesh)
    except ValueError:
      continue  # this layout is none of this model's
    held = memory.of_program(program, changed)
    held = dataclasses.replace(
      held,
      activations=held.activations * scale,
      gradients=held.gradients * scale,
    )
    if held.total <= topology.device.hbm_gib * memory.GIB:
      found[tuple(change)] = Change(recipe.as_flags(change, config), held)
      if len(found) == count:
        break
  return list(found.values())


def _candidates(config, topology) -> Iterator[tuple[dict, dict, Topology]]:
  """(change, the changed config, the changed topology), the mildest first."""
  replica, fsdp, tensor, _ = mesh_lib.shape_of(
    topology.devices, **config['mesh']
  )
  accumulate = config['step']['accumulate']
  clips = config['data']['batch_size']
  rows = clips // (replica * fsdp)
  times = [2**i for i in range(1, 12)]
  # In this order: micro-batches change no number of the run and cost little;
  # recomputing costs a third of the products; other layouts cost time on links;
  # a smaller batch is another run; more chips cost money.
  changes = [
    {'step.accumulate': accumulate * factor}
    for factor in times
    if rows % (accumulate * factor) == 0
  ]
  if config['model'].get('remat') not in (None, 'full'):
    changes.append({'model.remat': 'full'})
  changes += [
    {'mesh.replica': replica // factor, 'mesh.fsdp': fsdp * factor}
    for factor in times
    if replica % factor == 0
  ]
  changes += [
    {
      'mesh.replica': 1,
      'mesh.fsdp': replica * fsdp // factor,
      'mesh.tensor': tensor * factor,
    }
    for factor in times
    if replica * fsdp % factor == 0
  ]
  changes += [
    {'data.batch_size': clips // factor}
    for factor in times
    if rows % factor == 0
  ]
  for change in changes:
    yield change, with_changes(config, change), topology
  # Twice as many chips each time, nearest to a cube, which has the most links.
  shape = sorted(topology.shape)
  for _ in range(10):
    shape = sorted([2 * shape[0], *shape[1:]])
    if tuple(shape) not in rentable(topology.generation):
      continue
    larger = dataclasses.replace(topology, shape=tuple(shape))
    mesh = {**config['mesh'], 'replica': topology.slices, 'fsdp': -1}
    yield {'topology': larger.name}, {**config, 'mesh': mesh}, larger


def _gib(count: float) -> str:
  return f'{count / memory.GIB:.2f} GiB'
