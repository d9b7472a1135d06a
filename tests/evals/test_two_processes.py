"""A readout on two processes tests the same clips as on one."""

import json
import os
import socket
import subprocess
import sys

import pytest

# The command, with a world of which each process meets other broken clips.
PROGRAM = """
import runpy
from data import source
from data.sources.world import source as world

read = world.World.read

def broken(self, index, rng=None):
  if self.split == 'test' and index in (1, 6, 9):
    raise source.BadRecord(f'clip {index} is broken')
  return read(self, index, rng)

world.World.read = broken
runpy.run_module('evals', run_name='__main__')
"""


@pytest.mark.slow
def test_two_processes_test_the_clips_of_one(tiny_config, tmp_path):
  run = tmp_path / 'run'
  run.mkdir()
  (run / 'config.json').write_text(json.dumps(tiny_config()))

  def start(out, **environment):
    recipe = 'task=depth+classify,steps=2,data.test_clips=11'
    line = [
      *(sys.executable, '-c', PROGRAM, f'--checkpoint={run}'),
      *(f'--config=configs/readout.py:data=world,{recipe}', '--random_init'),
      *(f'--workdir={tmp_path / out}', '--config.data.batch_size=8'),
      *('--config.mesh.fsdp=8', '--config.optim.warmup_fraction=0.25'),
      *('--config.data.workers=0', '--config.log.tensorboard=False'),
      *('--config.tasks.depth.width=16', '--config.tasks.classify.width=16'),
      *('--config.eval.every=0', '--compilation_cache='),
    ]
    return subprocess.Popen(line, env=os.environ | environment)

  assert start('one').wait(timeout=300) == 0
  with socket.socket() as free:
    free.bind(('localhost', 0))
    port = free.getsockname()[1]
  runs = [
    start(
      'two',
      JAX_COORDINATOR_ADDRESS=f'localhost:{port}',
      JAX_NUM_PROCESSES='2',
      JAX_PROCESS_ID=str(process),
      XLA_FLAGS='--xla_force_host_platform_device_count=4',
    )
    for process in range(2)
  ]
  assert [run.wait(timeout=300) for run in runs] == [0, 0]
  one, two = (
    json.loads((tmp_path / out / 'result.json').read_text())
    for out in ('one', 'two')
  )
  assert [report['record'] for report in one['refused']] == [1, 6, 9]
  assert two['left_out'] == one['left_out']
  for name, found in one['tasks'].items():
    assert two['tasks'][name]['clips'] == found['clips'] == 8
    for score, want in found['metrics'].items():
      got = two['tasks'][name]['metrics'][score]
      assert got['value'] == pytest.approx(want['value'], rel=1e-3, abs=1e-4)
