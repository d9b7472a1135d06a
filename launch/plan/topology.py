"""Slices of TPU pods, by name: 'v5p:8x8x8'. No chip need be there."""

import contextlib
import dataclasses
import functools
import importlib.util
import itertools
import math
import os
import re
import sys
import tempfile
from collections.abc import Iterator, Sequence

import jax
import numpy as np
from jax.sharding import AbstractMesh, Mesh

from train import heap
from train import mesh as mesh_lib
from train.chips import CHIPS, Chip


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
    return f'{times}{self._slice}'

  @property
  def _slice(self) -> str:
    return f'{self.generation}:{"x".join(map(str, self.shape))}'

  @property
  def chip(self) -> Chip:
    """What is known of one chip."""
    return CHIPS[self.generation]

  @property
  def chips(self) -> int:
    """How many there are."""
    return self.slices * math.prod(self.shape)

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

    Each axis along which the group extends is one: it is a line, whose ends
    have one neighbour. An axis that is a ring and lies in the group as a whole
    counts twice; a part of a ring is a line, and so is every second chip of
    one, whose links are shared with the group in between.

    Groups are taken to be boxes, and networks not to be twisted: what a 4x4x8
    or 4x8x8 gains where it is rented as a twisted torus does not count.

    Args:
      coordinates: [chips, axes] of the group in the network of a slice. Chips
        of several slices that have one place count once: nothing but the
        network between slices joins them.
    """
    found = 0
    for places, size, ring in zip(
      np.asarray(coordinates).T, self.shape, self.rings
    ):
      extent = len(set(places.tolist()))
      if extent > 1:
        found += 2 if ring and extent == size else 1
    return max(found, 1)

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
    mesh = mesh_lib.make_abstract(self.chips, **sizes)
    replica = mesh.shape['replica']
    if replica % self.slices:
      raise ValueError(
        f'config.mesh.replica={replica} must be a multiple of the '
        f'{self.slices} slices of {self.name}: between them only gradients '
        'are sent'
      )
    return mesh

  def devices(self) -> Sequence[jax.Device]:
    """JAX's devices, to compile for; they hold no data.

    Raises:
      ValueError: the compiler knows no such slice.
    """
    from jax.experimental import topologies

    # Without these, libtpu asks a metadata server which is not there.
    os.environ.setdefault('TPU_SKIP_MDS_QUERY', '1')
    os.environ.setdefault('TPU_WORKER_HOSTNAMES', 'localhost')
    # Nor does a process that compiles need the chips for itself.
    os.environ.setdefault('ALLOW_MULTIPLE_LIBTPU_LOAD', '1')
    options = dict(self.chip.topology_options)
    if self.slices > 1:
      options['num_slices'] = self.slices
    try:
      with stderr_lines():  # of what it found out about this machine
        description = topologies.get_topology_desc(
          self._slice, 'tpu', **options
        )
    except jax.errors.JaxRuntimeError as error:
      raise ValueError(
        f'--topology={self.name} is no slice that the compiler knows: {error}'
      ) from error
    return description.devices


def prepare() -> None:
  """Sets up a process that compiles for chips that are not here.

  Chips that are here stay free. To be called before JAX starts its backend.
  """
  jax.config.update('jax_platforms', 'cpu')
  heap.share()


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
  if found.shape not in shapes(generation):
    raise ValueError(_no_shape(found))
  return found


@functools.cache
def shapes(generation: str) -> frozenset[tuple[int, ...]]:
  """Of the slices that can be rented, in chips; axes of cubes ascend."""
  chip = CHIPS[generation]
  cubes = itertools.combinations_with_replacement(
    range(1, chip.cubes + 1), chip.torus_axes
  )
  return frozenset(chip.slices).union(
    tuple(chip.wraps_at * size for size in cube)
    for cube in cubes
    if math.prod(cube) <= chip.cubes
  )


def _no_shape(given: Topology) -> str:
  """What is wrong with it, what there is, and the nearest of that."""
  chip = given.chip
  known = ', '.join('x'.join(map(str, shape)) for shape in chip.slices)
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
    given, shape=min(shapes(given.generation), key=distance)
  )
  return (
    f'--topology={given.name!r}: {given.generation} cannot be rented in that '
    f'shape, expected one of {known}; the nearest is {nearest.name}'
  )


def has_compiler() -> bool:
  """Whether libtpu, which has the TPU compiler, is installed."""
  return importlib.util.find_spec('libtpu') is not None


@contextlib.contextmanager
def stderr_lines() -> Iterator[list[str]]:
  """Inside, what C++ writes to stderr is kept; the lines, afterwards."""
  lines: list[str] = []
  sys.stderr.flush()
  saved = os.dup(2)
  with tempfile.TemporaryFile() as file:
    os.dup2(file.fileno(), 2)
    try:
      yield lines
    finally:
      os.dup2(saved, 2)
      os.close(saved)
      file.seek(0)
      lines += file.read().decode(errors='replace').splitlines()
