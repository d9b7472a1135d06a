"""Makes a plan: of shapes, then of the compiled program if there can be one."""

from collections.abc import Mapping
from typing import Any

from launch import recipe
from launch.plan import compiled, figures, findings, memory
from launch.plan import topology as topology_lib
from launch.plan.topology import Topology
from train import mesh as mesh_lib


class DoesNotFitError(ValueError):
  """A step needs more memory than a chip has; the message says what would."""


def plan(
  config: Mapping[str, Any],
  topology: Topology,
  *,
  shapes_only: bool = False,
  assumed_mfu: float = 0.4,
  executable: str = '',
) -> dict[str, Any]:
  """The figures of a recipe on a slice.

  Args:
    config: plain values of a pretraining recipe.
    topology: where it would run.
    shapes_only: compile nothing.
    assumed_mfu: from which the time of a plan that compiles nothing is made.
    executable: a run's folder that the compiled step is also kept in.

  Raises:
    ValueError: the recipe cannot work there.
    DoesNotFitError: it needs more memory than there is.
  """
  mesh = topology.abstract_mesh(**config['mesh'])
  found = figures.of_shapes(recipe.program(config, mesh), config, topology)
  limit = topology.chip.hbm_gib * memory.GIB
  held = memory.Memory(
    **{k: v for k, v in found['bytes_by_formula'].items() if k != 'total'}
  )
  if held.total > limit:
    raise DoesNotFitError(_refusal(config, topology, held, limit))
  reason = ''
  if shapes_only:
    reason = '--shapes_only'
  elif not topology_lib.has_compiler():
    reason = 'libtpu is not installed: `pip install --group tpu`'
  if reason:
    seconds = figures.step_seconds(found, assumed_mfu, topology.chip.tflops)
    found['reduced'] = reason
    found['estimates'] = {f'MFU {assumed_mfu:g} assumed': {'step_sec': seconds}}
  else:
    found |= _compile(config, topology, held, executable)
  for each in found['estimates'].values():
    each |= figures.of_time(found, each['step_sec'], topology.chip.tflops)
  return found


def _compile(config, topology, held, executable):
  mesh = mesh_lib.make(**config['mesh'], devices=topology.devices())
  program = recipe.program(config, mesh)
  try:
    made = compiled.compile_step(program, topology, executable)
  except compiled.OutOfMemoryError as error:
    raise DoesNotFitError(
      _refusal(config, topology, held, error.limit, error)
    ) from error
  return findings.examine(made, program, topology)


def _refusal(config, topology, held, limit, error=None) -> str:
  """What, how much, what is largest, and what would help."""
  needed = error.needed if error else held.total
  source = 'the compiler' if error else 'the formula'
  lines = [
    f'the step needs {_gib(needed)} of a chip of {topology.name}, which has '
    f'{_gib(limit)} for programs, says {source}',
    'by formula: '
    + ', '.join(
      f'{name} {_gib(value)}' for name, value in vars(held).items() if value
    ),
  ]
  scale = 1.0
  if error:
    if error.largest:
      lines.append('largest buffers, by the compiler:')
      lines += [f'  {line}' for line in error.largest[:5]]
    fixed = held.total - held.activations - held.gradients
    scale = max(1.0, (needed - fixed) / (held.total - fixed))
  changes = memory.remedies(config, topology, scale=scale)
  if changes:
    lines.append('each of these would make it fit, predicted by formula:')
    lines += [
      f'  {change.what}: {_gib(change.memory.total)}' for change in changes
    ]
  else:
    lines.append('no single change makes it fit: choose a larger topology')
  return '\n'.join(lines)


def _gib(count: float) -> str:
  return f'{count / memory.GIB:.2f} GiB'
