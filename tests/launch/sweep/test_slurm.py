"""Runs in the queue of a real Slurm, which a sweep finds again."""

import subprocess
import sys
import time

import pytest

from launch.sweep.backends import slurm as slurm_lib
from launch.sweep.state import read
from tests.launch.sweep import driver

LONG = 900.0  # seconds, of a busy machine
FLAGS = ['--time=20']


def backend(folder, *flags):
  made = slurm_lib.Slurm([*FLAGS, *flags], workdir=str(folder), max_restarts=1)
  made.poll_sec = 0.2  # this controller has nobody else to answer
  return made


@pytest.mark.slow
def test_jobs_are_found_again_by_the_next_sweep(tmp_path, slurm):
  command = [sys.executable, '-m', 'tests.launch.sweep.driver']
  sweep = subprocess.Popen(
    [*command, 'slurm', str(tmp_path), '2', '0.1', '0', '1']
  )
  end = time.monotonic() + LONG
  while not (tmp_path / 'r0/steps').exists():
    assert time.monotonic() < end
    assert sweep.poll() is None
    time.sleep(0.1)
  sweep.kill()
  sweep.wait()
  made = driver.entries(tmp_path, ['0', '1'], sec=0.1)
  driver.follow(made, backend=backend(tmp_path))
  good, bad = made
  assert good.stage is None
  steps = (tmp_path / 'r0/steps').read_text().split()
  # It never stopped, and was not started again.
  assert steps == [f'{n}' for n in range(1, driver.STEPS + 1)]
  assert read(tmp_path / 'r0').attempts == 2  # its readout is the other
  assert bad.state.failed == 'train: it ends with 1'


def test_what_cannot_be_a_job_is_told_before_any_is(tmp_path, slurm):
  (entry,) = driver.entries(tmp_path, ['0'])
  with pytest.raises(ValueError, match=r'--nodes=0: 0 is not a positive'):
    backend(tmp_path, '--nodes=0').check(entry.stage, name='r0')
  # What only Slurm knows is said when it is asked, of this run alone.
  refused = backend(tmp_path, '--partition=none')
  driver.follow([entry], backend=refused)
  assert 'choose a --partition that `sinfo` lists' in entry.state.failed
