"""Slices of TPU pods, by name: 'v5p:8x8x8'. No chip need be there."""

import contextlib
import dataclasses
import importlib.util
import math
import os
import re
import sys
import tempfile
from collections.abc import Iterator, Sequence

import jax
import numpy as np

from train.chips import CHIPS, Chip


@dataclasses.dataclass(frozen=True)
class Topology:
  """A slice of one generation.

  Attributes:
    generation: a key of CHIPS.
    shape: chips along each axis of the network.
  """

  generation: str
  shape: tuple[int, ...]

  @property
  def name(self) -> str:
    """As it is given: 'v5p:8x8x8'."""
    return f'{self.generation}:{"x".join(map(str, self.shape))}'

  @property
  def chip(self) -> Chip:
    """What is known of one chip."""
    return CHIPS[self.generation]

  @property
  def chips(self) -> int:
    """How many there are."""
    return math.prod(self.shape)

  @property
  def hosts(self) -> int:
    """Machines that feed the chips."""
    return max(1, self.chips // self.chip.chips_per_host)

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
    try:
      with stderr_lines():  # of what it found out about this machine
        description = topologies.get_topology_desc(
          self.name, 'tpu', **self.chip.topology_options
        )
    except jax.errors.JaxRuntimeError as error:
      raise ValueError(
        f'--topology={self.name} is no slice that the compiler knows: {error}'
      ) from error
    return description.devices


def parse(name: str) -> Topology:
  """The slice of that name.

  Raises:
    ValueError: no such generation, or not as many axes as it has.
  """
  generation, _, shape = name.partition(':')
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
  return Topology(generation, tuple(map(int, shape.split('x'))))


def has_compiler() -> bool:
  """Whether libtpu, which has the TPU compiler, is installed."""
  return importlib.util.find_spec('libtpu') is not None


def directions(chip: Chip, coordinates: np.ndarray) -> float:
  """Links over which a chip of a group can receive at once.

  An axis along which the group spans a whole ring counts twice, one on which
  it is a line, whose ends have one neighbour, once.

  Args:
    chip: of the group.
    coordinates: [chips, axes] in the network.
  """
  links = 0
  for places in np.asarray(coordinates).T:
    extent = len(set(places.tolist()))
    if extent > 1:
      links += 1 + (extent % chip.wraps_at == 0)
  return max(links, 1)


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
