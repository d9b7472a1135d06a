"""The ladder goes on where it was stopped, and its table is what was found."""

import json
import pathlib
import shutil
import subprocess
import sys

import pytest
from absl import flags
from absl.testing import flagsaver

from base import console
from launch import marked
from launch.ladder import __main__ as pods
from launch.ladder import rows, table
from launch.ladder.rows import Row
from launch.plan import compiler

SMALL, LARGE = Row('S', 'v5e:2x4', 256), Row('j', 'v4:8x8x8', 4096)


def plan_of(row):
  if row == LARGE:
    return {'does_not_fit': 'the step needs 40 GiB\nmore', 'cpu_sec': 71.2}
  each = {'step_sec': 0.1234, 'exposed_sec': 0.0151, 'mfu': 0.3456}
  hidden = {'bytes': 5 * 2**30, 'seconds': 1.0, 'exposed_sec': 0.0}
  half = {'bytes': 3 * 2**30, 'seconds': 0.5, 'exposed_sec': 0.25}
  none = {'bytes': 0, 'seconds': 0.0, 'exposed_sec': 0.0}
  return {
    'compiled_bytes': {'peak': 4.26 * 2**30},
    'estimates': {'roofline': each, 'cycles': each | {'mfu': 0.3}},
    'collectives': [hidden, half, none],
    'cpu_sec': 60.4,
    'host_gib': 1.26,
    'warnings': ['a gradient is not scattered'],
  }


class Compiler:
  """Remembers what it was asked for; fails at one row."""

  def __init__(self, fails=None):
    self.rows, self.fails = [], fails

  def __call__(self, row):
    if row == self.fails:
      raise KeyboardInterrupt
    self.rows.append(row)
    return plan_of(row)


def run(folder, compiler):
  written = []
  pods.run(
    [SMALL, LARGE],
    folder,
    compiler,
    after=lambda: written.append(table.text(folder)),
  )
  return written


def test_it_goes_on_where_it_was_stopped(tmp_path, capsys):
  with pytest.raises(KeyboardInterrupt):
    run(tmp_path, Compiler(fails=LARGE))
  second = Compiler()
  capsys.readouterr()
  assert len(run(tmp_path, second)) == 1
  assert second.rows == [LARGE]
  assert capsys.readouterr().out.splitlines()[:3] == [
    '1 of 2 programs are done',
    'compiling j on v4:8x8x8 ...',
    '  does not fit: the step needs 40 GiB',
  ]
  third = Compiler()
  run(tmp_path, third)
  assert capsys.readouterr().out.strip() == '2 of 2 programs are done'
  assert not third.rows


def test_it_says_how_far_it_is_and_what_a_program_took(
  tmp_path, capsys, monkeypatch
):
  monkeypatch.setattr(console, '_BETWEEN_LINES', 0.0)
  run(tmp_path, Compiler())
  said = capsys.readouterr().out.splitlines()
  assert said[2] == (
    '  MFU 0.346 (roofline), 60 CPU-seconds, 1.3 GiB; warning: a gradient is '
    'not scattered'
  )
  assert said[3].startswith('compiling: 1/2, ')
  assert said[3].endswith(' left')


@pytest.mark.parametrize(
  ('text', 'what'),
  [
    ('', 'is empty: it is damaged; it is compiled again'),
    ('{"cpu_sec": 3.0', 'is not JSON'),
    ('[]', 'holds a list, expected a dict'),
    ('{"cpu_sec": 3.0, "estimates": {}}', 'lacks compiled_bytes, collectives'),
  ],
)
def test_a_damaged_row_names_itself_and_is_compiled_again(
  text, what, tmp_path, capsys
):
  run(tmp_path, Compiler())
  whole = table.text(tmp_path)
  path = rows.path_of(tmp_path, SMALL)
  path.write_text(text)
  # The table has it from an earlier one, or not.
  assert table.text(tmp_path, whole) == whole
  assert table.text(tmp_path).count('not run') == whole.count('not run') + 1
  second = Compiler()
  capsys.readouterr()
  run(tmp_path, second)
  said, *_ = capsys.readouterr().out.splitlines()
  assert f'{path} {what}' in said
  assert second.rows == [SMALL]
  assert table.text(tmp_path) == whole


def test_other_versions_or_recipes_are_other_programs(monkeypatch):
  before = rows.key(SMALL)
  assert before == rows.key(SMALL)
  others = {rows.key(Row('S', 'v5e:2x4', 512)), rows.key(LARGE)}
  monkeypatch.setattr(rows, 'versions', lambda: {'jax': '0'})
  assert len({before, rows.key(SMALL), *others}) == 4


@pytest.fixture
def tree(tmp_path, monkeypatch):
  """A copy of the sources, in place of them."""
  for room in ('models', 'train', 'launch'):
    kept = shutil.ignore_patterns('__pycache__')
    shutil.copytree(rows.ROOT / room, tmp_path / room, ignore=kept)
  monkeypatch.setattr(rows, 'ROOT', tmp_path)
  return tmp_path


DECIDES = [
  *('launch/recipe.py', 'launch/plan/estimate.py', 'launch/plan/topology.py'),
  *('launch/plan/hlo/timeline.py', 'launch/plan/hlo/kernels.py'),
  *('train/program.py', 'train/step.py', 'train/chips.py'),
  # Imported by its name, and within a function.
  *('models/mae.py', 'models/nn/attention/tpu.py'),
]
PRINTS = [
  *('launch/plan/report/text.py', 'launch/plan/report/page.py'),
  *('launch/plan/__main__.py', 'launch/plan/search/candidates.py'),
  *('launch/plan/compare/table.py', 'launch/ladder/__main__.py'),
  *('launch/bench/__main__.py', 'train/loop.py'),
]


def test_other_sources_are_other_programs(tree):
  before = rows.key(SMALL)
  for name in DECIDES:
    path = tree / name
    text = path.read_text()
    path.write_text(f'{text}# changed\n')
    assert rows.key(SMALL) != before, name
    path.write_text(text)
  assert rows.key(SMALL) == before


def test_what_prints_decides_no_program(tree):
  before = rows.key(SMALL)
  for name in PRINTS:
    path = tree / name
    path.write_text(f'{path.read_text()}# changed\n')
  assert rows.key(SMALL) == before


def test_nothing_else_of_ours_is_imported():
  """What imports say beforehand is what is imported then."""
  code = f"""
import json, sys
sys.path.insert(0, '.')
from launch.ladder.rows import Row
from launch.plan import estimate, topology
row = {SMALL!r}
slice_ = topology.parse(row.topology)
estimate.plan(row.config(), slice_, shapes_only=True)
files = [getattr(each, '__file__', '') for each in sys.modules.values()]
print(json.dumps([file for file in files if file]))
"""
  done = subprocess.run(
    [sys.executable, '-c', code], capture_output=True, text=True, check=True
  )
  imported = {pathlib.Path(file).resolve() for file in json.loads(done.stdout)}
  ours = {
    path
    for path in imported
    for room in ('models', 'train', 'launch')
    if path.is_relative_to(rows.ROOT / room)
  }
  model = SMALL.config()['model']['name']
  others = ours - set(rows.sources(rows.ROOT, model))
  names = {str(path.relative_to(rows.ROOT)) for path in others}
  assert names == {'launch/ladder/__init__.py', 'launch/ladder/rows.py'}


def layout(row):
  """As the file of layouts has it, in which a search may put a better one."""
  mesh = row.config()['mesh']
  return f'{mesh["replica"]} x {mesh["fsdp"]} x {mesh["tensor"]}'


def test_the_table(tmp_path):
  run(tmp_path, Compiler())
  lines = table.text(tmp_path).splitlines()
  assert len(lines) == 2 + len(rows.ladder())
  assert len({line.count('|') for line in lines}) == 1
  small = next(line for line in lines if line.startswith('| S | v5e'))
  assert small == (
    f'| S | v5e:2x4 | {layout(SMALL)} | 256 | 4.3 of 15.75 | 123 | 15 | 1.50 '
    '| 0.300 / 0.346 | 60 |'
  )
  refused = next(line for line in lines if line.startswith('| j | v4'))
  assert refused == (
    f'| j | v4:8x8x8 | {layout(LARGE)} | 4096 | does not fit |  |  |  |  | 71 |'
  )
  assert sum('not run' in line for line in lines) == len(rows.ladder()) - 2


def test_a_row_that_the_folder_does_not_have_stays(tmp_path):
  run(tmp_path / 'full', Compiler())
  before = table.text(tmp_path / 'full')
  assert table.text(tmp_path / 'empty', before) == before
  other = before.replace('| 123 |', '| 456 |')
  assert table.text(tmp_path / 'full', other) == before


def test_only_some_sizes():
  assert {row.size for row in pods.chosen(['S', 'MooG'])} == {'S', 'MooG'}
  assert pods.chosen([]) == list(rows.ladder())
  with pytest.raises(
    ValueError, match="unknown size in --only 's': expected one of S"
  ):
    pods.chosen(['s'])


@pytest.fixture
def parsed():
  """Flags have their defaults, as if no command line gave others."""
  flags.FLAGS.mark_as_parsed()
  yield
  flags.FLAGS.unparse_flags()


def test_a_wrong_size_is_told_before_libtpu_is_missed(parsed, monkeypatch):
  monkeypatch.setattr(compiler, 'is_installed', lambda: False)
  with (
    flagsaver.flagsaver(only=['Z']),
    pytest.raises(ValueError, match="--only 'Z': expected one of S"),
  ):
    pods.main()


def test_only_what_is_between_the_markers_is_replaced():
  text = f'a\n{table.BEGIN}\nold\n<!-- to here -->\nb\n'
  assert marked.put(text, 'new', table.BEGIN) == text.replace('old', 'new')
  with pytest.raises(ValueError, match='expected the lines'):
    marked.put('a\n', 'new', table.BEGIN)
  docs = pathlib.Path(rows.ROOT / 'docs' / 'pods.md').read_text()
  assert marked.put(docs, 'new', table.BEGIN) != docs


def test_the_doc_is_left_alone_without_the_compiler(
  parsed, tmp_path, monkeypatch
):
  docs = tmp_path / 'pods.md'
  docs.write_text(f'{table.BEGIN}\nold\n<!-- to here -->\n')
  monkeypatch.setattr(compiler, 'is_installed', lambda: False)
  given = {'docs': str(docs), 'folder': str(tmp_path / 'runs')}
  with (
    flagsaver.flagsaver(**given),
    pytest.raises(ValueError, match='libtpu is not installed: `pip'),
  ):
    pods.main()
  assert 'old' in docs.read_text()
  assert not (tmp_path / 'runs').exists()
