"""Processes of one machine, as the command runs them."""

import contextlib
import json
import os
import pathlib
import signal
import subprocess
import sys
import textwrap
import time

import pytest

from launch import job as job_lib

LONG = 120  # seconds, of a busy machine


class Launcher:
  """`python -m launch.local` beside this test, with a script as the command.

  The script has `number` and `attempt`, and a folder `here`.
  """

  def __init__(self, folder, script, *flags, processes=2, words=()):
    self.folder = folder
    head = """
      import os, pathlib, signal, subprocess, sys, time
      here = pathlib.Path(sys.argv[1])
      number = int(os.environ.get('JAX_PROCESS_ID', 0))
      attempt = int(os.environ['SCALE4D_ATTEMPT'])
    """
    file = folder / 'script.py'
    file.write_text(textwrap.dedent(head) + textwrap.dedent(script))
    words = words or ['python', f'{file}', f'{folder}']
    self.process = subprocess.Popen(
      [
        *(sys.executable, '-m', 'launch.local', f'--processes={processes}'),
        *(f'--logs={folder}/logs', *flags, '--', *words),
      ],
      stdout=subprocess.PIPE,
      stderr=subprocess.STDOUT,
      text=True,
      start_new_session=True,
    )

  def end(self):
    """Its code and lines."""
    said, _ = self.process.communicate(timeout=LONG)
    return self.process.returncode, said.splitlines()

  def until(self, *names):
    """Waits for files that the script writes."""
    wait(lambda: all((self.folder / name).exists() for name in names))


def wait(condition):
  deadline = time.monotonic() + LONG
  while not condition():
    assert time.monotonic() < deadline
    time.sleep(0.02)


def is_alive(pid):
  with contextlib.suppress(ProcessLookupError, FileNotFoundError):
    os.kill(pid, 0)
    return 'Z' not in pathlib.Path(f'/proc/{pid}/stat').read_text().split()[2]
  return False


@pytest.fixture
def launch(tmp_path):
  """A function that starts a launcher; none is left."""
  started = []

  def start(*args, **options):
    started.append(Launcher(tmp_path, *args, **options))
    return started[-1]

  yield start
  for each in started:
    with contextlib.suppress(ProcessLookupError):
      os.killpg(each.process.pid, signal.SIGKILL)
    each.process.stdout.close()
    each.process.wait(LONG)


def test_each_process_knows_its_place(launch, tmp_path):
  code, said = launch(
    """
    names = [n for n in os.environ if n.startswith('JAX_')]
    port = os.environ['JAX_COORDINATOR_ADDRESS'].rpartition(':')[2]
    import json
    (here / f'{number}.json').write_text(json.dumps([
      os.environ['JAX_NUM_PROCESSES'], os.environ['XLA_FLAGS'], port]))
    print('a line')
    print('an error', file=sys.stderr)
    """,
    '--devices=3',
  ).end()
  assert code == 0
  first, second = (
    json.loads((tmp_path / f'{number}.json').read_text()) for number in (0, 1)
  )
  assert first == second  # the same port
  assert first[0] == '2'
  assert first[1].endswith('--xla_force_host_platform_device_count=3')
  for number in (0, 1):
    assert f'[{number}] a line' in said
    log = tmp_path / f'logs/attempt-1/process-{number}.log'
    assert log.read_text() == 'a line\nan error\n'
  assert said[-1] == '[launch.local] done'


def test_a_bar_is_shown_by_its_last_state(launch, tmp_path):
  code, said = launch(
    r"""
    for percent in (0, 50, 100):
      sys.stdout.write(f'\r{percent}%')
      sys.stdout.flush()
    sys.stdout.write('\x1b[A\n')
    sys.stdout.write('without an end')
    """,
    processes=1,
  ).end()
  assert code == 0
  assert said[1:-1] == ['[0] 100%', '[0] without an end']
  # The log has it as it was.
  log = (tmp_path / 'logs/attempt-1/process-0.log').read_bytes()
  assert log == b'\r0%\r50%\r100%\x1b[A\nwithout an end'


def test_the_cause_is_who_failed_first_not_who_was_aborted(launch):
  code, said = launch(
    """
    if number == 2:
      sys.exit(70)
    if number == 0:
      time.sleep(0.5)
      os.abort()
    time.sleep(600)
    """,
    *('--max_restarts=0', '--grace_sec=1'),
    processes=3,
  ).end()
  assert code == 70
  assert '[launch.local] process 1 went on: told to stop' in said
  assert 'process 2 ended with 70; 0 of --max_restarts=0 are used' in said[-1]
  assert said[-1].endswith('attempt-1/process-2.log')


def test_a_crash_starts_all_again_up_to_the_limit(launch, tmp_path):
  code, said = launch(
    """
    (here / f'{number}-{attempt}').touch()
    sys.exit(number and 9)
    """,
    '--max_restarts=1',
  ).end()
  assert code == 9
  assert (tmp_path / '0-2').exists()
  assert not (tmp_path / '0-3').exists()
  assert '[launch.local] starting again in 1s' in said
  # A later launcher writes over nothing.
  assert launch('pass').end()[0] == 0
  assert (tmp_path / 'logs/attempt-3/process-0.log').exists()


def test_a_stop_after_a_save_does_not_count(launch):
  code, said = launch(
    'sys.exit(75 if attempt < 3 else 0)', '--max_restarts=0'
  ).end()
  assert code == 0
  assert sum('goes on' in line for line in said) == 2


def test_wrong_input_ends_it_at_once(launch, tmp_path):
  code, said = launch('sys.exit("no such recipe")', '--max_restarts=5').end()
  assert code == 1
  assert '[1] no such recipe' in said
  assert 'starting again would not help' in said[-1]
  assert not (tmp_path / 'logs/attempt-2').exists()


# Saves when it is told to stop, in which its worker takes part.
SAVES = """
import multiprocessing
def work(pipe, other):
  other.close()  # or its end is never seen, and this one stays
  (here / f'worker-{number}').write_text(str(os.getpid()))
  while True:
    try:
      pipe.send(pipe.recv())
    except EOFError:
      os._exit(0)
if __name__ == '__main__':
  ours, theirs = multiprocessing.Pipe()
  multiprocessing.Process(
    target=work, args=(theirs, ours), daemon=True
  ).start()
  theirs.close()
  def save(*_):
    ours.send('saved')
    assert ours.poll(100)
    (here / f'{ours.recv()}-{number}').touch()
    os._exit(75)
  signal.signal(signal.SIGTERM, save)
  while not (here / f'worker-{number}').exists():
    time.sleep(0.02)
  (here / f'up-{number}').touch()
  time.sleep(600)
"""


@pytest.mark.parametrize('how', [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_stop_is_passed_on_and_waits_for_the_save(launch, tmp_path, how):
  launcher = launch(SAVES)
  launcher.until('up-0', 'up-1')
  launcher.process.send_signal(how)
  code, said = launcher.end()
  assert code == 75
  assert (tmp_path / 'saved-0').exists()
  assert (tmp_path / 'saved-1').exists()
  assert f'[launch.local] {how.name}: passed on' in '\n'.join(said)
  # Workers that os._exit left behind.
  for number in (0, 1):
    worker = int((tmp_path / f'worker-{number}').read_text())
    wait(lambda worker=worker: not is_alive(worker))


def test_a_ctrl_c_before_there_is_anything_to_save_is_no_crash(launch):
  launcher = launch("""
    (here / f'up-{number}').touch()
    time.sleep(600)
  """)
  launcher.until('up-0', 'up-1')
  launcher.process.send_signal(signal.SIGINT)
  code, said = launcher.end()
  assert (code, said[-1]) == (
    130,
    '[launch.local] stopped by Ctrl-C before there was anything to save',
  )


def test_a_second_ctrl_c_kills(launch):
  launcher = launch("""
    signal.signal(signal.SIGTERM, lambda *_: (here / 'told').touch())
    (here / f'up-{number}').touch()
    while True:
      time.sleep(600)
  """)
  launcher.until('up-0', 'up-1')
  launcher.process.send_signal(signal.SIGINT)
  launcher.until('told')
  launcher.process.send_signal(signal.SIGTERM)  # a scheduler says it twice
  time.sleep(0.5)
  assert launcher.process.poll() is None
  launcher.process.send_signal(signal.SIGINT)
  code, said = launcher.end()
  assert (code, said[-1]) == (130, '[launch.local] killed by Ctrl-C')


def test_who_does_not_hear_is_killed(launch):
  code, _ = launch(
    """
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    (here / f'up-{number}').touch()
    while number == 0:
      time.sleep(600)
    while not (here / 'up-0').exists():
      time.sleep(0.02)
    os.kill(os.getpid(), signal.SIGKILL)
    """,
    *('--max_restarts=0', '--grace_sec=0.2'),
  ).end()
  assert code == 137


def test_where_the_launcher_is_killed_processes_save(launch, tmp_path):
  launcher = launch(SAVES)
  launcher.until('up-0', 'up-1')
  launcher.process.kill()
  launcher.until('saved-0', 'saved-1')


def test_a_reader_that_leaves_stops_nothing(launch, tmp_path):
  launcher = launch("""
    (here / f'up-{number}').touch()
    while not (here / 'go').exists():
      time.sleep(0.02)
    print('after it left')
  """)
  launcher.until('up-0', 'up-1')
  launcher.process.stdout.close()
  (tmp_path / 'go').touch()
  assert launcher.process.wait(LONG) == 0
  log = tmp_path / 'logs/attempt-1/process-1.log'
  assert log.read_text() == 'after it left\n'


def test_a_process_that_does_not_join_is_named(launch):
  code, said = launch(
    """
    if number != 1:
      print('host joins the others of 3 processes')
    else:
      print('reading the disk')
    time.sleep(600)
    """,
    *('--join_sec=3', '--max_restarts=0'),
    processes=3,
  ).end()
  assert code == 124
  (line,) = [line for line in said if 'has not joined' in line]
  assert 'process 1 has not joined after 3s: last line' in line
  assert 'reading the disk' in line
  assert 'process-1.log' in line


def test_a_command_that_joins_nobody_may_take_its_time(launch):
  code, _ = launch('time.sleep(1.5)', '--join_sec=1').end()
  assert code == 0


@pytest.mark.parametrize(
  ('words', 'says'),
  [
    (['pyton', '-m', 'train'], 'pyton is no program of this machine'),
    ([''], "'' is no program of this machine"),
    (['python', '-m', 'train'], 'has no --workdir='),
  ],
)
def test_what_cannot_start_is_one_line(launch, words, says):
  code, said = launch('', words=words).end()
  assert (code, len(said)) == (1, 1)
  assert says in said[0]


JOIN = """
import jax
from jax.experimental import multihost_utils
from train import processes
processes.join('', start_sec=100, silent_sec=100, meet_sec=100)
found = multihost_utils.process_allgather(jax.process_index())
print(found.tolist(), len(jax.local_devices()), flush=True)
"""


def test_real_processes_join(launch, tmp_path, monkeypatch):
  """Also where the web is behind a proxy, which gRPC would ask."""
  monkeypatch.setenv('http_proxy', 'http://127.0.0.1:9')
  monkeypatch.delenv('XLA_FLAGS')
  code, said = launch(
    '',
    *('--devices=2', '--max_restarts=0'),
    words=['python', '-c', JOIN],
  ).end()
  assert code == 0, said
  assert {'[0] [0, 1] 2', '[1] [0, 1] 2'} <= set(said)
  # What a launcher reads is what processes say.
  assert sum(bool(job_lib.JOINS.search(line)) for line in said) == 2
  assert sum(bool(job_lib.JOINED.search(line)) for line in said) == 2
