"""Each run once, whatever ends: a run, or the sweep."""

import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

import pytest

from base import exits, files
from launch import policy
from launch.sweep import stages
from launch.sweep.backends import local
from launch.sweep.state import read
from tests.launch.sweep import driver


def starts(folder, stage=''):
  path = folder / stage / 'starts'
  return len(path.read_text().split()) if path.exists() else 0


def steps(folder):
  """That were done, in order."""
  return [int(x) for x in (folder / 'steps').read_text().split()]


def until(what, seconds=300):
  """Waits for it, which is to be seen."""
  end = time.monotonic() + seconds
  while not what():
    assert time.monotonic() < end
    time.sleep(0.02)


@pytest.fixture
def sweep(tmp_path):
  """A function that starts a sweep in a process, and gives it."""
  started = []

  def start(*runs, at_once=2, sec=0.05):
    command = [sys.executable, '-m', 'tests.launch.sweep.driver']
    process = subprocess.Popen(
      [*command, 'local', str(tmp_path), str(at_once), str(sec), *runs],
      stdout=subprocess.PIPE,
      stderr=subprocess.STDOUT,
      text=True,
    )
    started.append(process)
    return process

  yield start
  for process in started:
    process.kill()
    process.communicate()


def test_runs_are_done_once_with_what_follows(tmp_path, capsys):
  driver.follow(driver.entries(tmp_path, ['0', '0', '0']))
  for number in range(3):
    folder = tmp_path / f'r{number}'
    assert starts(folder) == starts(folder, 'readouts/x') == 1
    assert read(folder).done.keys() == {'train', 'readouts/x'}
  driver.follow(driver.entries(tmp_path, ['0', '0', '0', '0']))
  assert [starts(tmp_path / f'r{number}') for number in range(4)] == [1] * 4
  assert 'r0' not in capsys.readouterr().out.partition('r3: train')[2]


@pytest.fixture
def no_pause(monkeypatch):
  """What crashed is started again at once."""
  monkeypatch.setattr(policy, 'pause', lambda restarts: 0.0)


@pytest.mark.skipif(
  not shutil.which('taskset') or len(os.sched_getaffinity(0)) < 2,
  reason='needs taskset, and two cores',
)
def test_runs_at_once_are_on_cores_of_their_own(tmp_path):
  driver.follow(driver.entries(tmp_path, ['0'] * 2, readout=False))
  first, second = (
    set(map(int, (tmp_path / name / 'cores').read_text().split(',')))
    for name in ('r0', 'r1')
  )
  assert not first & second
  assert first | second == os.sched_getaffinity(0)


def test_a_run_waits_for_the_training_of_what_it_starts_from(tmp_path, capsys):
  first, second = driver.entries(tmp_path, ['0', '0'])
  second.after = [first]
  driver.follow([first, second])
  said = capsys.readouterr().out
  assert 'r1: train, start 1' in said.partition('r0: train is done')[2]
  assert second.stage is None


def test_a_run_whose_start_failed_is_not_started(tmp_path, no_pause):
  first, second, third = driver.entries(tmp_path, ['1', '0', '0'])
  second.after, third.after = [first], [second]
  driver.follow([first, second, third])
  assert starts(tmp_path / 'r1') == starts(tmp_path / 'r2') == 0
  assert 'starts from r0, which failed' in second.state.failed
  assert 'starts from r1, which failed' in third.state.failed


def test_a_crash_is_tried_again_and_wrong_input_is_not(tmp_path, no_pause):
  runs = driver.entries(tmp_path, ['3,75,75,0', '1,0', '9', '0'])
  driver.follow(runs, max_restarts=1)
  assert [starts(tmp_path / f'r{n}') for n in range(4)] == [4, 1, 2, 1]
  first, wrong, crashes, last = runs
  assert first.stage is None
  assert last.stage is None
  assert wrong.state.failed == 'train: it ends with 1'
  assert 'process 0 ended with 9; 1 of --max_restarts=1' in crashes.state.failed
  # So it stays, until somebody wants otherwise.
  again = driver.entries(tmp_path, ['3,75,75,0', '1,0', '9', '0'])
  driver.follow(again)
  assert starts(tmp_path / 'r1') == 1
  for entry in again:
    entry.state.failed, entry.state.restarts = '', 0
  driver.follow(again)
  assert starts(tmp_path / 'r1') == 2
  assert again[1].stage is None


def test_a_run_that_leaves_nothing_is_not_done(tmp_path):
  (entry,) = driver.entries(tmp_path, ['0'])
  nothing = stages.Stage('train', entry.folder, ('true',), driver.STEPS)
  entry.stages[0] = nothing
  driver.follow([entry])
  assert 'ended with 0, but left no result' in entry.state.failed


def test_a_run_whose_last_checkpoint_is_empty_is_not_done(tmp_path):
  stage = stages.Stage('train', str(tmp_path), ('true',), driver.STEPS)
  (tmp_path / f'checkpoints/{driver.STEPS}').mkdir(parents=True)
  assert not stage.is_done()
  (tmp_path / f'checkpoints/{driver.STEPS}/digests.json').touch()
  assert stage.is_done()


def test_the_end_of_a_run_is_seen_where_it_was_not_noted(tmp_path):
  (entry,) = driver.entries(tmp_path, ['0'], readout=False)
  driver.follow([entry])
  # As if the sweep had been killed between the two.
  entry.state.done, entry.state.job = {}, {'number': 0}
  entry.note()
  (entry,) = driver.entries(tmp_path, ['0'], readout=False)
  driver.follow([entry])
  assert starts(tmp_path / 'r0') == 1
  assert read(tmp_path / 'r0').done == {'train': 0.0}
  # A note stays, also where somebody has made room.
  (tmp_path / f'r0/checkpoints/{driver.STEPS}/default').rmdir()
  driver.follow(driver.entries(tmp_path, ['0'], readout=False))
  assert starts(tmp_path / 'r0') == 1


def test_a_stopped_sweep_has_saved_and_goes_on(tmp_path, sweep):
  process = sweep('0', '0', '0')
  until(lambda: starts(tmp_path / 'r0') and starts(tmp_path / 'r1'))
  process.send_signal(signal.SIGINT)
  said, _ = process.communicate(timeout=300)
  assert process.returncode == exits.AGAIN, said
  assert 'saved and stopped' in said
  assert starts(tmp_path / 'r2') == 0
  driver.follow(driver.entries(tmp_path, ['0', '0', '0']))
  for number in range(3):
    # No step twice: it went on from what was saved.
    assert steps(tmp_path / f'r{number}') == list(range(1, driver.STEPS + 1))


@pytest.mark.skipif(sys.platform != 'linux', reason='children are tied there')
def test_a_killed_sweep_takes_its_runs_along(tmp_path, sweep):
  process = sweep('0', '0')
  until(lambda: starts(tmp_path / 'r0') and starts(tmp_path / 'r1'))
  process.kill()
  process.wait()
  for name in ('r0', 'r1'):
    until((tmp_path / name / 'at').exists)  # they save
  driver.follow(driver.entries(tmp_path, ['0', '0']))
  for name in ('r0', 'r1'):
    assert steps(tmp_path / name) == list(range(1, driver.STEPS + 1))
    # It was not the run's fault.
    assert read(tmp_path / name).restarts == 0


def test_a_run_that_another_process_is_at_is_waited_for(
  tmp_path, sweep, capsys
):
  """As one of a killed sweep, which the system did not end."""
  folder = tmp_path / 'r0'
  words = driver.entries(tmp_path, ['0'], sec=0.05)[0].stages[0].words
  folder.mkdir()
  left = subprocess.Popen(
    [sys.executable, *words[1:]], env={**os.environ, 'SCALE4D_ATTEMPT': '1'}
  )
  until((folder / 'steps').exists)
  driver.follow(driver.entries(tmp_path, ['0', '0']))
  assert left.wait() == 0
  assert starts(folder) == 1
  assert starts(folder, 'readouts/x') == 1
  assert steps(folder) == list(range(1, driver.STEPS + 1))
  assert f'process {left.pid} of' in capsys.readouterr().out


class Elsewhere(local.Local):
  """This machine, as if launchers followed jobs of others."""

  stays = True
  asked = 0

  def poll(self, job):
    self.asked += 1
    if self.asked in (2, 3):
      raise ValueError('the service does not answer')
    return super().poll(job)


def test_elsewhere_a_launcher_has_started_it_again_and_may_be_unsure(
  tmp_path, capsys
):
  made = driver.entries(tmp_path, ['75,0', '9,0', '0'])
  driver.follow(made, backend=Elsewhere(2, 0))
  # Somebody has ended it: machines are not rented again against his will.
  assert made[0].state.failed == 'train: somebody stopped it'
  assert 'ended with 9' in made[1].state.failed
  assert made[2].stage is None
  assert [starts(tmp_path / f'r{n}') for n in range(3)] == [1, 1, 1]
  said = capsys.readouterr().out
  assert said.count('does not answer; it is asked again') in (1, 2)


def test_a_second_ctrl_c_does_not_wait(tmp_path, sweep):
  # A step longer than anybody waits.
  process = sweep('0', sec=10_000)
  until((tmp_path / 'r0/steps').exists)
  process.send_signal(signal.SIGINT)
  lines = iter(process.stdout.readline, '')
  assert any('r0 save; Ctrl-C kills' in line for line in lines)
  process.send_signal(signal.SIGINT)
  process.communicate(timeout=300)
  assert process.returncode == exits.INTERRUPTED
  with files.lock(pathlib.Path(tmp_path) / 'r0/claim', wait=True) as held_by:
    assert not held_by  # nobody is left
