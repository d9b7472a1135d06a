"""Whole processes: killed at any moment, or several of them on one run."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time

import pytest

from base import exits
from configs import quickstart
from train import workdir as workdir_lib
from train.processes import cluster

STEPS = 40
JOIN = """
from train import processes
processes.join('', start_sec=100, silent_sec=60, meet_sec=100)
import jax
from base import console
console.say(f'{jax.process_count()} processes')
"""


def free_port():
  with socket.socket() as free:
    free.bind(('localhost', 0))
    return free.getsockname()[1]


PORT = free_port()


def join(*tasks):
  """What processes say that join, or do not; one for each environment."""
  # Of a scheduler that these tests may run under, nothing.
  bare = {
    k: v for k, v in os.environ.items() if not k.startswith(('SLURM', 'JAX'))
  }
  runs = [
    subprocess.Popen(
      [sys.executable, '-c', JOIN],
      env=bare | {'JAX_PLATFORMS': 'cpu'} | task,
      stdout=subprocess.PIPE,
      stderr=subprocess.PIPE,
      text=True,
    )
    for task in tasks
  ]
  said = [run.communicate(timeout=120) for run in runs]
  return [(run.returncode, *each) for run, each in zip(runs, said)]


def slurm(task, tasks=2):
  """What srun sets for one of its tasks on this machine."""
  return {
    'SLURM_JOB_ID': '4711',
    'SLURM_STEP_NODELIST': 'localhost',
    'SLURM_NTASKS': str(tasks),
    'SLURM_PROCID': str(task),
    'SLURM_LOCALID': str(task),
    'JAX_COORDINATOR_PORT': str(PORT),
  }


def test_tasks_of_slurm_are_one_run():
  """They were as many whole runs in one folder."""
  found = join(slurm(0), slurm(1))
  assert [code for code, _, _ in found] == [0, 0], found
  (_, first, _), (_, second, _) = found
  for number, said in enumerate((first, second)):
    came, joined, *_ = said.splitlines()
    host = socket.gethostname()
    assert came == f'{host} joins the others of several processes'
    assert joined.startswith(f'process {number} of 2 on {host}: ')
    assert 'joined by slurm' in said
  # One line is said once.
  assert first.count('2 processes') == 1
  assert '2 processes' not in second


def test_a_single_task_of_slurm_is_a_run_by_itself():
  ((code, said, _),) = join(slurm(0, tasks=1))
  assert (code, said) == (0, '1 processes\n')


@pytest.mark.parametrize(
  'started',
  [
    {'SLURM_NTASKS': '4', 'SLURM_JOB_ID': '4711'},  # a batch script, no srun
    {'OMPI_COMM_WORLD_SIZE': '4'},
    {'TPU_WORKER_HOSTNAMES': 'a,b,c,d'},
  ],
)
def test_one_process_where_several_were_started_is_refused(started):
  ((code, _, said),) = join(started)
  assert code
  assert 'says that 4 processes were started, but this one is alone' in said


@pytest.mark.parametrize(
  ('environment', 'taken'),
  [
    # The only task of its node has all; else each the one that JAX takes.
    ({'SLURM_STEP_TASKS_PER_NODE': '1(x2)', 'SLURM_GPUS_ON_NODE': '4'}, 4),
    ({'SLURM_STEP_TASKS_PER_NODE': '4(x2)', 'SLURM_GPUS_ON_NODE': '4'}, None),
    # --gpus-per-task shows each its own, which is number 0 to all of them.
    ({'SLURM_STEP_TASKS_PER_NODE': '4', 'CUDA_VISIBLE_DEVICES': '3'}, 1),
    ({'SLURM_STEP_TASKS_PER_NODE': '1'}, None),  # no GPUs
  ],
)
def test_a_task_of_slurm_has_the_gpus_that_are_its_own(
  environment, taken, monkeypatch
):
  for name in ('SLURM_STEP_TASKS_PER_NODE', 'SLURM_GPUS_ON_NODE'):
    monkeypatch.delenv(name, raising=False)
  monkeypatch.delenv('CUDA_VISIBLE_DEVICES', raising=False)
  for name, value in environment.items():
    monkeypatch.setenv(name, value)
  found = cluster.gpus_of_task()
  assert found == (None if taken is None else list(range(taken)))


def test_who_waits_says_for_what(monkeypatch, capfd):
  """One host of a pod, on which alone the command was started."""
  line = """
import threading, time
from train import processes
from train.processes import meetings
meetings._BETWEEN_LINES = 0.2
processes.join('', start_sec=2, silent_sec=2, meet_sec=2)
"""
  environment = {
    'JAX_COORDINATOR_ADDRESS': f'localhost:{free_port()}',
    'JAX_NUM_PROCESSES': '4',
    'JAX_PROCESS_ID': '0',
  }
  done = subprocess.run(
    [sys.executable, '-c', line],
    env=os.environ | {'JAX_PLATFORMS': 'cpu'} | environment,
    capture_output=True,
    text=True,
    timeout=120,
  )
  assert done.returncode  # JAX aborts
  said = done.stdout.splitlines()[1]
  assert said.startswith(f'{socket.gethostname()} waits since ')
  assert 'for the others of 4 processes' in said
  assert 'start the same command on every host' in said


MEET = """
from train import processes
from train.processes import meetings
meetings._BETWEEN_LINES = 0.5
processes.join('', start_sec=100, silent_sec=100, meet_sec=3)
import jax, os, time
word = str(jax.process_index())
print(processes.agree('share', word, ' before '.join), flush=True)
from train.processes import alike
same = {'steps': 7, 'data': {'keys': ('video',)}}
alike.check(same)
try:
  alike.check({**same, 'optim': {'lr': 0.1 * jax.process_index()}})
except ValueError as error:
  print(error, flush=True)
processes.meet('restore')
from train.watchdog import Watchdog
watchdog = Watchdog(tell_sec=0.2, limit_sec=0.0)
watchdog.__enter__()
if jax.process_index() == 0:
  watchdog.now('step 7')
  try:
    processes.meet('first step')
  except TimeoutError as error:
    print(error, flush=True)
  os._exit(70)
watchdog.now('the data of step 8', lambda: 'record 7')
time.sleep(600)
"""


def test_who_does_not_come_is_named():
  port = free_port()
  runs = [
    subprocess.Popen(
      [sys.executable, '-c', MEET],
      env=os.environ
      | {
        'JAX_PLATFORMS': 'cpu',
        'JAX_COORDINATOR_ADDRESS': f'localhost:{port}',
        'JAX_NUM_PROCESSES': '2',
        'JAX_PROCESS_ID': str(process),
      },
      stdout=subprocess.PIPE,
      stderr=subprocess.DEVNULL,
      text=True,
    )
    for process in range(2)
  ]
  said = runs[0].communicate(timeout=120)[0]
  runs[1].kill()
  # The first one has decided for both.
  assert '0 before 1\n' in said
  other = runs[1].communicate()[0]
  assert '0 before 1\n' in other
  # Who has another config says in which key, and all end.
  differs = f'process 1 on {socket.gethostname()} differs from process 0'
  assert f'{differs}: config.optim.lr is 0.1 here, 0.0 there. Start' in other
  assert '1 of 2 processes have another config' in said
  late = f'process 1 on {socket.gethostname()}'
  assert f'before the first step for {late}\n' in said
  assert f'{late} did not come to the first step within 3s' in said
  assert 'before the restore' not in said
  # Who is stuck learns where the others are.
  there = f'{late} is at the data of step 8 since [0-2]s: it waits for record 7'
  assert re.search(f'process 0 .*is at step 7 since [0-3]s; {there}', said)


@pytest.mark.slow
@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGINT])
def test_all_processes_of_a_stopped_run_say_so(tiny_config, tmp_path, number):
  """A scheduler that signals one host starts all of them again."""
  changes = {'mesh.replica': 2, 'mesh.fsdp': 4, 'mesh.tensor': 1}
  # No checkpoint is due before the signal: the one that is there is its own.
  changes |= {'steps': 10_000, 'checkpoint.every': 10_000}
  line = command(tiny_config, tmp_path, **changes)
  port = free_port()
  runs = [
    subprocess.Popen(
      line,
      env=os.environ
      | {
        'JAX_COORDINATOR_ADDRESS': f'localhost:{port}',
        'JAX_NUM_PROCESSES': '2',
        'JAX_PROCESS_ID': str(process),
        'XLA_FLAGS': '--xla_force_host_platform_device_count=4',
      },
    )
    for process in range(2)
  ]
  deadline = time.monotonic() + 300
  while not losses(tmp_path) if (tmp_path / 'metrics.jsonl').exists() else True:
    assert time.monotonic() < deadline
    time.sleep(0.1)
  runs[1].send_signal(number)
  assert [run.wait(timeout=300) for run in runs] == [exits.AGAIN] * 2
  (saved,) = (tmp_path / 'checkpoints').iterdir()
  assert int(saved.name) > 0


def command(tiny_config, workdir, **changes):
  """The command line of a tiny run."""
  recipe = workdir_lib.flatten(quickstart.get_config().to_dict())
  wanted = workdir_lib.flatten(tiny_config(**changes))
  overrides = [
    f'--config.{key}={value}'
    for key, value in wanted.items()
    if value != recipe[key]
  ]
  recipe = '--config=configs/quickstart.py'
  return [
    *(sys.executable, '-m', 'train', recipe, f'--workdir={workdir}'),
    *overrides,
  ]


def samples(workdir):
  lines = map(json.loads, (workdir / 'metrics.jsonl').read_text().splitlines())
  return {x['step']: x['data/samples'] for x in lines if 'train/loss' in x}


def losses(workdir):
  lines = (workdir / 'metrics.jsonl').read_text().splitlines()
  lines = [json.loads(line) for line in lines]
  return {
    line['step']: line['train/loss'] for line in lines if 'train/loss' in line
  }


@pytest.mark.slow
def test_a_killed_run_goes_on_to_the_same_numbers(tiny_config, tmp_path):
  changes = {'steps': STEPS, 'data.workers': 2, 'checkpoint.every': 5}
  subprocess.run(
    command(tiny_config, tmp_path / 'whole', **changes), check=True
  )
  workdir = tmp_path / 'cut'
  for _ in range(2):
    run = subprocess.Popen(command(tiny_config, workdir, **changes))
    before = len(list(workdir.glob('checkpoints/[0-9]*')))
    deadline = time.monotonic() + 120
    while len(list(workdir.glob('checkpoints/[0-9]*'))) <= min(before, 2):
      assert time.monotonic() < deadline
      assert run.poll() in (None, 0)
      if run.poll() == 0:
        break
    run.send_signal(signal.SIGKILL)
    run.wait()
  subprocess.run(command(tiny_config, workdir, **changes), check=True)
  assert losses(workdir) == losses(tmp_path / 'whole')


def in_two_processes(line):
  """Runs a command as two processes of four devices; what they print."""
  port = free_port()
  runs = []
  for process in range(2):
    environment = os.environ | {
      'JAX_COORDINATOR_ADDRESS': f'localhost:{port}',
      'JAX_NUM_PROCESSES': '2',
      'JAX_PROCESS_ID': str(process),
      'XLA_FLAGS': '--xla_force_host_platform_device_count=4',
    }
    runs.append(
      subprocess.Popen(line, env=environment, stdout=subprocess.PIPE, text=True)
    )
  said = [run.communicate(timeout=1500)[0] for run in runs]
  assert [run.returncode for run in runs] == [0, 0]
  return ''.join(said)


@pytest.mark.slow
def test_two_processes_are_one_run(tiny_config, tmp_path):
  changes = {'mesh.replica': 2, 'mesh.fsdp': 4, 'mesh.tensor': 1}
  subprocess.run(command(tiny_config, tmp_path / 'one', **changes), check=True)
  workdir = tmp_path / 'two'
  line = command(tiny_config, workdir, **changes, **{'compile.keep': True})
  # A step that another test has left in JAX's cache would not be kept.
  line.append(f'--compilation_cache={tmp_path}/cache')
  in_two_processes(line)
  one, two = losses(tmp_path / 'one'), losses(workdir)
  assert two == pytest.approx(one, abs=1e-5)
  assert samples(workdir) == samples(tmp_path / 'one')
  # Both go on with the step that the first has saved, and from the checkpoint
  # that is whole, though only one of them has looked at the lost file.
  (lost, *_) = (workdir / 'checkpoints/6').rglob('ocdbt.process_1/d/*')
  lost.unlink()
  said = in_two_processes(line)
  assert 'compiled step is loaded' in said
  assert said.count(f'6 is DAMAGED: default/ocdbt.process_1/d/{lost.name}') == 1
  assert 'goes on at step 3' in said
  assert losses(workdir) == two
