"""The figures of a plan, as plain values: what `launch.plan` writes as JSON."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax

from launch.plan import memory
from launch.plan.topology import Topology
from train.program import Program

DAY = 24 * 3600


def of_shapes(
  program: Program, config: Mapping[str, Any], topology: Topology
) -> dict[str, Any]:
  """What shapes alone tell.

  Args:
    program: on a mesh, which may be abstract.
    config: the recipe that it is of.
    topology: where it would run.
  """
  state = program.state
  held = memory.of_program(program, config)
  offloaded = 0.0
  if config['model'].get('remat') == 'offload':
    offloaded = memory.offloaded(program, config)
  flops = program.flops()
  return {
    'topology': topology.name,
    'chips': topology.chips,
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
    'bytes_limit': topology.chip.hbm_gib * memory.GIB,
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
