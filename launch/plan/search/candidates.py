"""Layouts, remat policies and micro-batches that a recipe could have.

What cannot fit is discarded by formula, the rest is put in order by a rough
formula of its time.
"""

import dataclasses
import itertools
from collections.abc import Iterator, Mapping
from typing import Any

import jax

from configs.common import with_changes
from launch import recipe
from launch.plan import compiler, hlo, memory
from launch.plan.memory import Memory
from launch.plan.topology import Topology
from train import mesh as mesh_lib
from train.program import Program

# Of the peak, what matrix products reach in programs that were compiled; of
# collectives, what compute waits for. Fitted by eye to twelve layouts of j on
# v5p:8x8x8 (docs/pods_attempts.md); they order candidates, and no more.
_PEAK_SHARE = 0.8
_TENSOR_EXPOSED, _REPLICA_EXPOSED = 0.45, 0.5
# Kernels are collected while something is computed: of little the compiler
# hides most, of as much as there is to compute half; without replicas, where a
# group is the whole slice, next to nothing.
_FSDP_EXPOSED, _WHOLE_SLICE_EXPOSED = (0.2, 0.45), 0.8
# How often the float32 parameters that a chip holds are read or written: with
# moments, gradients and copies. What replicas alone take longer than shards
# says 12 to 18, of B on v5e:4x4, L on v4:4x4x4, H and G on v5p:4x4x4.
_UPDATE_PASSES = 15
# Of the memory, what the formula may fill: it counts no temporaries.
_HBM_SHARE = 0.75
# 'none' keeps collected kernels too and was slower; 'offload' is a last resort
# (docs/pods_attempts.md).
_REMATS = ('full', 'named')
# Ours: of j at 2048 clips, 8 already came behind 4 (docs/pods_attempts.md).
_MOST_TENSOR = 8
# Rows of a shard: of fewer the TPU's compiler makes sums of padded arrays.
_ROWS = 16


@dataclasses.dataclass(frozen=True)
class Candidate:
  """One way to run a recipe.

  Attributes:
    changes: overrides of the config: 'mesh.fsdp' -> 64.
    config: the recipe with them.
    memory: by formula.
    seconds: of a step, by a rough formula.
  """

  changes: Mapping[str, Any]
  config: Mapping[str, Any]
  memory: Memory
  seconds: float

  def __str__(self) -> str:
    return recipe.as_flags(self.changes, self.config)


def candidates(
  config: Mapping[str, Any], topology: Topology
) -> tuple[list[Candidate], int]:
  """Those that fit by formula, the most promising first, and how many do not.

  Args:
    config: the recipe.
    topology: where.
  """
  fitting, discarded = [], 0
  saved: dict[str, float] = {}
  devices = compiler.devices(topology) if compiler.is_installed() else ()
  sequence = mesh_lib.shape_of(topology.devices, **config['mesh'])[-1]
  for layout in _layouts(topology.devices // sequence, topology.slices):
    changed = with_changes(config, layout)
    mesh = topology.abstract_mesh(**changed['mesh'])
    try:
      program = recipe.program(changed, mesh)
    except ValueError:
      continue  # heads or rows that this mesh does not divide
    if _rows(program) < _ROWS:
      continue
    links = _links(topology, changed['mesh'], devices)
    for options in _options(config):
      changes = layout | options
      changed = with_changes(config, changes)
      try:
        mesh_lib.check_batch(
          mesh,
          batch_size=changed['data']['batch_size'],
          accumulate=changed['step']['accumulate'],
        )
      except ValueError:
        continue
      remat = changed['model'].get('remat', '')
      if remat not in saved:
        saved[remat] = memory.saved_per_clip(recipe.program(changed, mesh))
      held = memory.of_program(program, changed, saved[remat])
      if held.total > _HBM_SHARE * topology.device.hbm_gib * memory.GIB:
        discarded += 1
        continue
      # Where all is recomputed, a block's input is all that is saved of it.
      block_inputs = saved.get('full', saved[remat] / 4)
      seconds = rough_seconds(program, changed, topology, block_inputs, links)
      fitting.append(Candidate(changes, changed, held, seconds))
  return sorted(fitting, key=lambda each: each.seconds), discarded


def _layouts(chips: int, slices: int) -> Iterator[dict[str, int]]:
  powers = [2**i for i in range(chips.bit_length())]
  replicas = [slices * power for power in powers]
  for replica, tensor in itertools.product(replicas, powers):
    if chips % (replica * tensor) == 0 and tensor <= _MOST_TENSOR:
      fsdp = chips // replica // tensor
      yield {'mesh.replica': replica, 'mesh.fsdp': fsdp, 'mesh.tensor': tensor}


def _options(config) -> Iterator[dict[str, Any]]:
  remats = _REMATS if 'remat' in config['model'] else (None,)
  for remat, accumulate in itertools.product(remats, (1, 2, 4)):
    changes = {'step.accumulate': accumulate}
    yield changes | ({'model.remat': remat} if remat else {})


def _rows(program: Program) -> int:
  """Of the smallest shard along FSDP's axis."""
  found = [1 << 30]
  for leaf in jax.tree.leaves(program.state.params):
    for name, size in zip(
      leaf.sharding.spec, leaf.sharding.shard_shape(leaf.shape)
    ):
      if name == 'fsdp':
        found.append(size)
  return min(found)


def _links(topology, mesh, devices) -> dict[str, float]:
  """Axis -> directions that a chip receives from over it.

  Without the compiler nobody says where the chips are: a ring is assumed.
  """
  if not devices:
    return dict.fromkeys(mesh_lib.AXES, 2.0)
  return topology.links(mesh_lib.make(**mesh, devices=devices))


def rough_seconds(
  program: Program,
  config: Mapping[str, Any],
  topology: Topology,
  block_inputs: float,
  links: Mapping[str, float],
) -> float:
  """Seconds of a step, to put candidates in order.

  Products at a share of the peak, a third more where all is recomputed; FSDP
  collects each kernel twice and scatters its gradient once in every
  micro-batch, tensor shards reduce two activations of a block, and twice as
  many in the backward pass, replicas their gradients; a share of that is not
  hidden. What a chip holds of the state is updated. Slices reduce their
  gradients when all are there.

  Args:
    program: on a mesh, which may be abstract.
    config: the recipe that it is of.
    topology: where.
    block_inputs: bytes of the inputs of all blocks, of one clip.
    links: axis of the mesh -> directions that a chip receives from over it.
  """
  chip, shape = topology.device, program.mesh.shape
  compute = sum(program.flops().values()) / (
    topology.devices * chip.tflops * 1e12 * _PEAK_SHARE
  )
  if config['model'].get('remat') == 'full':
    # Forward twice: a forward pass is a third of a step.
    compute *= 4 / 3
  held = memory.on_chip(program.state.params)
  accumulate = config['step']['accumulate']

  def seconds(kind, axis, payload, group=0):
    return hlo.seconds(
      kind,
      axis,
      group=group or shape[axis],
      payload=payload,
      links=links.get(axis, 1),
      chip=chip,
    )

  shard = held / 2  # of kernels and of gradients, in bfloat16
  kernels = shard * shape['fsdp']
  collected = accumulate * (
    2 * seconds('all-gather', 'fsdp', kernels)
    + seconds('reduce-scatter', 'fsdp', kernels)
  )
  least, most = _FSDP_EXPOSED
  share = max(least, most * min(1.0, collected / compute))
  if shape['replica'] == 1:
    share = _WHOLE_SLICE_EXPOSED
  waited = share * collected
  rows = program.batch['video'].shape[0] / mesh_lib.num_data_shards(
    program.mesh
  )
  # Two sums of activations in a block, and four in its backward pass.
  reduced = 6 * rows * block_inputs
  waited += _TENSOR_EXPOSED * seconds('all-reduce', 'tensor', reduced)
  waited += _REPLICA_EXPOSED * seconds('all-reduce', 'replica', shard)
  # Each micro-batch but the first adds its gradients to the sum.
  moved = held * (_UPDATE_PASSES + 3 * (accumulate - 1))
  compute += moved / (chip.hbm_gb_per_s * 1e9)
  if topology.slices > 1:
    compute += seconds('all-reduce', hlo.DCN, shard, topology.slices)
  return compute + waited
