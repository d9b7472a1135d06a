"""The commands, on runs as they lie on disk."""

import json
import subprocess
import sys

import pytest

from tests.evals.report.conftest import Maker

CONFIG = [
  *('--config=configs/quickstart.py', '--config.model.patch=(2,8,8)'),
  *('--config.model.output_patch=(4,8,8)', '--config.model.depth=2'),
  *('--config.model.frames=4', '--config.model.height=16'),
  *('--config.model.width=24', '--config.model.heads=2'),
]


def ran(module, *words):
  return subprocess.run(
    [sys.executable, '-m', f'launch.scaling{module}', *words],
    capture_output=True,
    text=True,
  )


@pytest.mark.slow
def test_what_is_forecast_is_shown_beside_what_came_out(tmp_path):
  make = Maker(tmp_path)
  for dim in (8, 16, 24):
    for seed in (0, 1):
      run = make.run(f'{dim}-{seed}', dim=dim, mlp=2 * dim, seed=seed)
      make.job(run, 'depth', error=0.2 + 1 / dim + seed / 50, tasks=('depth',))
  runs = sorted(str(path) for path in tmp_path.iterdir())
  largest, told = tmp_path / 'largest', tmp_path / 'forecast.json'
  asked = [
    *(*runs, *CONFIG, '--config.model.dim=64', '--config.model.mlp=128'),
    *(f'--workdir={largest}', f'--out={told}'),
  ]
  first = ran('.forecast', *asked)
  assert first.returncode == 0, first.stderr
  digest = json.loads(told.read_text())['sha256']
  assert digest in first.stdout
  made = make.run('largest', dim=64, mlp=128)
  late = ran('.forecast', *asked)
  assert (late.returncode, 'has begun' in late.stderr) == (1, True)
  make.job(made, 'depth', error=0.25, tasks=('depth',))
  options = (f'--forecast={told}', f'--out={tmp_path}/out')
  shown = ran('', *runs, str(made), *options)
  assert shown.returncode == 0, shown.stderr
  assert digest in shown.stdout
  assert 'Depth, frozen: abs_rel' in shown.stdout
  assert (tmp_path / 'out' / 'scaling.png').stat().st_size > 10_000
  lines = (tmp_path / 'out' / 'forecast.csv').read_text().splitlines()
  assert len(lines) == 3


@pytest.mark.slow
def test_a_coordinate_check_leaves_a_figure_and_its_numbers(tmp_path):
  small = '--config.data.sources.world.'
  done = ran(
    '.coordinates',
    *('--config=configs/quickstart.py', f'{small}clips=16', f'{small}cache='),
    *('--widths=32,64', '--steps=2', '--seeds=1', f'--out={tmp_path}'),
  )
  assert done.returncode == 0, done.stderr
  assert 'mup' in done.stdout
  assert (tmp_path / 'coordinates.png').stat().st_size > 10_000
  found = json.loads((tmp_path / 'coordinates.json').read_text())
  assert found['mup']['features']['32'] == found['standard']['features']['32']
