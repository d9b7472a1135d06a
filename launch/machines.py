"""Slices of TPUs as they are rented: names, shapes, hosts, kinds of machine.

Which shapes there are is in `train/chips.py`; here is what Google calls them.
Names count TensorCores on some generations and chips on others. A machine of
the TPU API (`tpu_vm`) and one of GKE or Compute Engine (`gke`) may differ: a
v5e or v6e of 8 chips is one host of the first and two of the second.
"""

import dataclasses
import math
import re

from base import names
from train import chips

PLATFORMS = ('tpu_vm', 'gke')
_NAMED = 6144  # chips; up to there Google's names tell shapes apart


@dataclasses.dataclass(frozen=True)
class _Family:
  """What Google calls a generation.

  Attributes:
    prefix: of the names of its slices.
    cores: that the number in a name counts for each chip.
    runtime_version: image of the TPU API's machines; '': not in that API.
    gke_accelerator: label of GKE's nodes.
    machine_type: of GKE and Compute Engine, without the number of chips.
    most_on_a_host: chips of a slice of one host, in the TPU API.
    named: numbers of chips whose name means one of several shapes; None: all.
  """

  prefix: str
  cores: int
  runtime_version: str
  gke_accelerator: str
  machine_type: str
  most_on_a_host: int = 4
  named: tuple[int, ...] | None = None


# cloud.google.com/tpu/docs: v4, v5e, v5p, v6e, tpu7x, runtimes; and GKE's.
_FAMILIES = {
  'v4': _Family(
    *('v4', 2, 'tpu-ubuntu2204-base', 'tpu-v4-podslice', 'ct4p-hightpu'),
    named=(256, 512, 768, 1024, 2048),
  ),
  'v5e': _Family(
    *('v5litepod', 1, 'v2-alpha-tpuv5-lite', 'tpu-v5-lite-podslice'),
    *('ct5lp-hightpu', 8),
  ),
  'v5p': _Family(
    *('v5p', 2, 'v2-alpha-tpuv5', 'tpu-v5p-slice', 'ct5p-hightpu')
  ),
  'v6e': _Family(
    *('v6e', 1, 'v2-alpha-tpuv6e', 'tpu-v6e-slice', 'ct6e-standard', 8)
  ),
  'tpu7x': _Family('tpu7x', 2, '', 'tpu7x', 'tpu7x-standard'),
}
_BY_PREFIX = {
  **{family.prefix: key for key, family in _FAMILIES.items()},
  **{key: key for key in _FAMILIES},
}


@dataclasses.dataclass(frozen=True)
class Slice:
  """One slice.

  Attributes:
    generation: a key of `train.chips.CHIPS`.
    topology: chips along each axis, '4x4x8'.
    chips: how many.
    accelerator_type: Google's name of that many, 'v5p-256'.
    is_named: whether that name means this shape; if not, both must be given.
    runtime_version: image of the TPU API's machines; '': not in that API.
    gke_accelerator: of GKE's nodes, cloud.google.com/gke-tpu-accelerator.
    machine_type: of GKE and Compute Engine.
  """

  generation: str
  topology: str
  chips: int
  accelerator_type: str
  is_named: bool
  runtime_version: str
  gke_accelerator: str
  machine_type: str

  @property
  def name(self) -> str:
    """As `launch.plan` and recipes have it: 'v5p:4x4x8'."""
    return f'{self.generation}:{self.topology}'

  def chips_per_host(self, platform: str) -> int:
    """Chips of one machine, which is one process of JAX.

    Args:
      platform: one of PLATFORMS.
    """
    if names.choose('platform', platform, PLATFORMS) == 'tpu_vm':
      most = _FAMILIES[self.generation].most_on_a_host
      if self.chips <= most:
        return self.chips
    return min(self.chips, chips.CHIPS[self.generation].chips_per_host)

  def hosts(self, platform: str) -> int:
    """Machines of the slice; see `chips_per_host`."""
    return self.chips // self.chips_per_host(platform)


def parse(name: str, option: str = '--type') -> Slice:
  """The slice of a name: 'v5p-256', 'v5p:4x4x8', 'v5p-4x4x8', 'tpu7x-128'.

  Args:
    name: Google's, or a generation and a shape.
    option: by which it was given, for errors.

  Raises:
    ValueError: there is no such slice, or the name means no single one; the
      near ones are named.
  """
  prefix, _, rest = name.replace(':', '-', 1).partition('-')
  if prefix not in _BY_PREFIX:
    raise ValueError(
      f'{option}={name}: no generation of TPUs {prefix!r}, expected one of '
      f'{", ".join(_FAMILIES)}, as in v5p-256 or v5p:4x4x8'
    )
  generation = _BY_PREFIX[prefix]
  if re.fullmatch(r'[1-9]\d*', rest):
    return _made(generation, _shape_of(generation, int(rest), name, option))
  if not re.fullmatch(r'[1-9]\d*(x[1-9]\d*)+', rest):
    example = _made(generation, min(_shapes(generation), key=math.prod))
    raise ValueError(
      f'{option}={name}: expected a name or a shape, as '
      f'{example.accelerator_type} or {example.name}'
    )
  shape = tuple(map(int, rest.split('x')))
  if shape not in chips.rentable(generation):
    near = _near(generation, math.prod(shape))
    raise ValueError(
      f'{option}={name}: {generation} cannot be rented in that shape; near '
      f'it: {", ".join(_made(generation, each).name for each in near)}'
    )
  return _made(generation, shape)


def asked(type_: str, topology: str) -> Slice:
  """The slice of --type or --topology, of which one is given.

  Raises:
    ValueError: both or none are, or there is no such slice.
  """
  if bool(type_) == bool(topology):
    raise ValueError('expected one of --type=v5p-256 and --topology=v5p:4x4x8')
  return parse(type_ or topology, '--type' if type_ else '--topology')


def _made(generation: str, shape: tuple[int, ...]) -> Slice:
  family, count = _FAMILIES[generation], math.prod(shape)
  number = count * family.cores
  on_a_host = min(count, chips.CHIPS[generation].chips_per_host)
  return Slice(
    generation=generation,
    topology='x'.join(map(str, shape)),
    chips=count,
    accelerator_type=f'{family.prefix}-{number}',
    is_named=_named(generation, count) == shape,
    runtime_version=family.runtime_version,
    gke_accelerator=family.gke_accelerator,
    machine_type=f'{family.machine_type}-{on_a_host}t',
  )


def _shapes(generation: str) -> list[tuple[int, ...]]:
  """All of them; of as many chips, that which is most like a cube first."""
  return sorted(
    chips.rentable(generation), key=lambda shape: (sum(shape), shape)
  )


def _named(generation: str, count: int) -> tuple[int, ...] | None:
  """The shape that a name of so many chips means; None if it does not tell."""
  found = [each for each in _shapes(generation) if math.prod(each) == count]
  named = _FAMILIES[generation].named
  tells = count <= _NAMED if named is None else count in named
  return found[0] if len(found) == 1 or (found and tells) else None


def _shape_of(
  generation: str, number: int, name: str, option: str
) -> tuple[int, ...]:
  family = _FAMILIES[generation]
  count, rest = divmod(number, family.cores)
  found = [each for each in _shapes(generation) if math.prod(each) == count]
  shape = _named(generation, count)
  if shape and not rest:
    return shape
  counted = 'chips' if family.cores == 1 else f'cores, {family.cores} a chip'
  if found and not rest:
    several = ', '.join(_made(generation, each).name for each in found[:4])
    raise ValueError(
      f'{option}={name} may be one of {len(found)} shapes: give the shape, '
      f'as {several}'
    )
  near = [_made(generation, each) for each in _near(generation, count)]
  raise ValueError(
    f'{option}={name}: no slice of {generation} has {number} {counted}; near '
    f'it: {", ".join(each.accelerator_type for each in near)}'
  )


def _near(generation: str, count: int) -> list[tuple[int, ...]]:
  """The shapes of the next smaller and the next larger number of chips."""
  shapes = _shapes(generation)
  below = [each for each in shapes if math.prod(each) <= count]
  above = [each for each in shapes if math.prod(each) > count]
  # The first of each number is most like a cube.
  return [
    *sorted(below, key=lambda each: (-math.prod(each), sum(each)))[:1],
    *sorted(above, key=lambda each: (math.prod(each), sum(each)))[:1],
  ]
