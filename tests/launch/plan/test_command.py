"""Commands of the planner, as they are typed."""

import importlib.util
import json
import os

import pytest

from tests import commands


def run(*arguments, command='launch.plan'):
  # libtpu ends the process at options for CPUs that it does not know.
  environment = {k: v for k, v in os.environ.items() if k != 'XLA_FLAGS'}
  return commands.run(command, *arguments, env=environment)


def test_the_command_writes_what_it_says(tmp_path):
  path = tmp_path / 'plan.json'
  done = run(
    *('--config=configs/mae.py:size=j', '--config.mesh.replica=8'),
    *('--topology=v5p:8x8x8', '--shapes_only', f'--json={path}'),
  )
  assert not done.returncode, done.stderr
  written = json.loads(path.read_text())
  assert f'{written["parameters"]:,}' in done.stdout
  assert written['mesh'] == {
    **{'replica': 8, 'fsdp': 64, 'tensor': 1, 'sequence': 1}
  }


def test_a_comparison_writes_what_it_says(tmp_path):
  path = tmp_path / 'rows.json'
  done = run(
    *('--config=configs/mae.py:size=L,batch_size=512', '--shapes_only'),
    *('--topology=v5e:4x4,v5p:4x4x4', f'--json={path}'),
    command='launch.plan.compare',
  )
  assert not done.returncode, done.stderr
  rows = json.loads(path.read_text())
  assert [row['chips'] for row in rows] == [16, 64]
  for row in rows:
    assert f'{row["topology"]:14}{row["chips"]:6}' in done.stdout


J = '--config=configs/mae.py:size=j'
COMPARE, SEARCH, PRECOMPILE = (
  f'launch.plan.{name}' for name in ('compare', 'search', 'precompile')
)


@pytest.mark.parametrize(
  ('command', 'arguments', 'message'),
  [
    (
      'launch.plan',
      [J, '--topology=v5p:8x8'],
      "--topology='v5p:8x8': expected v5p:4x4x4",
    ),
    (
      'launch.plan',
      [J, '--topology=v5e:8x8,v5e:8x16'],
      '--topology=v5e:8x8,v5e:8x16: expected one slice; several are for '
      '`python -m launch.plan.compare`',
    ),
    (
      'launch.plan',
      [J, '--topology=v5e:8x8', '--bench=README.md'],
      'README.md is not JSON (Expecting value: line 1 column 1 (char 0)): it '
      'is damaged; write it by `python -m data.bench --json=README.md`',
    ),
    (
      'launch.plan',
      [J, '--topology=v5e:8x8', '--json=no/such/folder/plan.json'],
      '--json=no/such/folder/plan.json cannot be written: expected a file in',
    ),
    (
      'launch.plan',
      [J, '--config.mesh.replica=64', '--topology=v4:4x8x8', '--shapes_only'],
      'the step needs 91.77 GiB of a chip of v4:4x8x8, which has 30.75 GiB',
    ),
    (
      PRECOMPILE,
      ['--config=configs/mae.py:size=k', '--topology=v5e:8x8', '--workdir=x'],
      "unknown size 'k': expected one of tiny, S",
    ),
  ],
)
def test_a_mistake_ends_in_one_line(command, arguments, message):
  done = run(*arguments, command=command)
  assert done.returncode == 1
  *before, line = done.stderr.splitlines()
  assert line.startswith(message)
  assert not before


def test_two_layouts_of_one_slice_are_refused():
  two = ['--same_per_chip', '--layouts']
  done = run(J, '--topology=v5e:8x8,v5e:4x4', *two, command=COMPARE)
  assert done.returncode == 1
  assert 'At most one of (same_per_chip, layouts) must be' in done.stderr


@pytest.mark.skipif(
  importlib.util.find_spec('libtpu') is not None, reason='libtpu is installed'
)
def test_what_needs_the_compiler_says_so():
  done = run(J, '--topology=v5e:8x8', command=SEARCH)
  assert done.stderr.startswith('libtpu is not installed: `pip install')
  assert done.stderr.count('\n') == 1


@pytest.mark.slow
def test_a_small_size_compiles_for_a_slice_and_is_kept(tpu_compiler, tmp_path):
  done = run(
    *('--config=configs/mae.py:size=S', '--topology=v5e:2x2'),
    *('--config.data.batch_size=64', f'--workdir={tmp_path}'),
    command=PRECOMPILE,
  )
  assert not done.returncode, done.stderr
  assert 'compiled in' in done.stdout
  assert 'reduce-scatter' in done.stdout
  assert 'all-gather' in done.stdout
  assert 'reduced plan' not in done.stdout
  assert (tmp_path / 'compiled' / 'train_step').exists()


@pytest.mark.slow
def test_a_search_writes_what_it_compiled(tpu_compiler, tmp_path):
  ranking = tmp_path / 'ranking.json'
  done = run(
    *('--config=configs/mae.py:size=S', '--topology=v5e:2x2', '--compiles=2'),
    *('--config.data.batch_size=64', f'--json={ranking}'),
    command=SEARCH,
  )
  assert not done.returncode, done.stderr
  best, other = json.loads(ranking.read_text())
  mfu, less = (each['estimates']['roofline']['mfu'] for each in (best, other))
  assert mfu >= less
  assert best['layout'] != other['layout']
  assert f'{mfu:6.3f}' in done.stdout
