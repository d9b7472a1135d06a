"""The ladder: every size on slices of several generations, compiled once.

A row is a layout of `configs/layouts.json`; `table` prints it.
"""

import dataclasses
import functools
import hashlib
import json
import modulefinder
import pathlib
import resource
from typing import Any

from base import jsons
from configs import common, mae, moog

# Size -> its recipe, what stands behind the colon, the name of its layouts.
_RECIPES = {
  **{
    size: (mae, f'size={size}', f'mae.{size}')
    for size in ('S', 'B', 'L', 'H', 'G', 'e', 'j')
  },
  'MooG': (moog, 'data=movi_e,path=MOVI', 'moog.movi_e'),
}
SIZES = tuple(_RECIPES)
# Batches that a layout is compiled with, beside its own.
_FURTHER = {('j', 'v5p:8x8x8'): (4096,)}
ROOT = pathlib.Path(__file__).parents[2]
# Rooms whose files decide no plan of a row: recipes count by their values,
# which are in its key; no row has readouts or their data; base says and writes.
_NOT_DECIDING = ('base', 'configs', 'data', 'evals')
_PACKAGES = ('jax', 'jaxlib', 'libtpu', 'flax', 'optax')
# Of a plan, what the table and the progress line say; see `jsons.read`.
_PLAN = {
  'compiled_bytes': {'peak': float},
  'estimates': {
    'cycles': {'mfu': float},
    'roofline': {'mfu': float, 'step_sec': float, 'exposed_sec': float},
  },
  'collectives': [{'bytes': float, 'seconds': float, 'exposed_sec': float}],
}


@dataclasses.dataclass(frozen=True)
class Row:
  """One program of the ladder.

  Attributes:
    size: of configs/mae.py, or MooG.
    topology: slice of a pod.
    batch: clips of a step.
  """

  size: str
  topology: str
  batch: int

  @property
  def name(self) -> str:
    """Of the row, and of its file."""
    return f'{self.size}-{self.topology.replace(":", "-")}-{self.batch}'

  def config(self) -> dict[str, Any]:
    """The recipe with its layout, as plain values."""
    recipe, argument, _ = _RECIPES[self.size]
    argument += f',topology={self.topology},batch_size={self.batch}'
    return recipe.get_config(argument).to_dict()


@functools.cache
def ladder() -> tuple[Row, ...]:
  """Rows by size, then as the file of layouts has the slices, then by batch.

  Raises:
    ValueError: the file is damaged.
  """
  known = common.layouts()
  found = []
  for size, (_, _, recipe) in _RECIPES.items():
    for topology, layout in known[recipe].items():
      further = _FURTHER.get((size, topology), ())
      batches = {layout['data.batch_size'], *further}
      found += [Row(size, topology, batch) for batch in sorted(batches)]
  return tuple(found)


def key(row: Row) -> str:
  """Hash of what decides a row's plan: recipe, slice, sources, packages."""
  digest = hashlib.sha256()
  config = row.config()
  decides = [config, row.topology, versions()]
  digest.update(json.dumps(decides, sort_keys=True, default=str).encode())
  # By their bytes: a comment makes a row anew, which costs minutes; a change
  # that is overlooked would keep a wrong row.
  for file in sources(ROOT, config['model']['name']):
    digest.update(str(file.relative_to(ROOT)).encode())
    digest.update(file.read_bytes())
  return digest.hexdigest()[:16]


def path_of(folder: pathlib.Path, row: Row) -> pathlib.Path:
  """Where the plan of a row is kept; what decides it is in the name."""
  return folder / f'{row.name}-{key(row)}.json'


def kept(path: pathlib.Path) -> dict[str, Any]:
  """The plan that a file holds.

  Raises:
    ValueError: it is damaged.
    FileNotFoundError: it is not there.
  """
  remedy = 'it is compiled again'
  found = jsons.read(path, {'cpu_sec': float}, remedy)
  if 'does_not_fit' in found:
    return found
  return jsons.expect(found, _PLAN, f'{path}', remedy)


@functools.cache  # reads sixty files
def sources(root: pathlib.Path, model: str) -> tuple[pathlib.Path, ...]:
  """Our files that decide a plan: what planning imports, directly or not.

  Imports within functions count, so that a kernel does which only a TPU needs.
  What plans are printed by, searched with or compared in is not among them.

  Args:
    root: of the repository.
    model: module of the recipe's objective, which is imported by its name.
  """
  finder = modulefinder.ModuleFinder([str(root)], excludes=_NOT_DECIDING)
  for name in ('launch.plan.estimate', f'models.{model}'):
    finder.import_hook(name)
  found = (module.__file__ for module in finder.modules.values())
  return tuple(sorted(pathlib.Path(file) for file in found if file))


def versions() -> dict[str, str]:
  """Package -> version, of those that decide a plan and are installed."""
  from train import workdir

  return workdir.versions(_PACKAGES)


def compile_row(row: Row) -> dict[str, Any]:
  """The plan of a row, or {'does_not_fit': why}.

  'cpu_sec' and 'host_gib' are what it took of time and memory (Linux). To be
  run in a process of its own, which gives its memory back.
  """
  from launch.plan import compiler, does_not_fit, estimate, topology

  compiler.prepare()
  slice_ = topology.parse(row.topology)
  try:
    found = estimate.plan(row.config(), slice_)
  except does_not_fit.DoesNotFitError as error:
    found = {'does_not_fit': str(error)}
  spent = resource.getrusage(resource.RUSAGE_SELF)
  return found | {
    'cpu_sec': spent.ru_utime + spent.ru_stime,
    'host_gib': spent.ru_maxrss / 2**20,
  }
