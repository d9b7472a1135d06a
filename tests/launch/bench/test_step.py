import subprocess
import sys

import pytest


@pytest.mark.slow
def test_bench_prints_what_the_step_alone_can_do(tiny_config):
  model = tiny_config()['model']
  overrides = [
    f'--config.model.{key}={model[key]}'
    for key in ('dim', 'depth', 'mlp', 'heads', 'frames', 'height', 'width')
  ]
  done = subprocess.run(
    [
      *(sys.executable, '-m', 'launch.bench', '--steps=2'),
      '--config=configs/quickstart.py',
      '--config.data.batch_size=8',
      '--config.model.patch=(2,4,8)',
      '--config.model.output_patch=(4,8,8)',
      *overrides,
    ],
    capture_output=True,
    text=True,
    check=True,
  )
  assert 'ms a step of 8 clips' in done.stdout
  assert 'model TFLOP/s per chip' in done.stdout
