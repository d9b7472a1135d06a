"""Gradients that a compiled step sums up on every chip, and should scatter."""

import math
import re
from collections import defaultdict

import jax

from launch.plan.hlo.timeline import Use
from train.program import Program


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


def full_reductions(uses: list[Use], parameters: dict[int, str]) -> list[str]:
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
