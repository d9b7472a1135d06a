"""The house stays one in which a newcomer opens the right file first."""

import ast
import pathlib
from collections import Counter

import pytest

ROOT = pathlib.Path(__file__).parent.parent
ROOMS = ('base', 'configs', 'data', 'evals', 'launch', 'models', 'train')
FOLDERS = sorted(
  {file.parent for room in ROOMS for file in (ROOT / room).rglob('*.py')}
)
MOST = 20  # modules that a person takes in at a glance


def modules(folder):
  """Names of a folder's modules; __init__ and __main__ are the folder."""
  return [
    file.stem for file in folder.glob('*.py') if not file.stem.startswith('__')
  ]


@pytest.mark.parametrize(
  'folder', FOLDERS, ids=lambda x: str(x.relative_to(ROOT))
)
def test_a_folder_is_no_wider_than_a_glance(folder):
  assert len(modules(folder)) <= MOST
  for name in modules(folder):
    assert not name.startswith(f'{folder.name}_'), f'{folder}/{name}.py'
  # Three of a kind are a folder.
  kinds = Counter(name.split('_')[0] for name in modules(folder) if '_' in name)
  assert not [kind for kind, count in kinds.items() if count >= 3]


def definitions():
  """Name -> files that define a function or class of it at their top."""
  found = {}
  for room in ROOMS:
    for file in (ROOT / room).rglob('*.py'):
      for node in ast.parse(file.read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
          found.setdefault(node.name, []).append(str(file.relative_to(ROOT)))
  return found


@pytest.mark.parametrize(
  ('name', 'home'),
  [
    ('lock', 'base/files.py'),
    ('replacing', 'base/files.py'),
    ('choose', 'base/names.py'),
  ],
)
def test_what_all_rooms_need_is_there_once(name, home):
  assert definitions()[name] == [home]


@pytest.mark.parametrize(
  ('word', 'home'),
  [
    ('flock(', 'base/files.py'),
    ('os.replace(', 'base/files.py'),
    ('get_close_matches(', 'base/names.py'),
    ('tqdm(', 'base/console.py'),
    ('app.run(', 'base/command.py'),
  ],
)
def test_nobody_writes_again_what_base_does(word, home):
  """Locks, whole files, nearest names, progress and the end of a command."""
  users = {
    str(file.relative_to(ROOT))
    for room in (*ROOMS, 'docs')
    for file in (ROOT / room).rglob('*.py')
    if word in file.read_text()
  }
  assert users <= {home}
