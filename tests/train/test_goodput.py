"""Where the time of a run went, whatever it met on its way."""

import json

import jax
import pytest

from base import files
from train import progress
from train.progress import clock as clock_lib
from train.progress import goodput as goodput_lib


class Time:
  """A clock that a test sets."""

  now = 1000.0

  def time(self):
    return self.now

  perf_counter = time


@pytest.fixture
def time(monkeypatch):
  made = Time()
  monkeypatch.setattr(clock_lib, 'time', made)
  return made


class Start:
  """A start of a run, of which a test says what takes how long."""

  def __init__(self, folder, time, imports=5.0):
    self.time = time
    time.now += imports
    self.clock = progress.Clock(imports=imports)
    self.goodput = progress.Goodput(str(folder), self.clock)
    self.step = 0

  def takes(self, part, seconds):
    with self.clock(part):
      self.time.now += seconds

  def goes_on(self, start, logged=0):
    self.step = start
    self.goodput.goes_on(start, logged, lambda: self.step)

  def steps(self, count, seconds):
    self.takes('first_step', 2.0)
    self.takes('step', (count - 1) * seconds)
    self.step += count


def test_a_bill_adds_up_over_a_kill(tmp_path, time):
  first = Start(tmp_path, time)
  first.takes('compile', 10.0)
  first.goes_on(0)
  first.steps(40, 0.5)
  first.takes('save', 1.5)
  time.now += 0.25  # which nothing tells of
  first.goodput.write()
  # Six more steps are in the log; then it is killed.
  time.now += 3.0 + 17.0
  second = Start(tmp_path, time)
  second.takes('restore', 4.0)
  second.goes_on(30, logged=46)
  second.steps(20, 0.5)
  second.takes('evaluate', 6.0)
  second.goodput.write()
  bill = progress.read(str(tmp_path))
  assert (bill.starts, bill.step, bill.redone) == (2, 50, 16)
  assert bill.buckets() == pytest.approx(
    {
      # 46 of the first start, of which 16 are trained again, and 20.
      'TOTAL': 50 * 0.5,
      'TPU_INITIALIZATION': 10.0,
      'TRAINING_PREP': 0.0,
      # What the first step of each took longer than others.
      'PROGRAM_STARTUP': 10.0 + 2 * 1.5,
      'DATA_LOADING_SYNC': 0.0,
      'UNPRODUCTIVE_CHECKPOINT_SAVE_TIME': 1.5,
      'UNPRODUCTIVE_CHECKPOINT_RESTORE_TIME': 4.0,
      'CUSTOM_BADPUT_EVENTS': 6.0,
      'WASTED_PROGRESS_FROM_DISRUPTION': 16 * 0.5,
      # Less the six steps, which were no idle time.
      'INFRASTRUCTURE_RECOVERY_FROM_DISRUPTION': 20.0 - 6 * 0.5,
      'OTHER': 0.25,
    }
  )
  assert sum(bill.buckets().values()) == pytest.approx(time.now - 1000.0)
  assert 'goodput 29.5% of 1m25s: 2 starts, 50 steps, 16 of them' in str(bill)
  shares = [line['share'] for line in bill.lines()]
  assert sum(float(share.rstrip('%')) for share in shares) == pytest.approx(
    100.0, abs=0.5
  )


def test_a_start_that_is_killed_before_its_steps_forgets_none(tmp_path, time):
  first = Start(tmp_path, time)
  first.goes_on(0)
  first.steps(40, 0.5)
  first.goodput.write()
  second = Start(tmp_path, time)
  second.takes('restore', 4.0)
  second.goodput.write()
  time.now += 10.0
  third = Start(tmp_path, time)
  third.goes_on(30, logged=40)
  third.goodput.write()
  bill = progress.read(str(tmp_path))
  assert (bill.starts, bill.step, bill.redone) == (3, 30, 10)
  buckets = bill.buckets()
  assert buckets['WASTED_PROGRESS_FROM_DISRUPTION'] == pytest.approx(5.0)
  assert buckets['INFRASTRUCTURE_RECOVERY_FROM_DISRUPTION'] == 10.0
  assert sum(buckets.values()) == pytest.approx(time.now - 1000.0)


def test_further_back_than_the_last_start_the_mean_of_all_steps_counts(
  tmp_path, time
):
  first = Start(tmp_path, time)
  first.goes_on(0)
  first.steps(40, 0.5)
  first.goodput.write()
  second = Start(tmp_path, time)
  second.goes_on(40, logged=40)
  second.steps(10, 1.0)
  second.goodput.write()
  Start(tmp_path, time).goes_on(20, logged=50)
  bill = progress.read(str(tmp_path))
  assert (bill.step, bill.redone) == (20, 30)
  wasted = bill.buckets()['WASTED_PROGRESS_FROM_DISRUPTION']
  assert wasted == pytest.approx(30 * (40 * 0.5 + 10 * 1.0) / 50)


def test_what_runs_just_now_is_on_it(tmp_path, time):
  """A compilation of minutes, in which a start is killed."""
  start = Start(tmp_path, time)
  with start.clock('compile'):
    time.now += 300.0
    start.goodput.write()
  assert progress.read(tmp_path).buckets()['PROGRAM_STARTUP'] == 300.0


def test_it_is_written_now_and_then(tmp_path, monkeypatch, capsys):
  monkeypatch.setattr(goodput_lib, '_EVERY', 0.001)
  written = files.write
  count = []

  def write(path, content):
    count.append(path)
    if len(count) == 3:
      raise OSError('the disk is away')
    written(path, content)

  monkeypatch.setattr(files, 'write', write)
  goodput = progress.Goodput(str(tmp_path), progress.Clock())
  with goodput:
    while len(count) < 6:  # until it is so
      pass
  assert not goodput._thread.is_alive()
  assert 'is not written yet: the disk is away' in capsys.readouterr().out
  assert progress.read(tmp_path).starts == 1


def test_only_the_first_process_keeps_it(tmp_path, monkeypatch):
  """Each would add its own, and in containers their pids are alike."""
  monkeypatch.setattr(jax, 'process_index', lambda: 1)
  goodput = progress.Goodput(str(tmp_path), progress.Clock(imports=2.0))
  goodput.goes_on(0, 0, int)
  assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
  'content', ['', '{"step": 1', '[1]', '{"step": 1.5, "compile": 2.0}']
)
def test_a_damaged_one_begins_anew_and_that_is_said(tmp_path, capsys, content):
  (tmp_path / 'goodput.json').write_text(content)
  goodput = progress.Goodput(str(tmp_path), progress.Clock(imports=2.0))
  assert 'goodput.json' in capsys.readouterr().out
  goodput.goes_on(30, 30, lambda: 40)
  found = json.loads((tmp_path / 'goodput.json').read_text())
  assert (found['starts'], found['step'], found['redone']) == (1, 40, 0)
  assert found['buckets']['TPU_INITIALIZATION'] == 2.0
