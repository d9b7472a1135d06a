"""A run that is forecast waits, and is not started before its forecast."""

import json
import shutil

import pytest

from launch.checks import Cost
from launch.sweep import forecasts
from tests import commands
from tests.launch.sweep import driver

SIZES = (1, 3, 9, 27)


@pytest.fixture
def entries(tmp_path):
  """Three sizes, a larger one that is forecast, and one after it."""
  made = driver.entries(tmp_path, ['0'] * 5)
  for entry, size in zip(made, (*SIZES, 2)):
    entry.cost = Cost(size, 1e9)
  made[3].forecast = True
  return made


@pytest.fixture
def order(tmp_path, entries, monkeypatch):
  """A function that follows all; what was followed, and when it was written."""

  def run(fails=()):
    said = []

    def write(workdir, before, entry):
      said.append(f'forecast of {entry.name} by {len(before)}')
      path = forecasts.path(workdir, entry)
      with open(path, 'w') as file:
        file.write('{}')
      return said[-1]

    def follow(some):
      said.append(','.join(entry.name for entry in some))
      for entry in some:
        entry.state.failed = 'it did' if entry.name in fails else ''

    monkeypatch.setattr(forecasts, 'write', write)
    forecasts.in_order(entries, str(tmp_path), follow)
    return said

  return run


def test_what_is_before_a_forecast_is_over_when_it_is_written(order):
  assert order() == ['r0,r1,r2', 'forecast of r3 by 3', 'r0,r1,r2,r3,r4']


def test_a_forecast_of_failed_runs_is_not_made(order):
  assert order(fails=['r1']) == ['r0,r1,r2']


def test_what_was_forecast_and_has_begun_is_gone_on_with(order, tmp_path):
  order()
  # It was stopped before the largest run had begun: the same forecast again.
  assert order()[1] == 'forecast of r3 by 3'
  (tmp_path / 'r3').mkdir()
  (tmp_path / 'r3' / 'config.json').write_text('{}')
  assert order() == ['r0,r1,r2,r3,r4']


@pytest.mark.parametrize('sizes', [(1, 1, 3, 9), (1, 3, 9, 9)])
def test_too_few_sizes_are_refused_before_the_first_start(entries, sizes):
  forecasts.check(entries)
  for entry, size in zip(entries, sizes):
    entry.cost = Cost(size, 1e9)
  with pytest.raises(ValueError, match='run r3: its forecast needs 3 sizes'):
    forecasts.check(entries)


@pytest.mark.slow
def test_a_study_is_one_command_and_goes_on(tmp_path):
  """Of four sizes at as many clips, and two at as many FLOPs."""
  path, runs = tmp_path / 'sweep_mine.py', tmp_path / 'runs'
  small = {
    'config': 'configs/quickstart.py:steps=2',
    **{'model.depth': 2, 'model.patch': (2, 24, 24)},
    **{'model.output_patch': (4, 24, 24), 'eval.batches': 1},
    **{'data.sources.world.clips': 16, 'data.sources.world.cache': ''},
    **{'data.sources.world.validation_clips': 8},
  }
  made = []
  for width, seed in ((8, 0), (8, 1), (16, 0), (24, 0), (32, 0)):
    made.append(
      {**small, 'name': f'clips-{width}-{seed}', 'model.dim': width}
      | {'model.mlp': width, 'model.heads': 2, 'seed': seed}
    )
  made[-1]['forecast'] = True
  path.write_text(f'def sweep(): return {made}')
  words = [f'--config={path}', f'--workdir={runs}', '--at_once=2']
  done = commands.run('launch.sweep', *words)
  assert done.returncode == 0, done.stderr
  told = runs / 'forecast-clips-32-0.json'
  digest = json.loads(told.read_text())['sha256']
  assert digest in done.stdout
  # The largest was lost: its forecast stays as it is.
  shutil.rmtree(runs / 'clips-32-0')
  assert commands.run('launch.sweep', *words).returncode == 0
  assert json.loads(told.read_text())['sha256'] == digest
  paths = [str(each) for each in runs.glob('clips-*')]
  where = (f'--forecast={told}', f'--out={tmp_path}/out')
  shown = commands.run('launch.scaling', *paths, *where)
  assert shown.returncode == 0, shown.stderr
  page = (tmp_path / 'out' / 'index.html').read_text()
  assert digest in page
  assert '16 clips each' in page
