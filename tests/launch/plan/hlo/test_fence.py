"""Of the reader of compiled programs, others use what it names."""

import ast
import pathlib

from launch.plan import hlo

ROOT = pathlib.Path(hlo.__file__).parents[3]
INSIDE = ('launch/plan/hlo', 'tests/launch/plan/hlo')


def imported(path):
  """Full names of what a file imports."""
  for node in ast.walk(ast.parse(path.read_text())):
    if isinstance(node, ast.Import):
      yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
      yield from (f'{node.module}.{alias.name}' for alias in node.names)


def test_nobody_outside_imports_a_file_of_it():
  outside = [
    path
    for room in ('base', 'configs', 'data', 'evals', 'launch', 'tests', 'train')
    for path in (ROOT / room).rglob('*.py')
    if not any(path.is_relative_to(ROOT / folder) for folder in INSIDE)
  ]
  allowed = {'launch.plan.hlo', *(f'launch.plan.hlo.{n}' for n in hlo.__all__)}
  users = set()
  for path in outside:
    names = {n for n in imported(path) if n.startswith('launch.plan.hlo')}
    assert names <= allowed, path
    users |= {path.name} if names else set()
  assert {'estimate.py', 'candidates.py'} <= users


def test_it_names_few():
  assert len(hlo.__all__) <= 4
