"""The device mesh: how parameters and batches lie on it.

Axes: `replica` (copies of the parameters, across slices over DCN), `fsdp`
(parameters and batch sharded), `tensor` (heads and hidden widths sharded),
`sequence` (the tokens of each clip sharded, for clips too long for one chip).
`models/sharding.py` names the axes of each parameter; this file maps those
names to mesh axes. Everything that mirrors the parameters inherits.
"""

import contextlib
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jax
import numpy as np
import optax
from jax.experimental import mesh_utils
from jax.sharding import AbstractMesh, AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from models import sharding
from train.step import State, split

AXES = ('replica', 'fsdp', 'tensor', 'sequence')
BATCH_AXES = ('replica', 'fsdp')
_TYPES = (AxisType.Auto,) * len(AXES)
# Logical axis (models/sharding.py) -> mesh axis. Others are not sharded.
RULES = {
  'batch': BATCH_AXES,
  'embed': 'fsdp',
  'heads': 'tensor',
  'mlp': 'tensor',
  'tokens': 'sequence',
}


def make(
  *,
  replica: int = 1,
  fsdp: int = -1,
  tensor: int = 1,
  sequence: int = 1,
  devices: Sequence[jax.Device] | None = None,
) -> Mesh:
  """A mesh over all devices.

  Args:
    replica: copies of the parameters.
    fsdp: shards of parameters and batch.
    tensor: shards of heads and hidden widths.
    sequence: shards of a clip's tokens, each of whole time steps. All of them
      get the whole clip: its bytes are few beside its tokens.
    devices: all of the run's, if None.

  One of the four may be -1: what is left.

  Raises:
    ValueError: the product is not the number of devices, or replicas are not
      whole slices of a pod.
  """
  devices = jax.devices() if devices is None else devices
  shape = shape_of(
    len(devices), replica=replica, fsdp=fsdp, tensor=tensor, sequence=sequence
  )
  # Explicit axes, which JAX is turning to, are not for Linen layers.
  return Mesh(_arranged(shape, devices), AXES, axis_types=_TYPES)


def _arranged(
  shape: tuple[int, ...], devices: Sequence[jax.Device]
) -> np.ndarray:
  """Devices by their place in the network; replicas across slices of a pod.

  `jax.make_mesh` does neither slices nor an axis shorter than the network's.
  """
  slices = len({getattr(device, 'slice_index', 0) for device in devices})
  replica, *within = shape
  if replica % slices:
    raise ValueError(
      f'config.mesh.replica={replica} must be a multiple of the {slices} '
      'slices that the devices are in: between them only gradients are sent'
    )
  if slices == 1:
    # By the network's own order, in which neighbours on an axis are neighbours.
    return mesh_utils.create_device_mesh(
      shape, devices, allow_split_physical_axes=True
    )
  return mesh_utils.create_hybrid_device_mesh(
    (replica // slices, *within),
    (slices, *[1] * len(within)),
    devices,
    allow_split_physical_axes=True,
  )


def make_abstract(
  devices: int,
  *,
  replica: int = 1,
  fsdp: int = -1,
  tensor: int = 1,
  sequence: int = 1,
) -> AbstractMesh:
  """The same over a number of devices that are not there: for shapes only.

  Raises:
    ValueError: the product is not the number of devices.
  """
  shape = shape_of(
    devices, replica=replica, fsdp=fsdp, tensor=tensor, sequence=sequence
  )
  return AbstractMesh(shape, AXES, axis_types=_TYPES)


def shape_of(
  devices: int,
  *,
  replica: int = 1,
  fsdp: int = -1,
  tensor: int = 1,
  sequence: int = 1,
) -> tuple[int, int, int, int]:
  """The sizes of a mesh's axes, -1 replaced by what is left.

  Raises:
    ValueError: the product is not the number of devices.
  """
  shape = [replica, fsdp, tensor, sequence]
  named = ', '.join(f'{name}={size}' for name, size in zip(AXES, shape))
  got = f'mesh {named}'
  if shape.count(-1) > 1 or any(size < 1 and size != -1 for size in shape):
    raise ValueError(f'{got}: sizes are at least 1, and at most one is -1')
  given = abs(math.prod(shape))
  if -1 in shape:
    # 1 where the others alone are too many: the check below says so.
    shape[shape.index(-1)] = max(1, devices // given)
  if math.prod(shape) != devices:
    raise ValueError(
      f'{got} needs a multiple of {given} devices, got {devices}: change '
      'config.mesh'
    )
  return tuple(shape)


def params_shardings(
  mesh: Mesh | AbstractMesh, params: Mapping[str, Any]
) -> Any:
  """A NamedSharding for each leaf of `params` (arrays or their shapes).

  Raises:
    ValueError: a dimension that its mesh axis does not divide.
  """

  def place(path, leaf, axes):
    spec = sharding.spec(axes, RULES)
    for size, name, axis in zip(leaf.shape, axes, spec):
      if axis is not None and size % mesh.shape[axis]:
        raise ValueError(
          f'parameter {jax.tree_util.keystr(path, simple=True, separator="/")} '
          f'{leaf.shape}: axis {name}={size} must be divisible by '
          f'config.mesh.{axis}={mesh.shape[axis]}; choose a divisor'
        )
    return NamedSharding(mesh, spec)

  return jax.tree_util.tree_map_with_path(
    place, params, sharding.logical_axes(params)
  )


def state_shardings(
  mesh: Mesh | AbstractMesh, tx, state: State, is_frozen: Any
) -> State:
  """Shardings of a whole state: moments and averages lie as parameters do.

  Args:
    mesh: where.
    tx: the optimizer that the state is of.
    state: its shapes.
    is_frozen: as for `train.step.split`.
  """
  whole = NamedSharding(mesh, P())
  params = params_shardings(mesh, state.params)
  trained_places, _ = split(params, is_frozen)
  trained, _ = split(state.params, is_frozen)
  opt_state = optax.tree.map_params(
    tx,
    # Factored moments (Adafactor) have other shapes, and are small.
    lambda moment, place, p: place if moment.shape == p.shape else whole,
    state.opt_state,
    trained_places,
    trained,
    transform_non_params=lambda _: whole,
  )
  average = None if state.ema is None else trained_places
  return State(
    step=whole,
    params=params,
    opt_state=opt_state,
    ema=average,
    skipped=whole,
    norms=whole,
  )


def batch_sharding(mesh: Mesh | AbstractMesh) -> NamedSharding:
  """Rows over all data shards, each of them whole."""
  # Chips of one `tensor` or `sequence` group see the same rows.
  return NamedSharding(mesh, P(BATCH_AXES))


def num_data_shards(mesh: Mesh | AbstractMesh) -> int:
  return mesh.shape['replica'] * mesh.shape['fsdp']


def check_batch(
  mesh: Mesh | AbstractMesh, *, batch_size: int, accumulate: int
) -> None:
  """Raises ValueError if rows cannot be shared out evenly."""
  shards = num_data_shards(mesh)
  if batch_size % shards:
    raise ValueError(
      f'data.batch_size={batch_size} must be divisible by the {shards} data '
      'shards (replica x fsdp): choose a multiple, or change config.mesh'
    )
  # Each device cuts its own rows into micro-batches.
  if batch_size % (shards * accumulate):
    raise ValueError(
      f'data.batch_size={batch_size} must be divisible by the {shards} data '
      f'shards x step.accumulate={accumulate}: choose a multiple'
    )


@contextlib.contextmanager
def use(mesh: Mesh) -> Iterator[None]:
  """Inside, what is traced is laid out on the mesh."""
  with jax.set_mesh(mesh), sharding.rules(RULES):
    yield
