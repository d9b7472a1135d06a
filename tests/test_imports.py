"""Imports point one way, and each room keeps its libraries to itself."""

import ast
import pathlib

import pytest

ROOT = pathlib.Path(__file__).parent.parent
# Room -> the rooms that it may import.
MAY_IMPORT = {
  'base': {'base'},
  'configs': {'base', 'configs'},
  'models': {'base', 'models'},
  'data': {'base', 'data'},
  'train': {'base', 'train', 'models', 'data'},
  'evals': {'base', 'evals', 'train', 'models', 'data'},
  'launch': {'base', 'launch', 'evals', 'train', 'models', 'data', 'configs'},
}
# Library -> the only rooms that may import it.
BELONGS_TO = {
  'flax': {'models'},
  'grain': {'data'},
  'av': {'data', 'evals'},
  'array_record': {'data'},
  'orbax': {'train'},
  'clu': {'train'},
  'tensorflow': {'train', 'data'},
}
FILES = sorted(p for room in MAY_IMPORT for p in (ROOT / room).rglob('*.py'))


def imported(path):
  """Top-level names of all imports in a file, lazy ones included."""
  for node in ast.walk(ast.parse(path.read_text())):
    if isinstance(node, ast.Import):
      yield from (alias.name.split('.')[0] for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
      yield node.module.split('.')[0]


@pytest.mark.parametrize('path', FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_point_one_way(path):
  room = path.relative_to(ROOT).parts[0]
  names = set(imported(path))
  # A command composes rooms; nothing imports it.
  if path.name != '__main__.py':
    assert names & MAY_IMPORT.keys() <= MAY_IMPORT[room]
  for library, rooms in BELONGS_TO.items():
    assert library not in names or room in rooms, f'{library} is not for {room}'
  if room in ('base', 'configs', 'data'):
    assert 'jax' not in names


def test_one_file_imports_the_package_of_tensorflow_datasets():
  importers = [p for p in FILES if 'tensorflow_datasets' in imported(p)]
  assert importers == [ROOT / 'data' / 'sources' / 'tfds' / 'named.py']


def test_every_file_says_what_it_is_for():
  for path in FILES:
    assert ast.get_docstring(ast.parse(path.read_text())), path
