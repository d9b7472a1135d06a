"""Slices of TPU pods, by name: 'v5p:8x8x8'. No chip need be there."""

import dataclasses
import math
import re

import numpy as np
from jax.sharding import AbstractMesh, Mesh

from train import mesh as mesh_lib
from train.chips import CHIPS, Chip, rentable


@dataclasses.dataclass(frozen=True)
class Topology:
  """A slice of one generation, or several that are alike.

  Attributes:
    generation: a key of CHIPS.
    shape: chips of a slice along each axis of the network.
    slices: how many; between them is the network of the data centre (DCN).
  """

  generation: str
  shape: tuple[int, ...]
  slices: int = 1

  @property
  def name(self) -> str:
    """As it is given: 'v5p:8x8x8', or '2xv5p:8x8x8'."""
    times = f'{self.slices}x' if self.slices > 1 else ''
    return f'{times}{self.generation}:{"x".join(map(str, self.shape))}'

  @property
  def chip(self) -> Chip:
    """What is known of one chip."""
    return CHIPS[self.generation]

  @property
  def chips(self) -> int:
    """How many there are."""
    return self.slices * math.prod(self.shape)

  @property
  def devices(self) -> int:
    """Those of JAX, over which a mesh is: each is `device`."""
    return self.chips * self.chip.devices

  @property
  def device(self) -> Chip:
    """What one of JAX's devices has of its chip: all, or an equal share.

    Where both of a chip receive the same, it may come over the links once; here
    each receives its own.
    """
    if self.chip.devices == 1:
      return self.chip
    shared = ('tflops', 'hbm_gib', 'hbm_gb_per_s', 'pcie_gb_per_s')
    shared += ('ici_gb_per_s', 'dcn_gb_per_s')
    return dataclasses.replace(
      self.chip,
      **{name: getattr(self.chip, name) / self.chip.devices for name in shared},
    )

  @property
  def hosts(self) -> int:
    """Machines that feed the chips."""
    chips = math.prod(self.shape)
    return self.slices * max(1, chips // self.chip.chips_per_host)

  @property
  def rings(self) -> tuple[bool, ...]:
    """Of each axis of the network, whether its ends are joined."""
    multiples = [size % self.chip.wraps_at == 0 for size in self.shape]
    if self.chip.cubes and not all(multiples):
      return (False,) * len(self.shape)
    return tuple(multiples)

  def directions(self, coordinates: np.ndarray) -> int:
    """Links over which a chip of a group can receive at once.

    An axis that is a ring, and lies in the group as a whole, counts twice. Any
    other along which the group extends counts once: its ends have one
    neighbour. A part of a ring is such a line, and so is every second chip of
    a ring. That groups which lie between each other's chips share links is not
    in it, nor is the other way that rings go round in a twisted torus, as which
    a 4x4x8 or 4x8x8 can be rented.

    Args:
      coordinates: [chips, axes] of the group in the network of a slice. Chips
        of several slices that have one place count once: nothing but the
        network between slices joins them. So do the devices of one chip, unless
        they are all: then it is what joins them, in links.
    """
    found = 0
    for places, size, ring in zip(
      np.asarray(coordinates).T, self.shape, self.rings
    ):
      extent = len(set(places.tolist()))
      if extent > 1:
        found += 2 if ring and extent == size else 1
    return found or self.chip.between_devices * self.chip.devices or 1

  def links(self, mesh: Mesh) -> dict[str, int]:
    """Axis of a mesh of these devices -> `directions` of a group along it."""
    found = {}
    for number, axis in enumerate(mesh.axis_names):
      first = np.moveaxis(mesh.devices, number, -1).reshape(
        -1, mesh.devices.shape[number]
      )[0]
      found[axis] = self.directions(np.array([each.coords for each in first]))
    return found

  def abstract_mesh(self, **sizes: int) -> AbstractMesh:
    """A mesh over as many devices, for shapes only.

    Args:
      **sizes: of its axes, see `train.mesh.make`.

    Raises:
      ValueError: no mesh of these devices.
    """
    mesh = mesh_lib.make_abstract(self.devices, **sizes)
    replica = mesh.shape['replica']
    if replica % self.slices:
      raise ValueError(
        f'config.mesh.replica={replica} must be a multiple of the '
        f'{self.slices} slices of {self.name}: between them only gradients '
        'are sent'
      )
    return mesh


def parse(name: str) -> Topology:
  """The slice or slices of that name.

  Raises:
    ValueError: no such generation, a shape that it is not rented in, or
      several slices of one whose network between them is not known.
  """
  times, generation, shape = re.fullmatch(
    r'(?:([1-9]\d*)x)?([^:]*):?(.*)', name
  ).groups()
  slices = int(times or 1)
  tpus = [key for key, chip in CHIPS.items() if chip.torus_axes]
  if generation not in tpus:
    raise ValueError(
      f'--topology={name!r}: no chip {generation!r}; expected one of '
      f'{", ".join(tpus)}, as in v5p:8x8x8'
    )
  axes = CHIPS[generation].torus_axes
  if not re.fullmatch(r'[1-9]\d*(x[1-9]\d*)*', shape) or (
    shape.count('x') != axes - 1
  ):
    raise ValueError(
      f'--topology={name!r}: expected {generation}:{"x".join("4" * axes)}, '
      f'{axes} numbers of chips, one for each axis of its network'
    )
  if slices > 1 and not CHIPS[generation].dcn_gb_per_s:
    raise ValueError(
      f'--topology={name!r}: the bandwidth between slices of {generation} is '
      'not known; add dcn_gb_per_s to its row in train/chips.py'
    )
  found = Topology(generation, tuple(map(int, shape.split('x'))), slices)
  if found.shape not in rentable(generation):
    raise ValueError(_no_shape(found))
  return found


def _no_shape(given: Topology) -> str:
  """What is wrong with it, what there is, and the nearest of that."""
  chip = given.chip
  known = ', '.join('x'.join(map(str, shape)) for shape in chip.shapes)
  if chip.cubes:
    most = chip.cubes * chip.wraps_at**chip.torus_axes
    known += (
      f', or AxBxC with A <= B <= C, multiples of {chip.wraps_at}, of at most '
      f'{most} chips'
    )

  def distance(shape):
    # Of as many chips, that which is most like a cube.
    ratio = math.prod(shape) / math.prod(given.shape)
    return abs(math.log(ratio)), max(shape)

  nearest = dataclasses.replace(
    given, shape=min(rentable(given.generation), key=distance)
  )
  return (
    f'--topology={given.name!r}: {given.generation} cannot be rented in that '
    f'shape, expected one of {known}; take {nearest.name}, the nearest'
  )
