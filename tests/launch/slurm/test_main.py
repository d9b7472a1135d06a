"""Jobs of a real Slurm, from start to end."""

import os
import re
import shlex
import subprocess
import sys
import textwrap
import time

import pytest

from launch import policy
from launch.drill import slurm_of_one
from launch.slurm import calls, state
from launch.slurm.record import Record
from tests import commands

LONG = 600  # seconds, of a busy machine
HEAD = """
import os, pathlib, signal, sys, time
here = pathlib.Path(sys.argv[1])
task = int(os.environ['SLURM_PROCID'])
attempt = int(os.environ['SCALE4D_ATTEMPT'])
print(f'task {task} of start {attempt}', flush=True)
"""
# Saves when it is told to stop: task 1 takes its time.
SAVES = """
def save(*_):
  time.sleep(2 * task)
  (here / f'saved-{task}').touch()
  os._exit(75)
signal.signal(signal.SIGTERM, save)
(here / f'up-{task}-{attempt}').touch()
if attempt == 1:
  time.sleep(600)
"""


class Job:
  """`python -m launch.slurm` of one name."""

  def __init__(self, folder):
    self.folder = folder
    self.logs = folder / 'my logs'

  def call(self, verb, *words):
    """Exit code and lines of a word."""
    done = commands.run(
      *('launch.slurm', verb, '--name=a-job', f'--logs={self.logs}', *words)
    )
    return done.returncode, (done.stdout + done.stderr).splitlines()

  def start(self, script, *flags):
    """Starts a script in two tasks."""
    file = self.folder / 'script.py'
    file.write_text(HEAD + textwrap.dedent(script))
    code, said = self.call(
      'start',
      *('--tasks_per_node=2', '--time=20', *flags, '--'),
      *('python', f'{file}', f'{self.folder}'),
    )
    assert code == 0, said
    return self.record

  @property
  def record(self):
    return Record.read(self.logs)

  def state(self):
    """As Slurm has it. A requeued job does not wait its two minutes."""
    slurm_of_one.hurry(self.record.job)
    return state.of(self.record)[0]

  def until(self, *names):
    """Waits for files of the script."""
    wait(
      lambda: self.state() and all((self.folder / n).exists() for n in names)
    )

  def end(self, told):
    """State after the last start, and how each ended that could tell."""
    # For a moment a job that goes back into the queue is one that failed.
    wait(
      lambda: (
        self.state() in ('COMPLETED', 'FAILED', 'TIMEOUT')
        and len(self.record.ends()) == told
      )
    )
    return self.state(), [
      (end['code'], end['counts']) for end in self.record.ends()
    ]

  def log(self, task):
    return self.record.log(task).read_text()


def wait(condition):
  deadline = time.monotonic() + LONG
  while not condition():
    assert time.monotonic() < deadline
    time.sleep(0.1)


@pytest.fixture
def job(slurm, tmp_path):
  made = Job(tmp_path)
  yield made
  if (made.logs / 'job.json').exists():
    subprocess.run(['scancel', made.record.job], check=True)
    wait(lambda: made.state() not in ('RUNNING', 'COMPLETING', 'PENDING'))


@pytest.mark.slow
def test_a_stop_after_a_save_goes_back_into_the_queue(job):
  """However much later the other task has saved."""
  job.start(SAVES, '--max_restarts=0')
  job.until('up-0-1', 'up-1-1')
  subprocess.run(
    ['scancel', '--signal=TERM', job.record.job], check=True
  )  # as Slurm does before the time limit
  now, ends = job.end(told=2)
  assert (now, ends) == ('COMPLETED', [(75, False), (0, False)])
  assert (job.folder / 'saved-1').exists()
  assert state.code(job.record) == 0
  # One log of all starts.
  for task in (0, 1):
    said = re.findall(f'task {task} of start .', job.log(task))
    assert said == [f'task {task} of start 1', f'task {task} of start 2']
  code, said = job.call('status')
  assert code == 0
  assert 'state    ended: done (exit code 0)' in said
  assert 'start 1  ended: saved and stopped, goes on' in said
  # Slurm forgets jobs in minutes.
  record = job.record
  Record(record.folder, '4711', record.tasks, record.command).write()
  said = job.call('status')[1]
  record.write()
  assert 'state    unknown: Slurm has forgotten' in '\n'.join(said)


@pytest.mark.parametrize(
  ('now', 'last', 'code'),
  [
    ('PENDING', 75, None),
    ('FAILED', 75, None),  # for a moment, on its way into the queue
    ('', 0, 0),  # forgotten, and told
    ('NODE_FAIL', 75, 134),
    ('TIMEOUT', 75, 124),
  ],
)
def test_who_waits_for_a_job_knows_its_end(
  tmp_path, monkeypatch, now, last, code
):
  record = Record(tmp_path, '7', 1, 'python')
  record.own.mkdir()
  ended = [(0, last)]
  record.add_end(1, policy.verdict(ended, restarts=0, max_restarts=1))
  monkeypatch.setattr(
    calls, 'find', lambda job: {'JobState': now} if now else {}
  )
  assert state.code(record) == code


@pytest.mark.slow  # Slurm's own pauses
def test_crashes_are_counted_and_peers_do_not_live_on(job):
  job.start(
    """
    if task == 1:
      os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(600)
    """,
    '--max_restarts=1',
  )
  now, ends = job.end(told=2)
  assert (now, ends) == ('FAILED', [(137, True), (137, True)])
  assert 'process 1 ended with 137 (SIGKILL)' in job.log(0)
  assert '1 of --max_restarts=1 are used up' in job.log(0)


def test_wrong_input_does_not_go_back(job):
  job.start('sys.exit("no such recipe")')
  assert job.end(told=1) == ('FAILED', [(1, False)])
  said = job.call('status')[1]
  assert 'wrong input or a failed check' in '\n'.join(said)
  code, said = job.call('logs', '--task=1')
  assert code == 0
  assert said == ['task 1 of start 1', 'no such recipe']
  code, said = job.call('logs', '--task=2')
  assert code == 1
  assert 'has 2, from 0' in said[0]


def test_stop_waits_for_the_save_and_is_the_end(job):
  job.start(SAVES)
  job.until('up-0-1', 'up-1-1')
  assert 'RUNNING start 1 on localhost' in '\n'.join(job.call('status')[1])
  assert state.code(job.record) is None
  # Of one name one job.
  code, said = job.call('start', '--time=20', '--', 'python', '-c', 'pass')
  assert code == 1
  assert 'of this name goes on' in said[0]
  code, said = job.call('stop')
  assert code == 0
  assert said[-1] == f'job {job.record.job}: stopped'
  assert (job.folder / 'saved-1').exists()
  assert job.end(told=1) == ('FAILED', [(75, False)])
  assert state.code(job.record) == 75


@pytest.mark.slow
def test_who_waits_sees_the_log_and_gets_the_code(job):
  """Also with a job that another has started."""
  record = job.start(SAVES)
  job.until('up-0-1', 'up-1-1')
  waiting = subprocess.Popen(
    [
      *(sys.executable, '-m', 'launch.slurm', 'start', '--name=a-job'),
      *(f'--logs={job.logs}', '--tasks_per_node=2', '--time=20', '--wait'),
      *('--poll_sec=0.5', '--', *shlex.split(record.command)),
    ],
    stdout=subprocess.PIPE,
    text=True,
  )
  try:
    for line in waiting.stdout:
      if 'RUNNING' in line:
        break
    calls.call('scancel', '--signal=TERM', record.job)
    for line in waiting.stdout:
      if 'BeginTime' in line:
        break
    job.until('up-0-2', 'up-1-2')
    said = waiting.communicate(timeout=LONG)[0]
  finally:
    waiting.kill()
    waiting.communicate()
  assert waiting.returncode == 0
  assert job.record.job == record.job
  assert 'task 0 of start 2\n' in said
  assert said.endswith(f'job {record.job} ended: 0\n')


def test_stop_now_does_not_wait(job):
  job.start('time.sleep(600)')
  code, said = job.call('stop', '--now')
  assert (code, said[-1]) == (0, f'job {job.record.job} is cancelled')
  wait(lambda: job.state() == 'CANCELLED')
  assert state.code(job.record) == 130
  assert 'nothing to stop' in job.call('stop')[1][-1]


@pytest.mark.slow  # Slurm's own pauses
def test_what_slurm_requeues_itself_goes_on(job):
  """As for a job of more weight."""
  job.start(SAVES, '--max_restarts=0')
  job.until('up-0-1', 'up-1-1')
  calls.call('scontrol', 'requeue', job.record.job)
  job.until('up-0-2', 'up-1-2')
  # The script of the first start was ended with it.
  assert job.end(told=1) == ('COMPLETED', [(0, False)])
  assert (job.folder / 'saved-1').exists()


@pytest.mark.parametrize(
  ('flags', 'says'),
  [
    (['--partition=no'], 'choose a --partition that `sinfo` lists'),
    (['--time=10:00:00'], r'never start it \(Partition.* less --time'),
    (['--nodes=3'], r'never start it \(Partition.* fewer --nodes'),
    (['--gpus_per_node=1'], 'this partition has no such GPUs'),
    (['--sbatch=constraint=a100'], 'Invalid feature specification; no nodes'),
    (['--sbatch=mem=90G'], 'Memory specification can not be satisfied.*fewer'),
    (['--sbatch=no-such'], "unrecognized option '--no-such'"),
  ],
)
def test_a_refusal_is_one_line_with_a_remedy(job, flags, says):
  code, said = job.call('start', '--time=20', *flags, '--', 'python', '-V')
  assert code == 1
  (line,) = [line for line in said if not line.startswith('job ')]
  assert re.search(says, line)
  assert not calls.call('squeue', '--noheader')


def test_a_controller_that_is_restarted_is_waited_for(tmp_path, monkeypatch):
  """What it says then is that of a real one."""
  program = tmp_path / 'scontrol'
  program.write_text(f"""#!/bin/bash
    [ -e {tmp_path}/up ] && echo fine && exit 0
    touch {tmp_path}/up
    echo 'slurm_load_jobs error: Unable to contact slurm controller (connect \
failure)' >&2
    exit 1
  """)
  program.chmod(0o755)
  monkeypatch.setenv('PATH', f'{tmp_path}:{os.environ["PATH"]}')
  with pytest.raises(calls.Unreachable, match='does `sinfo` work'):
    calls.find('7')
  (tmp_path / 'up').unlink()
  words = ('scontrol', 'requeue', '7')
  assert calls.call(*words, patience_sec=60) == 'fine\n'


def test_without_slurm_it_is_one_line(tmp_path, monkeypatch):
  monkeypatch.setenv('PATH', '/nowhere')
  words = ('--time=20', '--', sys.executable, '-V')
  code, said = Job(tmp_path).call('start', *words)
  assert (code, len(said)) == (1, 1)
  assert 'sbatch is no program of this machine' in said[0]


def test_without_a_cluster_it_is_one_line(slurm, tmp_path, monkeypatch):
  if os.path.exists('/etc/slurm/slurm.conf'):
    pytest.skip('this machine is one of a cluster')
  monkeypatch.delenv('SLURM_CONF')
  words = ('--time=20', '--', sys.executable, '-V')
  code, said = Job(tmp_path).call('start', *words)
  assert (code, len(said)) == (1, 1)
  assert 'knows of no cluster' in said[0]


def test_a_recipe_that_cannot_work_is_not_handed_over(tmp_path):
  code, said = Job(tmp_path).call(
    'start',
    *('--nodes=3', '--dry_run', '--time=20', '--', 'python', '-m', 'train'),
    *('--config=configs/quickstart.py', '--config.mesh.fsdp=2'),
    '--workdir=w',
  )
  assert code == 1
  assert 'needs a multiple of 2 devices, got 3' in said[-1]


def test_a_dry_run_needs_no_cluster(tmp_path, monkeypatch):
  monkeypatch.setenv('PATH', os.path.dirname(sys.executable))
  job = Job(tmp_path)
  code, said = job.call(
    'start',
    *('--nodes=2', '--tasks_per_node=8', '--gpus_per_node=8', '--dry_run'),
    *('--time=2-00:00:00', '--partition=gpu', '--sbatch=account=me'),
    *('--plan=none', '--'),
    *('python', '-m', 'train', '--config=c', '--workdir=my runs/$HOME'),
  )
  assert code == 0
  for line in (
    '#SBATCH --account=me',
    '#SBATCH --gpus-per-node=8',
    '#SBATCH --nodes=2',
    '#SBATCH --ntasks-per-node=8',
    '#SBATCH --open-mode=append',
    '#SBATCH --partition=gpu',
    '#SBATCH --requeue',
    '#SBATCH --signal=TERM@180',
    '#SBATCH --time=2-00:00:00',
  ):
    assert line in said
  script = '\n'.join(said)
  assert "'--workdir=my runs/$HOME'" in script
  assert '--kill-on-bad-exit=1' in script
  assert 'wckey' not in script
  assert not job.logs.exists()
