"""`python -m launch.sweep`, up to the first start."""

import re

import pytest

from base import files
from tests import commands

QUICK = 'configs/quickstart.py:steps=3'


@pytest.fixture
def sweep(tmp_path):
  """A function that runs the command on some overrides of a recipe."""

  def run(overrides, *words):
    path = tmp_path / 'sweep_mine.py'
    made = [{'config': QUICK, **each} for each in overrides]
    path.write_text(f'def sweep(): return {made}')
    where = (f'--config={path}', f'--workdir={tmp_path}/runs')
    return commands.run('launch.sweep', *where, *words)

  return run


RATES = [{'optim.lr': 1e-3}, {'optim.lr': 2e-3}]


@pytest.mark.parametrize(
  ('overrides', 'words', 'why'),
  [
    (
      [*RATES, {'optim.lr': 1.0, 'optim.warmup_fractio': 1}],
      [],
      "run lr-1: the recipe has no.* 'warmup_fraction'",
    ),
    ([*RATES, {'model.heads': 3}], [], 'run heads-3: heads must divide width'),
    ([*RATES, RATES[0]], [], 'the same run twice'),
    (
      [{'name': 'b', 'init_from.path': {'run': 'a'}}, {'name': 'a'}],
      [],
      "run b: {'run': 'a'} is no run that is yielded before it; got none",
    ),
    (RATES, ['--', '--config.log.wand=x'], "run lr-0.001: .*'wandb"),
    (RATES, ['--', '--steps=3'], '--steps=3 behind --: expected overrides'),
    (RATES, ['--readouts=configs/mae.py'], 'is a recipe of pretraining'),
    (RATES, ['--readouts=configs/readout.py:task=dept'], "mean 'depth'"),
    (RATES, ['--on=locl'], 'local'),
    (RATES, ['--stop'], '--launch and --stop are for machines elsewhere'),
  ],
)
def test_what_cannot_work_is_one_line_and_starts_nothing(
  sweep, tmp_path, overrides, words, why
):
  done = sweep(overrides, *words)
  assert done.returncode == 1, done.stdout
  (line,) = done.stderr.splitlines()
  assert re.search(why, line)
  assert not (tmp_path / 'runs').exists()


def test_a_dry_run_says_every_command(sweep, tmp_path):
  readout = 'configs/readout.py:task=depth,data=world,steps=2'
  done = sweep(
    RATES,
    *('--dry_run', f'--readouts={readout}', '--'),
    '--config.log.wandb=offline',
  )
  assert done.returncode == 0, done.stderr
  trained, tested = [
    line for line in done.stdout.splitlines() if 'lr-0.002 ' in f'{line} '
  ][-2:]
  folder = f'--workdir={tmp_path}/runs/lr-0.002'
  for word in ('--config.optim.lr=0.002', folder, f'--config={QUICK}'):
    assert word in trained
  assert f'{folder}/readouts/depth-world-2' in tested
  assert f'--checkpoint={tmp_path}/runs/lr-0.002' in tested
  for line in (trained, tested):
    assert '--config.log.wandb_group=runs' in line
    assert '--config.log.wandb=offline' in line
  assert not (tmp_path / 'runs').exists()


def test_a_run_starts_from_the_folder_of_one_before_it(sweep, tmp_path):
  teacher = {'name': 'teacher', 'seed': 1}
  student = {'name': 'b', 'init_from.path': {'run': 'teacher'}}
  done = sweep([teacher, student], '--dry_run')
  assert done.returncode == 0, done.stderr
  last = done.stdout.splitlines()[-1]
  assert f'--config.init_from.path={tmp_path}/runs/teacher ' in last


def test_a_folder_is_of_one_sweep_at_a_time_and_of_no_other(sweep, tmp_path):
  (tmp_path / 'runs').mkdir()
  with files.lock(tmp_path / 'runs/claim'):
    done = sweep(RATES)
    assert done.returncode == 1
    assert 'is being swept by process' in done.stderr
  (tmp_path / 'runs/sweep.json').write_text('{"config": "x.py", "sweep": "y"}')
  done = sweep(RATES)
  assert done.returncode == 1
  assert "is of sweep 'y' of x.py, not of" in done.stderr
  assert not list((tmp_path / 'runs').glob('lr-*'))
