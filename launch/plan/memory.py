"""Bytes of a chip's memory, by formula: what can be known without a compiler.

The state and the gradients are counted as they are sharded; activations are
those that the backward pass reads, found by tracing the objective's loss, as
if they were split over `tensor` and `sequence` as well as over rows.
Temporaries of one block and what is gathered for it are not counted: the
compiler needs more.
"""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import jax
from jax.sharding import AbstractDevice, AbstractMesh, AxisType

from train import mesh as mesh_lib
from train.program import Program
from train.step import split

GIB = 2**30
# Clips of the traced batch: no other dimension is a multiple of this prime.
_CLIPS = 10007
# Models choose implementations by platform: the TPU's are traced, wherever this
# runs.
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
  # What is frozen gets no gradient.
  trained, _ = split(program.state.params, program.is_frozen)
  saved = saved_per_clip(program) if saved is None else saved
  return Memory(
    parameters=on_chip(program.state.params),
    optimizer=on_chip(program.state.opt_state),
    average=on_chip(program.state.ema),
    # Of a micro-batch, and their sum.
    gradients=on_chip(trained) * (1 if accumulate == 1 else 2),
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
  # Of one device: what is saved is counted whole, and divided afterwards.
  one = AbstractMesh(
    *((1,) * len(axes), axes, (AxisType.Auto,) * len(axes)),
    abstract_device=_TPU,
  )
  with jax.sharding.use_abstract_mesh(one):
    jaxpr = jax.make_jaxpr(residuals)(program.state.params, batch).jaxpr
  # Parameters are counted already.
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
