"""What runs on a host, on this one: starts, ends, and what is told of them."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

from launch import job
from launch.tpu import code

LONG = 120.0  # seconds, of a busy machine


class Host:
  """A host with a checkout, whose job is a line of bash."""

  def __init__(self, folder, line, **changes):
    self.home = folder / 'home'
    self.code = self.home / 'scale4d' / 'q' / 'code-1'
    for file in (code.ROOT / 'launch' / 'tpu' / 'host').glob('*.py'):
      self._put(f'launch/tpu/host/{file.name}', file.read_text())
    for name in ('launch', 'launch/tpu'):
      self._put(f'{name}/__init__.py', '')
    work = {
      'command': ['bash', '-c', line],
      'environment': {},
      'python': sys.executable,
      'packages': [],
      'join': 'addresses',
      'port': 1234,
      'waits': job.JOINS.pattern,
      'joined': job.JOINED.pattern,
      **changes,
    }
    self._put('.launch/job.json', json.dumps(work))
    self._put('.launch/constraints.txt', '')
    self._put('requirements.txt', '')

  def _put(self, name, text):
    path = self.code / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)

  def call(self, verb, *flags, attempt=1):
    """The answer to a verb; what `log` prints."""
    done = subprocess.run(
      [
        *(sys.executable, '-m', 'launch.tpu.host', verb),
        *(f'--attempt={attempt}', *flags),
      ],
      cwd=self.code,
      env={
        **os.environ,
        'HOME': str(self.home),
        'SSH_CONNECTION': '10.9.9.9 1 10.0.0.2 22',
      },
      capture_output=True,
      text=True,
    )
    assert done.returncode == 0, done.stderr
    if verb == 'log':
      return done.stdout
    (line,) = [x for x in done.stdout.splitlines() if x.startswith('@scale4d ')]
    return json.loads(line.removeprefix('@scale4d '))

  def start(self, attempt=1, hosts='10.0.0.1,10.0.0.2'):
    return self.call('start', f'--hosts={hosts}', attempt=attempt)

  def until(self, unit, attempt=1):
    """Its answer as soon as the job is so."""
    return wait(
      lambda: self.call('state', attempt=attempt),
      lambda found: found['unit'] == unit,
    )

  def until_line(self, is_right):
    """The last line of the log as soon as it is so."""
    return wait(lambda: self.call('state')['last'], is_right)

  def log(self):
    """Lines of the log, without their places."""
    lines = self.call('log').splitlines()
    return [line.partition(':')[2] for line in lines]

  def pid(self, name):
    path = self.code.parent / 'attempts' / '1' / name
    return json.loads(path.read_text())['pid']


def wait(look, is_right):
  end = time.monotonic() + LONG
  while not is_right(found := look()):
    assert time.monotonic() < end, found
    time.sleep(0.1)
  return found


def is_gone(pid):
  try:
    return not pathlib.Path(f'/proc/{pid}/cmdline').read_bytes()
  except OSError:
    return True


@pytest.fixture
def host(tmp_path):
  """Makes a host; at the end nothing that it started runs."""
  made = []

  def make(line, **changes):
    made.append(Host(tmp_path / f'{len(made)}', line, **changes))
    return made[-1]

  yield make
  for each in made:
    for path in each.code.parent.glob('attempts/*/*'):
      if path.name in ('pid', 'child'):
        try:
          os.killpg(json.loads(path.read_text())['pid'], signal.SIGKILL)
        except (OSError, ValueError):
          continue


def test_a_job_is_told_who_it_is_and_its_end_is_written_down(host):
  line = (
    'echo $SCALE4D_ATTEMPT $JAX_PROCESS_ID of $JAX_NUM_PROCESSES at '
    '$JAX_COORDINATOR_ADDRESS $WORD; pwd; exit 75'
  )
  one = host(line, environment={'WORD': 'a b'})
  assert one.call('state')['unit'] == 'none'
  assert one.start()['unit'] in ('running', 'ended')
  found = one.until('ended')
  assert (found['exit'], found['address']) == (75, '10.0.0.2')
  assert abs(found['time'] - time.time()) < LONG
  assert one.log() == ['1 1 of 2 at 10.0.0.1:1234 a b', str(one.code)]
  assert found['last'] == str(one.code)


@pytest.mark.parametrize(
  ('line', 'joins'),
  [
    ('reads the disk', 'no'),
    ('host joins the others of 2 processes', 'waits'),
    ('process 0 of 2 on host: 4 x TPU v5p, joined by tpu', 'yes'),
  ],
)
def test_it_is_told_whether_a_process_has_joined(host, line, joins):
  one = host(f'echo "{line}"')
  assert one.call('state')['joins'] == 'no'
  one.start()
  assert one.until('ended')['joins'] == joins


def test_where_tpus_tell_jax_nobody_else_does(host):
  one = host(
    'echo "<$JAX_COORDINATOR_ADDRESS$JAX_PROCESS_ID>"', join='metadata'
  )
  one.start()
  one.until('ended')
  assert one.log() == ['<>']


def test_a_start_that_is_repeated_starts_nothing(host):
  one = host('echo began; sleep 300')
  one.start()
  one.until_line(lambda line: line == 'began')
  child = one.pid('child')
  assert one.start()['unit'] == 'running'
  assert one.pid('child') == child
  # Nor after its end, whatever that was.
  os.kill(child, signal.SIGKILL)
  assert one.until('ended')['exit'] == 137
  assert one.start()['unit'] == 'ended'


def test_another_attempt_ends_what_is_left_of_the_last(host):
  one = host('echo began; sleep 300')
  one.start()
  one.until_line(lambda line: line == 'began')
  child = one.pid('child')
  one.start(attempt=2)
  one.until('running', attempt=2)
  wait(lambda: is_gone(child), bool)
  assert one.call('state')['unit'] in ('ended', 'killed')


def test_told_to_stop_it_saves_first(host):
  line = 'trap "echo saving; sleep 1; echo saved; exit 75" TERM; echo began; '
  one = host(line + 'while true; do sleep 0.1; done')
  one.start()
  one.until_line(lambda line: line == 'began')
  one.call('stop')
  assert one.until('ended')['exit'] == 75
  assert one.log()[-2:] == ['saving', 'saved']


def test_killed_with_what_it_has_started(host):
  one = host('trap "" TERM; sleep 305 & echo $!; wait')
  one.start()
  sleeper = int(one.until_line(str.isdigit))
  one.call('stop', '--kill')
  assert one.until('ended')['exit'] == 137
  wait(lambda: is_gone(sleeper), bool)


def test_an_end_that_nobody_could_write_down(host):
  one = host('echo began; sleep 300')
  one.start()
  one.until_line(lambda line: line == 'began')
  # As when the machine goes down.
  os.kill(one.pid('pid'), signal.SIGKILL)
  found = one.until('killed')
  assert (found['exit'], found['time']) == (137, 0.0)


def test_a_command_that_is_not_there_is_wrong_input(host):
  one = host('', command=['no-such-program', '--x'])
  one.start()
  assert one.until('ended')['exit'] == 1
  assert 'no-such-program' in one.log()[0]


def test_a_log_goes_on_at_the_place_of_its_last_line(host):
  one = host(r'printf "one\n10%%\r20%%\rdone\nthree"')
  one.start()
  one.until('ended')
  shown = one.call('log').splitlines()
  places = [int(line.partition(':')[0]) for line in shown]
  assert [line.partition(':')[2] for line in shown] == ['one', 'done', 'three']
  assert one.call('log', f'--offset={places[0]}').splitlines() == shown[1:]
  # Of the end, from the first whole line.
  assert one.call('log', '--offset=-9').splitlines() == shown[2:]


def test_what_cannot_be_installed_is_told(host):
  one = host('true', python='', packages=['./no-such-package'])
  assert one.call('prepare')['prepared'] == 'now'
  found = wait(
    lambda: one.call('state')['prepared'], lambda found: found != 'now'
  )
  assert found.startswith('failed: ')
  assert 'no-such-package' in found


def test_what_is_needed_is_installed_once(host):
  command = ['python', '-c', 'import sys; print(sys.prefix)']
  # Nothing is needed, so that no index is asked.
  one = host('', python='', command=command)
  assert one.call('prepare')['prepared'] == 'now'
  wait(lambda: one.call('prepare')['prepared'], lambda found: found == 'yes')
  one.start()
  one.until('ended')
  (prefix,) = one.log()
  assert prefix.startswith(f'{one.home}/scale4d/packages-')
