"""Runs at once beside a recipe alone."""

import pytest

from tests import commands


@pytest.mark.slow
def test_each_model_of_a_sweep_and_the_whole_have_a_line(tmp_path):
  path = tmp_path / 'sweep_mine.py'
  run = {'config': 'configs/quickstart.py:steps=3', 'model.depth': 2}
  made = [{**run, 'model.dim': 64, 'seed': 0}, {**run, 'model.dim': 64}]
  path.write_text(f'def sweep(): return {made}')
  done = commands.run(
    'launch.bench.together',
    *(f'--config={path}', '--rounds=1', '--seconds=1'),
  )
  assert done.returncode == 0, done.stderr
  head, one, whole = done.stdout.strip().splitlines()[-3:]
  assert head.split()[0] == 'run'
  # Of one model, the whole is as fast as it.
  assert one.split()[-1] == whole.split()[-1]
