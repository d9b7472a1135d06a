"""From nothing to a job on all hosts, and back: real gcloud, ssh, processes.

What trains there, and goes on, is in `python -m launch.drill pod`.
"""

import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

from launch.drill.cloud.cloud import PROJECT, ZONE

ROOT = pathlib.Path(__file__).resolve().parents[3]
LONG = 900.0  # seconds, of a busy machine
# Until it is told to stop; then it saves.
JOB = (
  'trap "echo saved; exit 75" TERM; echo attempt $SCALE4D_ATTEMPT of '
  'process $JAX_PROCESS_ID; while true; do sleep 0.1; done'
)


class Laptop:
  """Where `launch.tpu` runs."""

  def __init__(self, folder, cloud):
    self.folder, self.cloud = folder, cloud
    folder.mkdir()
    self.log = folder / 'launcher.log'

  def words(self, verb, *flags):
    words = [sys.executable, '-m', 'launch.tpu', verb, '--name=q']
    return [*words, '--poll_sec=1', *flags]

  def options(self):
    environment = {**os.environ, 'PYTHONPATH': str(ROOT)}
    return {'cwd': self.folder, 'env': environment}

  def start(self, *flags, job=JOB):
    with open(self.log, 'a') as log:
      return subprocess.Popen(
        self.words(
          'start',
          *('--type=v5p-16', '--slices=2', f'--zone={ZONE}', '--spot'),
          *(f'--project={PROJECT}', f'--python={sys.executable}'),
          *(f'--ssh_port={self.cloud.hosts.port}', '--join=addresses'),
          *('--grace_sec=2', *flags, '--', 'bash', '-c', job),
        ),
        stdout=log,
        stderr=log,
        start_new_session=True,
        **self.options(),
      )

  def tell(self, verb, *flags):
    """Exit code, and what it prints."""
    done = subprocess.run(
      self.words(verb, *flags),
      stdout=subprocess.PIPE,
      stderr=subprocess.STDOUT,
      text=True,
      **self.options(),
    )
    return done.returncode, done.stdout

  def status(self):
    code, said = self.tell('status', '--json')
    assert code == 0, said
    return json.loads(said)

  def until(self, text):
    """Waits for what the launcher says."""
    end = time.monotonic() + LONG
    while text not in self.log.read_text():
      assert time.monotonic() < end, self.log.read_text()
      time.sleep(0.2)


@pytest.fixture
def laptop(tmp_path, cloud):
  return Laptop(tmp_path / 'laptop', cloud)


@pytest.mark.drill
def test_start_status_a_killed_host_logs_and_stop(laptop, cloud):
  launcher = laptop.start()
  laptop.until('attempt 1 runs on 4 hosts')
  found = laptop.status()
  assert (found['machines'], found['attempt']) == ('ACTIVE', 1)
  assert found['hosts'] == {f'{n}': 'running' for n in range(4)}
  laptop.until('[0] attempt 1 of process 0')

  home = [*cloud.hosts.homes.values()][2]
  child = home / 'scale4d' / 'q' / 'attempts' / '1' / 'child'
  os.killpg(json.loads(child.read_text())['pid'], signal.SIGKILL)
  laptop.until('attempt 2 runs on 4 hosts')
  said = laptop.log.read_text()
  assert 'host 2 (slice 1, worker 0, ' in said
  assert 'attempt 1: process 2 ended with 137 (SIGKILL)' in said
  # Those that went on have saved: nobody killed them.
  assert '[0] saved' in said
  found = laptop.status()
  assert (found['attempt'], found['restarts']) == (2, 1)
  code, log = laptop.tell('logs', '--host=3')
  assert (code, log) == (0, 'attempt 2 of process 3\n')
  code, log = laptop.tell('logs', '--host=4')
  assert code == 1
  assert 'expected one of 0 to 3' in log

  # Another one of that name would restart what this one restarts.
  again = laptop.start()
  assert again.wait(LONG) == 1
  assert 'is followed by process' in laptop.log.read_text()

  code, said = laptop.tell('stop')
  assert code == 0, said
  assert 'attempt 2: 4 hosts have ended it with 75' in said
  assert launcher.wait(LONG) == 75
  assert not cloud.api.resources
  assert not cloud.hosts.homes
  assert laptop.status()['machines'] == 'not there'
