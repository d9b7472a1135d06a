"""The ladder: every size on slices of several generations, compiled once.

Layouts are the ones to start from, not the best of a search. FSDP's shards
hold 16 rows or more of every kernel; S and MooG, which fit a chip many times,
are replicated.
"""

import dataclasses
import hashlib
import json
import pathlib
import resource
from typing import Any

MOOG = 'MooG'
ROOT = pathlib.Path(__file__).parent.parent
# What decides a plan, beside the packages. Of launch, not what prints.
_SOURCES = (
  *('models/*.py', 'train/*.py', 'launch/program.py'),
  *(
    f'launch/plan/{name}.py'
    for name in (
      *('collectives', 'compiled', 'figures', 'findings', 'hlo', 'kernels'),
      *('memory', 'planning', 'timeline', 'topology', 'traffic'),
    )
  ),
)
_PACKAGES = ('jax', 'jaxlib', 'libtpu', 'flax', 'optax')


@dataclasses.dataclass(frozen=True)
class Row:
  """One program of the ladder.

  Attributes:
    size: of configs/mae.py, or MOOG.
    topology: slice of a pod.
    replica: copies of the parameters; FSDP takes the chips that are left.
    batch: clips of a step.
  """

  size: str
  topology: str
  replica: int
  batch: int

  @property
  def name(self) -> str:
    """Of the row, and of its file."""
    return f'{self.size}-{self.topology.replace(":", "-")}-{self.batch}'

  @property
  def arguments(self) -> tuple[str, str]:
    """The file of the recipe, and what stands behind its colon."""
    if self.size == MOOG:
      return 'moog', f'data=movi_e,path=MOVI,batch_size={self.batch}'
    return 'mae', f'size={self.size},batch_size={self.batch}'

  def config(self) -> dict[str, Any]:
    """The recipe, as plain values."""
    from configs import mae, moog

    recipe, argument = self.arguments
    made = {'mae': mae, 'moog': moog}[recipe].get_config(argument)
    made.mesh.replica = self.replica
    return made.to_dict()


LADDER = (
  Row('S', 'v5e:2x4', 8, 256),
  Row('S', 'v6e:2x4', 8, 256),
  Row('S', 'v4:2x2x2', 8, 256),
  Row('B', 'v5e:4x4', 4, 512),
  Row('B', 'v6e:4x4', 4, 512),
  Row('B', 'v4:2x2x4', 4, 512),
  Row('L', 'v5e:8x8', 4, 2048),
  Row('L', 'v6e:8x8', 4, 2048),
  Row('L', 'v4:4x4x4', 4, 2048),
  Row('H', 'v5e:8x8', 4, 2048),
  Row('H', 'v6e:8x8', 4, 2048),
  Row('H', 'v5p:4x4x4', 8, 2048),
  Row('G', 'v5p:4x4x4', 8, 2048),
  Row('G', 'v6e:8x8', 4, 2048),
  Row('G', 'v4:4x4x8', 8, 2048),
  Row('e', 'v5p:4x4x4', 4, 4096),
  Row('e', 'v6e:16x16', 16, 4096),
  Row('e', 'v4:8x8x8', 32, 4096),
  Row('j', 'v5p:8x8x8', 8, 4096),
  Row('j', 'v5p:8x8x8', 8, 8192),
  Row('j', 'v4:8x8x8', 8, 4096),
  Row('j', 'v6e:16x16', 4, 4096),
  Row(MOOG, 'v5e:4x4', 16, 128),
  Row(MOOG, 'v6e:4x4', 16, 128),
  Row(MOOG, 'v5p:2x2x4', 16, 128),
)


def key(row: Row) -> str:
  """Hash of what decides a row's plan: recipe, slice, sources, packages."""
  digest = hashlib.sha256()
  decides = [row.config(), row.topology, versions()]
  digest.update(json.dumps(decides, sort_keys=True, default=str).encode())
  for pattern in _SOURCES:
    for file in sorted(ROOT.glob(pattern)):
      digest.update(file.read_bytes())
  return digest.hexdigest()[:16]


def versions() -> dict[str, str]:
  """Package -> version, of those that decide a plan and are installed."""
  from train import environment

  return environment.versions(_PACKAGES)


def compile_row(row: Row) -> dict[str, Any]:
  """The plan of a row, or {'does_not_fit': why}; 'cpu_sec' is what it took.

  To be run in a process of its own, which gives its memory back.
  """
  import jax

  jax.config.update('jax_platforms', 'cpu')
  from launch.plan import planning, topology

  slice_ = topology.parse(row.topology)
  try:
    found = planning.plan(row.config(), slice_)
  except planning.DoesNotFitError as error:
    found = {'does_not_fit': str(error)}
  spent = resource.getrusage(resource.RUSAGE_SELF)
  return found | {'cpu_sec': spent.ru_utime + spent.ru_stime}
