"""What is known of each generation of chips: one row of one table.

Peaks as the makers publish them (cloud.google.com/tpu/docs, nvidia.com data
sheets); what a program may use of the memory as the TPU compiler says it when
one does not fit; clocks that its cycles are of.
jax-ml.github.io/scaling-book/tpus gives the line to the host of v4 and v6e; v5e
and v5p are taken to be as v4.
Slices as in cloud.google.com/tpu/docs: v5e and v6e list all of theirs; those of
v4 (types-topologies) are A <= B <= C, all at most 4 or all multiples of 4; the
largest job on v5p is of 96 cubes. Rings as in the pages of v5p and of
scaling-book: v4 and v5p have them from a whole cube on, v5e and v6e along 16.
TPU7x (Ironwood, .../tpu/docs/tpu7x): links and network as v5p, whose page gives
the same 1200 GB/s of all links of a chip, and the host's as v6e; the clock is
that at which a core's matrix units, as many as v6e has, give half of the peak.
A new generation is one row.
"""

import dataclasses
import functools
import itertools
import math
from collections.abc import Mapping

import jax

# Collective matmul cuts what FSDP gathers into strips of a few rows each.
_WHOLE_GATHERS = {
  'xla_tpu_enable_windowed_einsum_for_all_gather': False,
  'xla_tpu_enable_windowed_einsum_for_reduce_scatter': False,
}
# A gather is begun before its use, and is no sum of padded shards.
_ASYNC_GATHERS = {
  'xla_enable_async_all_gather': 'true',
  'xla_tpu_prefer_async_allgather_to_allreduce': True,
}
# Collectives run on the sparse cores while the others compute.
_SPARSE_CORES = 'xla_tpu_enable_sparse_core_collective_offload_'
_OFFLOADED = {
  _SPARSE_CORES + 'all_gather': 'true',
  _SPARSE_CORES + '2d_all_gather': 'true',
  _SPARSE_CORES + 'reduce_scatter': 'true',
  _SPARSE_CORES + 'all_reduce': 'true',
  'xla_tpu_enable_sparse_core_reduce_scatter_v2': 'true',
  'xla_tpu_use_tc_device_shape_on_sc': 'true',
  'xla_sc_disable_megacore_partitioning': True,
  **_ASYNC_GATHERS,
}
_FLAT = (
  *((1, 1), (2, 2), (2, 4), (4, 4)),
  *((4, 8), (8, 8), (8, 16), (16, 16)),
)
_BELOW_A_CUBE = ((2, 2, 1), (2, 2, 2), (2, 2, 4), (2, 4, 4))


@dataclasses.dataclass(frozen=True)
class Chip:
  """One generation. Numbers are of one chip; 0 where not known or needed.

  Attributes:
    kinds: `device_kind` of JAX's devices of this generation.
    devices: of JAX that a chip is, each with its share of everything.
    between_devices: bandwidth between those of one chip, in links.
    tflops: peak of dense bfloat16, 1e12 FLOP/s.
    hbm_gib: memory that a program may use.
    hbm_gb_per_s: bandwidth of the memory, 1e9 bytes/s.
    ici_gb_per_s: bandwidth of one link between chips in one direction.
    dcn_gb_per_s: a chip's share of its host's network, to other slices.
    pcie_gb_per_s: to its host's memory, in one direction.
    ghz: clock that the compiler's cycles are of.
    matrix_unit: rows and columns that it multiplies at once.
    torus_axes: dimensions of the network between chips.
    wraps_at: an axis of a multiple of so many chips is a ring, else a line.
    shapes: of the slices that can be rented, in chips, without those of cubes.
    cubes: larger slices are of whole cubes, `wraps_at` chips wide, at most so
      many. Switches between cubes close the rings, so that a slice of less
      than one has none. 0: there are no cubes.
    chips_per_host: of a slice of several hosts.
    topology_options: of `get_topology_desc`, beside the name.
    compiler_options: for the training step.
  """

  kinds: tuple[str, ...]
  tflops: float
  devices: int = 1
  between_devices: int = 0
  hbm_gib: float = 0.0
  hbm_gb_per_s: float = 0.0
  ici_gb_per_s: float = 0.0
  dcn_gb_per_s: float = 0.0
  pcie_gb_per_s: float = 0.0
  ghz: float = 0.0
  matrix_unit: int = 128
  torus_axes: int = 0
  wraps_at: int = 0
  shapes: tuple[tuple[int, ...], ...] = ()
  cubes: int = 0
  chips_per_host: int = 0
  topology_options: Mapping[str, str] = dataclasses.field(default_factory=dict)
  compiler_options: Mapping[str, bool | str] = dataclasses.field(
    default_factory=dict
  )


CHIPS = {
  'v4': Chip(
    kinds=('TPU v4',),
    tflops=275.0,
    hbm_gib=30.75,
    hbm_gb_per_s=1228.0,
    ici_gb_per_s=45.0,
    pcie_gb_per_s=16.0,
    ghz=1.05,
    torus_axes=3,
    wraps_at=4,
    shapes=_BELOW_A_CUBE,
    cubes=64,
    chips_per_host=4,
    # Without it there is a device for each of the two cores of a chip.
    topology_options={'chip_config_name': 'megacore'},
    # j on v4:8x8x8: of 719 ms a step that compute waited, 542 are left.
    compiler_options={**_WHOLE_GATHERS, **_ASYNC_GATHERS},
  ),
  'v5e': Chip(
    kinds=('TPU v5 lite', 'TPU v5e'),
    tflops=197.0,
    hbm_gib=15.75,
    hbm_gb_per_s=819.0,
    ici_gb_per_s=45.0,
    dcn_gb_per_s=3.125,  # 6.4 Tbit/s of 256 chips
    pcie_gb_per_s=16.0,
    ghz=1.5,
    torus_axes=2,
    wraps_at=16,
    shapes=_FLAT,
    chips_per_host=4,
    compiler_options=_WHOLE_GATHERS,
  ),
  'v5p': Chip(
    kinds=('TPU v5', 'TPU v5p'),
    tflops=459.0,
    hbm_gib=95.73,
    hbm_gb_per_s=2765.0,
    ici_gb_per_s=90.0,
    dcn_gb_per_s=6.25,  # 50 Gbit/s
    pcie_gb_per_s=16.0,
    ghz=1.75,
    torus_axes=3,
    wraps_at=4,
    shapes=_BELOW_A_CUBE,
    cubes=96,
    chips_per_host=4,
    # e on v5p:4x4x4: of 65 ms a step that compute waited for collectives, 13
    # are left (docs/pods_attempts.md).
    compiler_options={**_WHOLE_GATHERS, **_OFFLOADED},
  ),
  'v6e': Chip(
    kinds=('TPU v6 lite', 'TPU v6e'),
    tflops=918.0,
    hbm_gib=31.24,
    hbm_gb_per_s=1640.0,
    ici_gb_per_s=90.0,
    dcn_gb_per_s=12.5,  # 25.6 Tbit/s of 256 chips
    pcie_gb_per_s=32.0,
    ghz=1.75,
    matrix_unit=256,
    torus_axes=2,
    wraps_at=16,
    shapes=_FLAT,
    chips_per_host=4,
    compiler_options={**_WHOLE_GATHERS, **_OFFLOADED},
  ),
  'tpu7x': Chip(
    kinds=('TPU7x',),
    tflops=2307.0,
    devices=2,
    between_devices=6,  # its page: of one axis's link
    hbm_gib=189.48,  # 94.74 a device
    hbm_gb_per_s=7380.0,
    ici_gb_per_s=90.0,
    dcn_gb_per_s=12.5,  # 100 Gbit/s
    pcie_gb_per_s=32.0,
    ghz=2.2,
    matrix_unit=256,
    torus_axes=3,
    wraps_at=4,
    shapes=((1, 1, 1), *_BELOW_A_CUBE),
    cubes=144,
    chips_per_host=4,
  ),
  'H100': Chip(kinds=('NVIDIA H100 80GB HBM3',), tflops=989.0),
  'H200': Chip(kinds=('NVIDIA H200',), tflops=989.0),
}


def of_device(device: jax.Device) -> Chip | None:
  """The row of a device's kind; None where there is none."""
  for chip in CHIPS.values():
    if device.device_kind in chip.kinds:
      return chip
  return None


@functools.cache
def rentable(generation: str) -> frozenset[tuple[int, ...]]:
  """Shapes of the slices of a generation that can be rented, in chips."""
  chip = CHIPS[generation]
  cubes = itertools.combinations_with_replacement(
    range(1, chip.cubes + 1), chip.torus_axes
  )
  return frozenset(chip.shapes).union(
    tuple(chip.wraps_at * size for size in cube)
    for cube in cubes
    if math.prod(cube) <= chip.cubes
  )


def compiler_options(
  chip: Chip | None, given: Mapping[str, bool | str] | None = None
) -> dict[str, bool | str]:
  """Of the training step on these chips.

  Args:
    chip: its row; None where there is none.
    given: a recipe's `config.compile.options`, over those of the table. They
      are passed on as they are: a compiler refuses what it does not know, as
      that of CPUs does 'xla_tpu_...'.
  """
  return {**(chip.compiler_options if chip else {}), **(given or {})}


def peak_flops(device: jax.Device) -> float | None:
  """Peak bfloat16 FLOP/s of the device's kind, None where not known."""
  chip = of_device(device)
  return chip and chip.tflops * 1e12 / chip.devices
