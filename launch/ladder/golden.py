"""What pods run, as small files that a change must not alter unnoticed.

  python -m launch.ladder.golden
  python -m launch.ladder.golden --files=sharding-S,program-B

writes how each parameter of each size is laid out (shapes alone, seconds) and
which collectives a program of each generation has (libtpu, one to four minutes
of one core each).
tests/launch/ladder/test_golden.py compares.
"""

import pathlib
from collections import Counter
from collections.abc import Mapping
from typing import Any

from absl import flags

from base import command, console, files
from base.names import choose
from launch.ladder import rows

COMMAND = 'python -m launch.ladder.golden'
# Specs name axes: any mesh whose sizes divide the parameters will do.
_MESH = {'replica': 2, 'fsdp': 4, 'tensor': 1}
SHARDINGS = {f'sharding-{size}': size for size in rows.SIZES}
PROGRAMS = {
  'program-B': rows.Row('B', 'v5e:4x4', 512),
  'program-j': rows.Row('j', 'v5p:8x8x8', 8192),
  'program-G': rows.Row('G', 'v4:4x4x8', 2048),
  'program-MooG': rows.Row('MooG', 'v6e:4x4', 128),
}
NAMES = (*SHARDINGS, *PROGRAMS)

_INTO = flags.DEFINE_string(
  'into', 'tests/launch/ladder/golden', 'Where the files are.'
)
_FILES = flags.DEFINE_list(
  'files', [], 'Names of the files; all, if none is given.'
)


def sharding(size: str) -> str:
  """A line for each parameter: path, shape, axes of the mesh.

  Args:
    size: of the ladder; any of its rows will do.
  """
  import jax

  from launch import recipe
  from train import mesh as mesh_lib

  mesh = mesh_lib.make_abstract(8, **_MESH)
  row = next(row for row in rows.ladder() if row.size == size)
  params = recipe.program(row.config(), mesh).state.params
  lines = []
  for path, leaf in jax.tree_util.tree_leaves_with_path(params):
    name = jax.tree_util.keystr(path, simple=True, separator='/')
    shape = ','.join(map(str, leaf.shape))
    axes = ','.join(axis or '-' for axis in leaf.sharding.spec)
    lines.append(f'{name} [{shape}] [{axes}]')
  return '\n'.join(sorted(lines)) + '\n'


def program(row: rows.Row) -> str:
  """What `collectives` says of a row of the ladder, compiled now.

  Raises:
    ValueError: libtpu is not installed, or the program does not fit.
  """
  from launch.plan import compiler, estimate, topology

  compiler.require()
  plan = estimate.plan(row.config(), topology.parse(row.topology))
  return collectives(plan)


def collectives(plan: Mapping[str, Any]) -> str:
  """The versions, then a line for each sort of collective and each warning."""
  counts, sizes = Counter(), Counter()
  for each in plan['collectives']:
    how = 'ahead' if each['async'] else 'in place'
    what = f'{each["kind"]} over {each["axes"]} of {each["shape"]}, {how}'
    counts[what] += each['count']
    sizes[what] += each['bytes']
  lines = [
    f'{what}: {count:g} times, {sizes[what]:.0f} bytes'
    for what, count in counts.items()
  ]
  warnings = [f'warning: {line}' for line in plan['warnings']]
  return '\n'.join([versions(), *sorted(lines), *sorted(warnings)]) + '\n'


def versions() -> str:
  """First line of a program's file: what compiled it."""
  found = rows.versions()
  names = ('jax', 'jaxlib', 'libtpu')
  return '# ' + ', '.join(f'{n} {found.get(n, "none")}' for n in names)


def difference(name: str, expected: str, got: str) -> str:
  """What changed in a golden file, and what to do; '' if nothing did.

  Args:
    name: of the file.
    expected: what it holds.
    got: what the code makes now.
  """
  before, after = Counter(expected.splitlines()), Counter(got.splitlines())
  lost, gained = before - after, after - before
  if not (lost or gained):
    return ''
  return '\n'.join(
    [
      f'{name} has changed:',
      *(f'- {line}' for line in sorted(lost.elements())),
      *(f'+ {line}' for line in sorted(gained.elements())),
      f'if pods shall run that, `{COMMAND} --files={name}` and commit it',
    ]
  )


def make(name: str) -> str:
  """The text of a golden file.

  Raises:
    ValueError: no such file, see also `program`.
  """
  choose('golden file', name, NAMES)
  if name in SHARDINGS:
    return sharding(SHARDINGS[name])
  return program(PROGRAMS[name])


def path_of(folder: pathlib.Path, name: str) -> pathlib.Path:
  """Of a golden file."""
  return folder / f'{name}.txt'


def main() -> None:
  """Writes the files, and says what changed in them."""
  from launch.plan import compiler

  compiler.prepare()
  names = _FILES.value or NAMES
  for name in names:  # all, before minutes go by
    choose('name in --files', name, NAMES)
  if not PROGRAMS.keys().isdisjoint(names):
    compiler.require()
  folder = pathlib.Path(_INTO.value)
  folder.mkdir(parents=True, exist_ok=True)
  for name in names:
    path = path_of(folder, name)
    if name in PROGRAMS:
      console.say(f'compiling {name} ...')
    text = make(name)
    before = path.read_text() if path.exists() else ''
    files.write(path, text)
    console.say(difference(name, before, text) or f'{name}: as before')


if __name__ == '__main__':
  command.run(main, required=[])
