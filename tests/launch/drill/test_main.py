"""Drills of launchers: each is played whole, and fails where it must."""

import subprocess
import sys

import pytest

from launch import emulator
from launch.drill import play, slurm_of_one
from launch.drill.cloud import cloud


def drill(*words):
  return subprocess.run(
    [sys.executable, '-m', 'launch.drill', *words],
    capture_output=True,
    text=True,
    timeout=3600,
  )


@pytest.mark.drill
def test_the_drill_of_one_machine(tmp_path):
  run = drill('local', f'--folder={tmp_path}')
  assert run.returncode == 0, run.stdout + run.stderr
  assert run.stdout.endswith('-- all checks are right\n')


@pytest.mark.drill
def test_the_drill_of_damage(tmp_path):
  run = drill('damage', f'--folder={tmp_path}', '--flips=50')
  assert run.returncode == 0, run.stdout + run.stderr
  assert run.stdout.endswith('-- all checks are right\n')


@pytest.mark.drill
def test_the_drill_of_stops(tmp_path):
  run = drill('stops', f'--folder={tmp_path}')
  assert run.returncode == 0, run.stdout + run.stderr
  assert run.stdout.endswith('-- all checks are right\n')


@pytest.mark.drill
def test_the_drill_of_a_sweep(tmp_path):
  run = drill('sweep', f'--folder={tmp_path}')
  assert run.returncode == 0, run.stdout + run.stderr
  assert run.stdout.endswith('-- all checks are right\n')


@pytest.mark.drill
def test_the_drill_of_a_cluster(tmp_path):
  why = slurm_of_one.missing()
  if why:
    pytest.skip(why)
  run = drill('slurm', f'--folder={tmp_path}')
  assert run.returncode == 0, run.stdout + run.stderr
  assert run.stdout.endswith('-- all checks are right\n')


@pytest.mark.drill
def test_the_drill_of_a_pod(tmp_path):
  why = cloud.missing() or emulator.missing()
  if why:
    pytest.skip(why)
  run = drill('pod', f'--folder={tmp_path}')
  assert run.returncode == 0, run.stdout + run.stderr
  assert run.stdout.endswith('-- all checks are right\n')


def test_an_unknown_drill_is_one_line():
  run = drill('locall')
  assert run.returncode == 1
  assert "did you mean 'local'?" in run.stderr


def test_what_is_not_as_promised_fails():
  with pytest.raises(ValueError, match='it is done; found 75'):
    play.check('it is done', False, 75)
  with pytest.raises(ValueError, match='step 3: not so after 0 s'):
    play.wait('step 3', lambda: False, 0.2)
