"""The ladder goes on where it was stopped, and its table is what was found."""

import pathlib

import pytest

from launch.ladder import __main__ as pods
from launch.ladder import rows as ladder
from launch.ladder.rows import LADDER, Row

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
  said, written = [], []
  pods.run(
    [SMALL, LARGE],
    folder,
    compiler,
    say=said.append,
    after=lambda: written.append(pods.table(folder)),
  )
  return said, written


def test_it_goes_on_where_it_was_stopped(tmp_path):
  with pytest.raises(KeyboardInterrupt):
    run(tmp_path, Compiler(fails=LARGE))
  second = Compiler()
  said, written = run(tmp_path, second)
  assert second.rows == [LARGE]
  assert said[0] == '1 of 2 programs are done'
  assert said[1] == '1 of 1: j on v4:8x8x8'
  assert said[2].startswith('  does not fit: the step needs 40 GiB; about 0 ')
  assert len(written) == 1
  third = Compiler()
  assert run(tmp_path, third)[0] == ['2 of 2 programs are done']
  assert not third.rows


def test_it_says_what_a_program_took_and_what_is_wrong_with_it(tmp_path):
  said, _ = run(tmp_path, Compiler())
  assert said[2] == (
    '  MFU 0.346 (roofline), 60 CPU-seconds, 1.3 GiB; warning: a gradient is '
    'not scattered; about 0 minutes left'
  )


def test_other_versions_or_recipes_are_other_programs(monkeypatch):
  before = ladder.key(SMALL)
  assert before == ladder.key(SMALL)
  others = {ladder.key(Row('S', 'v5e:2x4', 512)), ladder.key(LARGE)}
  monkeypatch.setattr(ladder, 'versions', lambda: {'jax': '0'})
  assert len({before, ladder.key(SMALL), *others}) == 4


def test_other_sources_are_other_programs(monkeypatch, tmp_path):
  (tmp_path / 'models').mkdir()
  (tmp_path / 'models' / 'mae.py').write_text('a = 1\n')
  monkeypatch.setattr(ladder, 'ROOT', tmp_path)
  before = ladder.key(SMALL)
  (tmp_path / 'models' / 'mae.py').write_text('a = 2\n')
  assert ladder.key(SMALL) != before


def layout(row):
  """As the file of layouts has it, in which a search may put a better one."""
  mesh = row.config()['mesh']
  return f'{mesh["replica"]} x {mesh["fsdp"]} x {mesh["tensor"]}'


def test_the_table(tmp_path):
  run(tmp_path, Compiler())
  lines = pods.table(tmp_path).splitlines()
  assert len(lines) == 2 + len(LADDER)
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
  assert sum('not run' in line for line in lines) == len(LADDER) - 2


def test_a_row_that_the_folder_does_not_have_stays(tmp_path):
  run(tmp_path / 'full', Compiler())
  before = pods.table(tmp_path / 'full')
  assert pods.table(tmp_path / 'empty', before) == before
  other = before.replace('| 123 |', '| 456 |')
  assert pods.table(tmp_path / 'full', other) == before


def test_only_some_sizes():
  assert {row.size for row in pods.chosen(['S', 'MooG'])} == {'S', 'MooG'}
  assert pods.chosen([]) == list(LADDER)
  with pytest.raises(ValueError, match="--only='s' is no size of the ladder"):
    pods.chosen(['s'])


def test_only_what_is_between_the_markers_is_replaced():
  text = f'a\n{pods.BEGIN}\nold\n{pods.END}\nb\n'
  assert pods.replace(text, 'new') == text.replace('old', 'new')
  with pytest.raises(ValueError, match='expected the lines'):
    pods.replace('a\n', 'new')
  docs = pathlib.Path(ladder.ROOT / 'docs' / 'pods.md').read_text()
  assert pods.replace(docs, 'new') != docs
