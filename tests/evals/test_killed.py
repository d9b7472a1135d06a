"""`kill -9` of whole processes: the same command again, the same numbers."""

import json
import shutil
import subprocess
import sys
import time

import pytest

from configs import quickstart
from train import workdir

pytestmark = pytest.mark.slow


@pytest.fixture(scope='module')
def run(tiny_config, tmp_path_factory):
  """A finished pretraining run of three steps."""
  folder = tmp_path_factory.mktemp('killed') / 'run'
  recipe = workdir.flatten(quickstart.get_config().to_dict())
  wanted = workdir.flatten(tiny_config(steps=3))
  command = [
    *(sys.executable, '-m', 'train', '--config=configs/quickstart.py'),
    f'--workdir={folder}',
    *(f'--config.{k}={v}' for k, v in wanted.items() if v != recipe[k]),
  ]
  subprocess.run(command, check=True)
  return folder


def job(run, out, cache):
  """The command of a job of three tasks, two rates and cached features."""
  recipe = f'task=depth+points+classify,steps=12,lr=1e-3+1e-2,cache={cache}'
  return [
    *(sys.executable, '-m', 'evals', f'--config=configs/readout.py:{recipe}'),
    *(f'--checkpoint={run}', f'--workdir={out}'),
    *('--config.data.batch_size=8', '--config.optim.warmup_fraction=0.25'),
    *('--config.log.tensorboard=False', '--config.checkpoint.every=3'),
    '--config.eval.every=0',
  ]


def kill_when(command, reached):
  """Runs a command, and kills it as soon as `reached()`; True if it was."""
  with subprocess.Popen(command) as process:
    try:
      deadline = time.monotonic() + 300
      while not reached():
        assert time.monotonic() < deadline
        if process.poll() is not None:
          assert process.returncode == 0
          return False
        time.sleep(0.01)
    finally:
      process.kill()
  return True


def test_a_killed_job_ends_with_the_same_numbers(run, tmp_path):
  whole, out = tmp_path / 'whole', tmp_path / 'out'
  cache = tmp_path / 'cache'
  subprocess.run(job(run, whole, cache), check=True)
  shutil.rmtree(cache)
  command = job(run, out, cache)
  # While it runs the backbone, then with one checkpoint, then after the last.
  assert kill_when(command, lambda: any(cache.glob('*/*')))
  for step in (3, 12):
    assert kill_when(command, (out / 'checkpoints' / str(step)).exists)
    assert not (out / 'result.json').exists()
  subprocess.run(command, check=True)
  first, second = (
    json.loads((folder / 'result.json').read_text()) for folder in (whole, out)
  )
  assert first['tasks'] == second['tasks']
  assert first == second


def test_a_killed_report_is_whole_when_run_again(run, tmp_path):
  (tmp_path / 'run').symlink_to(run)
  run = tmp_path / 'run'
  subprocess.run(job(run, run / 'readouts' / 'all', ''), check=True)

  def report(out):
    return [sys.executable, '-m', 'evals.report', str(run), f'--out={out}']

  fresh, cut = tmp_path / 'fresh', tmp_path / 'cut'
  subprocess.run(report(fresh), check=True)
  for pattern in ('*', '*.png'):
    assert kill_when(
      report(cut), lambda pattern=pattern: any(cut.glob(pattern))
    )
  subprocess.run(report(cut), check=True)
  assert {p.name for p in cut.iterdir()} == {p.name for p in fresh.iterdir()}
  for path in fresh.glob('*.csv'):
    assert (cut / path.name).read_text() == path.read_text()
