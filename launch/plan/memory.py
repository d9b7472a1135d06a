"""Bytes of a chip's memory, by formula: what can be known without a compiler.

The state and the gradients are counted as they are sharded; activations are
those that the backward pass reads, found by tracing the objective's loss, as
if they were split over `tensor` and `sequence` as well as over rows.
Temporaries of one block and what is gathered for it are not counted: the
compiler needs more.
"""

import dataclasses
import math
from collections.abc import Iterator, Mapping
from typing import Any

import jax
from jax.sharding import AbstractDevice, AbstractMesh, AxisType

from configs.common import with_changes
from launch import recipe
from launch.plan.topology import Topology, rentable
from train import mesh as mesh_lib
from train.program import Program

GIB = 2**30
# Clips of the traced batch: no other dimension is a multiple of this prime.
_CLIPS = 10007
_TPU = AbstractDevice(device_kind='TPU', num_cores=1, platform='tpu')


@dataclasses.dataclass(frozen=True)
class Memory:
  """Bytes of one chip, by what they hold."""

  parameters: float
  optimizer: float
  average: float
  gradients: float
  batch: float
  activations: float

  @property
  def total(self) -> float:
    """Of all."""
    return sum(dataclasses.asdict(self).values())


def of_program(
  program: Program, config: Mapping[str, Any], saved: float | None = None
) -> Memory:
  """What a step of the program holds at once.

  Args:
    program: on a mesh, which may be abstract.
    config: the recipe that it is of.
    saved: `saved_per_clip` of the program, if it is known.
  """
  accumulate = config['step']['accumulate']
  mesh, video = program.mesh, program.batch['video']
  rows = video.shape[0] / mesh_lib.num_data_shards(mesh) / accumulate
  parameters = on_chip(program.state.params)
  saved = saved_per_clip(program) if saved is None else saved
  return Memory(
    parameters=parameters,
    optimizer=on_chip(program.state.opt_state),
    average=on_chip(program.state.ema),
    # Of a micro-batch, and their sum.
    gradients=parameters * (1 if accumulate == 1 else 2),
    batch=on_chip(program.batch),
    activations=rows * saved / mesh.shape['tensor'] / mesh.shape['sequence'],
  )


def size(tree: Any) -> float:
  """Bytes of all arrays of a tree, whole."""
  return sum(
    math.prod(leaf.shape) * leaf.dtype.itemsize
    for leaf in jax.tree.leaves(tree)
  )


def on_chip(tree: Any) -> float:
  """Bytes of one chip's shards of all arrays of a tree."""
  return sum(
    math.prod(leaf.sharding.shard_shape(leaf.shape)) * leaf.dtype.itemsize
    for leaf in jax.tree.leaves(tree)
  )


def offloaded(program: Program, config: Mapping[str, Any]) -> float:
  """Bytes of its host's memory that a chip keeps activations in.

  Args:
    program: on a mesh, which may be abstract.
    config: the recipe that it is of.
  """
  mesh, video = program.mesh, program.batch['video']
  rows = video.shape[0] / mesh_lib.num_data_shards(mesh)
  rows /= config['step']['accumulate']
  saved = saved_per_clip(program, jax.memory.Space.Host)
  return rows * saved / mesh.shape['tensor'] / mesh.shape['sequence']


def saved_per_clip(
  program: Program, space: jax.memory.Space = jax.memory.Space.Device
) -> float:
  """Bytes that the backward pass of a TPU's step reads, of one clip.

  What depends on the batch among the residuals of the loss; the rest are
  parameters.

  Args:
    program: on a mesh, which may be abstract.
    space: in whose memory they are: the chip's, or its host's.
  """

  def residuals(params, batch):
    def loss(params):
      return program.objective.loss(params, batch, jax.random.key(0), ema=ema)

    ema = None if program.state.ema is None else params
    return jax.vjp(loss, params, has_aux=True)[1]

  batch = {
    key: jax.ShapeDtypeStruct((_CLIPS, *value.shape[1:]), value.dtype)
    for key, value in program.batch.items()
  }
  batch['row'] = jax.ShapeDtypeStruct((_CLIPS,), jax.numpy.uint32)
  axes = mesh_lib.AXES
  one = AbstractMesh(
    *((1,) * len(axes), axes, (AxisType.Auto,) * len(axes)),
    abstract_device=_TPU,
  )
  with jax.sharding.use_abstract_mesh(one):
    jaxpr = jax.make_jaxpr(residuals)(program.state.params, batch).jaxpr
  given = set(map(id, jaxpr.invars))
  saved = {
    id(out): out.aval
    for out in jaxpr.outvars
    if id(out) not in given and hasattr(out.aval, 'shape')
  }
  return sum(
    math.prod(aval.shape) * aval.dtype.itemsize / _CLIPS
    for aval in saved.values()
    if aval.memory_space == space
    and any(length % _CLIPS == 0 for length in aval.shape if length)
  )


@dataclasses.dataclass(frozen=True)
class Change:
  """Something to do about a program that does not fit.

  Attributes:
    what: overrides of the command, or another topology.
    memory: predicted.
  """

  what: str
  memory: Memory


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
    memory = of_program(program, changed)
    memory = dataclasses.replace(
      memory,
      activations=memory.activations * scale,
      gradients=memory.gradients * scale,
    )
    if memory.total <= topology.chip.hbm_gib * GIB:
      found[tuple(change)] = Change(as_flags(change, config), memory)
      if len(found) == count:
        break
  return list(found.values())


def _candidates(config, topology) -> Iterator[tuple[dict, dict, Topology]]:
  """(change, the changed config, the changed topology), the mildest first."""
  replica, fsdp, tensor, _ = mesh_lib.shape_of(topology.chips, **config['mesh'])
  accumulate = config['step']['accumulate']
  clips = config['data']['batch_size']
  rows = clips // (replica * fsdp)
  times = [2**i for i in range(1, 12)]
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
  shape = sorted(topology.shape)
  for _ in range(10):
    shape = sorted([2 * shape[0], *shape[1:]])
    if tuple(shape) not in rentable(topology.generation):
      continue
    larger = dataclasses.replace(topology, shape=tuple(shape))
    mesh = {**config['mesh'], 'replica': topology.slices, 'fsdp': -1}
    yield {'topology': larger.name}, {**config, 'mesh': mesh}, larger


def as_flags(change: Mapping[str, Any], config: Mapping[str, Any]) -> str:
  """Overrides as they are given to `launch.plan`.

  Args:
    change: 'section.name' -> value, or 'topology' -> its name.
    config: the recipe; readouts have their model from another one.
  """
  flags = {'model': 'backbone' if 'tasks' in config else 'config'}
  return ' '.join(
    f'--{flags.get(key.split(".")[0], "config")}.{key}={value}'
    if '.' in key
    else f'--{key}={value}'
    for key, value in change.items()
  )
