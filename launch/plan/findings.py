"""What is found in a compiled step: time, collectives, buffers, mistakes."""

import math
import re
from collections import defaultdict
from typing import Any

import jax

from launch.plan import hlo, timeline
from launch.plan.collectives import Reader
from launch.plan.compiled import Compiled
from launch.plan.topology import Topology
from train.program import Program

_NO_BUFFERS = {
  *('parameter', 'tuple', 'get-tuple-element', 'bitcast', 'while', 'constant'),
  *('call', 'conditional', 'opt-barrier'),
}


def examine(
  compiled: Compiled, program: Program, topology: Topology
) -> dict[str, Any]:
  """Collectives, the largest buffers and estimated seconds, as plain values."""
  parsed = hlo.parse(compiled.text)
  reader = Reader(parsed, program.mesh, topology)
  estimates = {
    model: timeline.estimate(reader, model) for model in ('cycles', 'roofline')
  }
  uses = estimates['roofline'].uses
  return {
    'compile_sec': compiled.seconds,
    'compiled_bytes': compiled.bytes,
    'warnings': [
      *compiled.warnings,
      *full_reductions(uses, parameter_elements(program)),
    ],
    'largest_buffers': largest(parsed),
    'largest_costs': [
      {'what': where, 'seconds': seconds}
      for where, seconds in estimates['roofline'].costs.most_common(12)
    ],
    'collectives': table(uses),
    'estimates': {
      name: {
        'matmul_sec': each.matmul,
        'kernel_sec': each.kernel,
        'other_sec': each.other,
        'exposed_sec': each.exposed,
        'step_sec': each.seconds,
      }
      for name, each in estimates.items()
    },
  }


def table(uses: list[timeline.Use]) -> list[dict[str, Any]]:
  """Collectives by kind, axes of the mesh and shape, the slowest first."""
  rows: dict[tuple, dict[str, Any]] = {}
  for use in uses:
    what = use.what
    key = what.kind, what.axes, what.shape, use.is_async
    row = rows.setdefault(
      key,
      {
        **{'kind': what.kind, 'axes': what.axes, 'group': what.group},
        **{'shape': what.shape, 'async': use.is_async, 'count': 0},
        **{'bytes': 0, 'seconds': 0.0, 'exposed_sec': 0.0},
        'source': what.source,
      },
    )
    row['count'] += use.count
    row['bytes'] += use.count * what.payload
    row['seconds'] += use.seconds
    row['exposed_sec'] += use.exposed
  return sorted(rows.values(), key=lambda row: -row['seconds'])


def parameter_elements(program: Program) -> dict[int, str]:
  """Elements of each matrix that is sharded over fsdp -> its path.

  Of the whole stack and of one layer, on one tensor shard.
  """
  found: dict[int, str] = {}
  tensor = program.mesh.shape['tensor']
  leaves = jax.tree_util.tree_leaves_with_path(program.state.params)
  for path, leaf in leaves:
    axes = leaf.sharding.spec
    if 'fsdp' in axes:
      count = leaf.size // (tensor if 'tensor' in axes else 1)
      name = jax.tree_util.keystr(path, simple=True, separator='/')
      found[count] = name
      if '/layers/' in f'/{name}/':
        found[count // leaf.shape[0]] = f'a layer of {name}'
  return found


def full_reductions(
  uses: list[timeline.Use], parameters: dict[int, str]
) -> list[str]:
  """All-reduces over fsdp of as much as a parameter: gradients not sharded."""
  found = defaultdict(float)
  for use in uses:
    what = use.what
    if what.kind == 'all-reduce' and 'fsdp' in what.axes.split('+'):
      for shape in what.shape.split():
        sizes = re.search(r'\[(.*)\]', shape)[1].split(',')
        name = parameters.get(math.prod(int(size) for size in sizes if size))
        if name:
          found[name, shape] += use.count
  return [
    f'{count:g} all-reduces over fsdp of {shape}, of the size of {name}: its '
    'gradient should be reduce-scattered'
    for (name, shape), count in found.items()
  ]


def largest(program: hlo.Program, count: int = 8) -> list[dict[str, Any]]:
  """The largest arrays in HBM that instructions make, and the inputs.

  Loops' bodies count too; what is updated in place is listed once.
  """
  rows: dict[tuple[str, str], dict[str, Any]] = {}

  def add(instruction, kind):
    for array in instruction.arrays:
      if array.in_hbm:
        shape = f'{array.dtype}[{",".join(map(str, array.shape))}]'
        name = instruction.source or instruction.name
        row = {'bytes': array.bytes, 'shape': shape, 'what': name, 'is': kind}
        rows.setdefault((shape, name), row)

  visited = [program.entry]
  for name in visited:
    for each in program.computations[name].values():
      if each.opcode == 'while':
        visited += each.called['body']
      elif each.opcode == 'parameter' and name == program.entry:
        add(each, 'input')
      elif each.opcode not in _NO_BUFFERS:
        add(each, 'temporary')
  return sorted(rows.values(), key=lambda row: -row['bytes'])[:count]
