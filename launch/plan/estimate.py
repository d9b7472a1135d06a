"""What a recipe would be on a slice: its figures, as plain values.

Of shapes, then of the compiled program, if there can be one; and what a step's
time means for a run.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax

from launch import recipe
from launch.plan import compiler, does_not_fit, hlo, memory
from launch.plan.topology import Topology
from train import mesh as mesh_lib
from train.program import Program

DAY = 24 * 3600


def plan(
  config: Mapping[str, Any],
  topology: Topology,
  *,
  shapes_only: bool = False,
  assumed_mfu: float = 0.4,
  workdir: str = '',
) -> dict[str, Any]:
  """The figures of a recipe on a slice.

  Args:
    config: plain values of a pretraining recipe.
    topology: where it would run.
    shapes_only: compile nothing.
    assumed_mfu: from which the time of a plan that compiles nothing is made.
    workdir: a run's folder that the compiled step is also kept in.

  Raises:
    ValueError: the recipe cannot work there.
    DoesNotFitError: it needs more memory than there is.
  """
  mesh = topology.abstract_mesh(**config['mesh'])
  program = recipe.program(config, mesh)
  held = memory.of_program(program, config)
  found = of_shapes(program, config, topology, held)
  # By formula first: a minute of the compiler is saved where nothing could fit.
  if held.total > found['bytes_limit']:
    raise does_not_fit.error(config, topology, held)
  reason = ''
  if shapes_only:
    reason = '--shapes_only'
  elif not compiler.is_installed():
    reason = compiler.MISSING
  if reason:
    # A guess, and told as one.
    seconds = step_seconds(found, assumed_mfu, topology.chip.tflops)
    found['reduced'] = reason
    found['estimates'] = {f'MFU {assumed_mfu:g} assumed': {'step_sec': seconds}}
  else:
    found |= _compiled(config, topology, held, workdir)
  for each in found['estimates'].values():
    each |= of_time(found, each['step_sec'], topology.chip.tflops)
  return found


def _compiled(config, topology, held, workdir) -> dict[str, Any]:
  mesh = mesh_lib.make(**config['mesh'], devices=compiler.devices(topology))
  program = recipe.program(config, mesh)
  try:
    made = compiler.compile_step(program, topology, workdir)
  except compiler.OutOfMemoryError as error:
    raise does_not_fit.error(config, topology, held, error) from error
  found = hlo.examine(made.text, program, topology)
  return {
    'compile_sec': made.seconds,
    'compiled_bytes': made.bytes,
    **found,
    'warnings': [*made.warnings, *found['warnings']],
  }


def of_shapes(
  program: Program,
  config: Mapping[str, Any],
  topology: Topology,
  held: memory.Memory,
) -> dict[str, Any]:
  """What shapes alone tell.

  Args:
    program: on a mesh, which may be abstract.
    config: the recipe that it is of.
    topology: where it would run.
    held: what a chip holds, by formula.
  """
  state = program.state
  offloaded = 0.0
  if config['model'].get('remat') == 'offload':
    offloaded = memory.offloaded(program, config)
  flops = program.flops()
  return {
    'topology': topology.name,
    'chips': topology.chips,
    'devices': topology.devices,
    # Of TPU7x a program sees half a chip.
    'bytes_of': 'chip' if topology.chip.devices == 1 else 'device',
    'hosts': topology.hosts,
    'mesh': dict(program.mesh.shape),
    'batch_size': config['data']['batch_size'],
    'accumulate': config['step']['accumulate'],
    'frames': config['model']['frames'],
    'steps': config['steps'],
    'optimizer': config['optim']['name'],
    'parameters': sum(leaf.size for leaf in jax.tree.leaves(state.params)),
    'flops_per_step': flops,
    'bytes_by_formula': {
      **dataclasses.asdict(held),
      'total': held.total,
    },
    'bytes_offloaded': offloaded,
    'bytes_limit': topology.device.hbm_gib * memory.GIB,
    'checkpoint_bytes': memory.size(state),
  }


def of_time(found: Mapping[str, Any], step_sec: float, tflops: float):
  """What a step's time means for a run.

  Args:
    found: as `of_shapes` makes it.
    step_sec: seconds of a step.
    tflops: peak of one chip.
  """
  chips = found['chips']
  flops = sum(found['flops_per_step'].values())
  clips = found['batch_size'] / step_sec
  seconds = found['steps'] * step_sec
  return {
    'step_sec': step_sec,
    'mfu': flops / step_sec / (chips * tflops * 1e12),
    'clips_per_sec': clips,
    'frames_per_sec_per_host': clips * found['frames'] / found['hosts'],
    'days': seconds / DAY,
    'chip_hours': seconds * chips / 3600,
  }


def step_seconds(found: Mapping[str, Any], mfu: float, tflops: float) -> float:
  """Of a step at a given share of the peak."""
  flops = sum(found['flops_per_step'].values())
  return flops / (mfu * found['chips'] * tflops * 1e12)
