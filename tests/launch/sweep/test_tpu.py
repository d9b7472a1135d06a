"""Runs on slices of TPUs: a launcher each, which goes on by itself."""

import json
import os
import pathlib
import re
import subprocess
import sys
import time

import pytest

from base import files
from launch.drill import tiny
from launch.drill.cloud.cloud import PROJECT, ZONE
from launch.sweep import stages
from launch.sweep.backends import commands, tpu
from launch.sweep.runs import Item

ROOT = pathlib.Path(__file__).resolve().parents[3]
FLAGS = ['--project=p', '--zone=z', '--spot', '--plan=none']
RECIPE = 'configs/mae.py:size=S,topology=v5e:2x4'


def made(item, flags=FLAGS, workdir='gs://bucket/Ladder'):
  backend = tpu.Tpu(flags, workdir=workdir, max_restarts=2)
  both = stages.of(
    f'{workdir}/run',
    item,
    config={'steps': 3},
    more=[],
    readouts={'configs/readout.py:task=depth,data=world': {'steps': 1}},
    workdir=workdir,
    cache='',
  )
  return backend, both


def test_a_launcher_is_given_what_is_for_its_machines():
  backend, (train, readout) = made(Item(RECIPE, {}, '', '--zone=elsewhere'))
  words = list(backend.words(train, name='size-S'))
  at = words.index('--')
  assert words[at + 1 :] == list(train.words)
  assert words[:4] == ['python', '-m', 'launch.tpu', 'start']
  ours = words[4:at]
  for flag in ('--max_restarts=2', '--topology=v5e:2x4', '--spot', '--keep'):
    assert flag in ours
  # Its own is the last, which is the one that holds.
  assert ours.index('--zone=elsewhere') > ours.index('--zone=z')
  # Nothing follows it, for which machines should be kept.
  assert '--keep' not in backend.words(readout, name='size-S')
  # Machines that are named for all take the place of the recipe's.
  backend, (train, _) = made(Item(RECIPE, {}), [*FLAGS, '--type=v5p-8'])
  assert '--topology=v5e:2x4' not in backend.words(train, name='size-S')


def test_names_are_such_as_clouds_take_and_each_its_own():
  runs = ('size-g', 'size-G', 'x' * 60, f'{"x" * 59}y', '1e19_S', 'lr-0.001')
  names = [commands.cloud_name('gs://bucket/Ladder', run) for run in runs]
  assert len(set(names)) == len(runs)
  for name in names:
    assert re.fullmatch('[a-z]([a-z0-9-]{0,30}[a-z0-9])', name)
  assert commands.cloud_name('gs://other/Ladder', 'size-g') != names[0]


def test_what_a_launcher_refuses_is_told_before_anything_starts(tmp_path):
  backend, (train, _) = made(Item(RECIPE, {}), ['--project=p', '--plan=none'])
  with pytest.raises(ValueError, match=r'^--zone must be given$'):
    backend.check(train, name='size-S')
  backend, (train, _) = made(Item(RECIPE, {}), workdir=str(tmp_path))
  with pytest.raises(ValueError, match='one that all hosts see: gs://'):
    backend.check(train, name='size-S')
  backend, (train, _) = made(Item(RECIPE, {}))
  backend.check(train, name='size-S')


SWEEP = """
def sweep():
  for seed in (0, 1):
    yield {{'config': 'configs/quickstart.py:steps={steps}', 'seed': seed}}
"""
STEPS = 60
LONG = 1800.0  # seconds, of a busy machine


@pytest.mark.drill
def test_a_killed_sweep_finds_its_runs_on_their_machines_again(
  tmp_path, cloud, object_store, bucket
):
  laptop = tmp_path / 'laptop'
  laptop.mkdir()
  (laptop / 'configs').symlink_to(ROOT / 'configs')
  (laptop / 'sweep_two.py').write_text(SWEEP.format(steps=STEPS))
  variables = {**tiny.ENVIRONMENT, **object_store}
  launch = [
    *('--type=v5litepod-4', f'--project={PROJECT}', f'--zone={ZONE}'),
    *(f'--python={sys.executable}', f'--ssh_port={cloud.hosts.port}'),
    *('--join=addresses', '--poll_sec=1', '--plan=none'),
    *(f"'--env={name}={value}'" for name, value in variables.items()),
  ]
  overrides = tiny.OVERRIDES | {'checkpoint.every': 10}
  log = tmp_path / 'sweep.log'

  def sweep():
    with open(log, 'a') as file:
      return subprocess.Popen(
        [
          *(sys.executable, '-m', 'launch.sweep', '--config=sweep_two.py'),
          *('--on=tpu', '--at_once=2', f'--workdir={bucket}'),
          *(f'--launch={" ".join(launch)}', '--'),
          *(f'--config.{name}={value}' for name, value in overrides.items()),
        ],
        cwd=laptop,
        env={**os.environ, 'PYTHONPATH': str(ROOT)},
        stdout=file,
        stderr=file,
      )

  def until(what):
    end = time.monotonic() + LONG
    while not what():
      assert time.monotonic() < end, log.read_text()
      time.sleep(0.2)

  names = ('seed-0', 'seed-1')
  process = sweep()
  until(
    lambda: (
      process.poll() is not None
      or all(stages.saved(f'{bucket}/{name}') for name in names)
    )
  )
  assert process.poll() is None, log.read_text()
  process.kill()
  process.wait()
  # It was killed, they were not.
  assert len(cloud.api.resources) == 2
  assert sweep().wait(LONG) == 0, log.read_text()
  for name in names:
    state = json.loads(files.read_bytes(f'{bucket}/{name}/state.json'))
    assert state['done'].keys() == {'train'}
    starts = files.read_bytes(f'{bucket}/{name}/environment.jsonl')
    assert len(starts.splitlines()) <= 2, log.read_text()
  table = files.read_bytes(f'{bucket}/results.csv').decode()
  assert table.count(',done,') == 2
  assert not cloud.api.resources  # all were given back
