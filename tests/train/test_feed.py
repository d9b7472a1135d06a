"""What is read ahead of the steps."""

import faulthandler
import gc
import threading
from concurrent import futures

import jax
import numpy as np
import pytest

from data.pipeline import Pipeline
from train import feed as feed_lib
from train import mesh as mesh_lib
from train.feed import Feed
from train.watchdog import Watchdog


class Numbered:
  """Batches of numbers, of which each part's keys are the batch's number."""

  def __init__(self, start, parts, read):
    self.next, self.parts, self.read = start, parts, read

  def __next__(self):
    number = self.next
    self.next += 1
    self.read.append(number)
    self.keys = [number] * len(self.parts)
    return [
      {'number': np.full([last - first, 1], number)}
      for first, last in self.parts
    ]

  def at(self):
    return 'record 7'

  def close(self):
    pass


class Counting(Pipeline):
  """Numbered batches, counting those that were asked for."""

  batch_size = 8
  made = Numbered

  def __init__(self):
    self.read = []

  def batches(self, start, *, parts, on_bad):
    del on_bad
    return self.made(start, parts, self.read)


def test_no_batch_is_read_past_the_end():
  """Of four validation batches, a fifth was decoded for nothing."""
  mesh = mesh_lib.make(fsdp=4, devices=jax.devices()[:4])
  data = Counting()
  with Feed(data, mesh, start=3, end=6, on_bad=print) as feed:
    got = [int(feed.next()['number'][0, 0]) for _ in range(3)]
  assert got == [3, 4, 5]
  assert data.read == [3, 4, 5]


def test_rows_that_several_devices_need_are_told_of_once(monkeypatch):
  """Also where these are of several processes."""
  mesh = mesh_lib.make(fsdp=4, tensor=2)
  with Feed(Counting(), mesh, start=3, end=6, on_bad=print) as feed:
    assert feed.next() is not None
    assert feed.keys == 4 * 3
    feed.next()
    assert feed.keys == 4 * 4
  monkeypatch.setattr(jax, 'process_index', lambda: 1)
  with Feed(Counting(), mesh, start=3, end=6, on_bad=print) as feed:
    feed.next()
    assert feed.keys == 0


def test_workers_and_its_own_thread_end_with_it():
  """A loop that fails between two batches leaves none behind."""
  mesh = mesh_lib.make(fsdp=4, devices=jax.devices()[:4])
  closed = []

  class Closing(Numbered):
    def close(self):
      closed.append(True)

  data = Counting()
  data.made = Closing

  def fail():
    with Feed(data, mesh, start=0, end=9, on_bad=print) as feed:
      feed.next()
      raise RuntimeError('a step')

  before = {*threading.enumerate()}
  with pytest.raises(RuntimeError, match='a step'):
    fail()
  assert closed == [True]
  assert {*threading.enumerate()} <= before


def test_what_was_read_ahead_does_not_outlive_it():
  """It may lie in memory that a worker lent."""
  mesh = mesh_lib.make(fsdp=4, devices=jax.devices()[:4])
  gc.collect()
  before = len(jax.live_arrays())
  with Feed(Counting(), mesh, start=0, end=9, on_bad=print) as feed:
    feed.next()
  gc.collect()
  assert len(jax.live_arrays()) == before
  assert feed  # which is still there


class Stuck(Counting):
  """Its second batch does not come."""

  def __init__(self):
    super().__init__()
    self.stuck, self.over = threading.Event(), threading.Event()

  def batches(self, start, *, parts, on_bad):
    outer = self

    class Stopping(Numbered):
      def __next__(self):
        if outer.read:
          outer.stuck.set()
          outer.over.wait()
        return super().__next__()

    return Stopping(start, parts, self.read)


def test_who_waits_for_a_batch_can_be_woken(monkeypatch, capsys):
  """By a stop, or by the watchdog; and leaves the read behind."""
  monkeypatch.setattr(feed_lib, '_CLOSE_SEC', 0.01)
  monkeypatch.setattr(feed_lib.command, '_at_once', False)
  mesh = mesh_lib.make(fsdp=4, devices=jax.devices()[:4])
  data, stop = Stuck(), futures.Future()
  with Feed(data, mesh, start=0, end=5, on_bad=print) as feed:
    assert int(feed.next(stop)['number'][0, 0]) == 0
    data.stuck.wait()
    with futures.ThreadPoolExecutor(1) as thread:
      waits = thread.submit(feed.next, stop)
      stop.set_result('SIGTERM')
      assert waits.result() is None
      waits = thread.submit(feed.next)
      feed.give_up(TimeoutError('too long'))
      with pytest.raises(TimeoutError, match='too long'):
        waits.result()
  assert 'a read does not end: record 7' in capsys.readouterr().out
  assert feed_lib.command._at_once
  data.over.set()


def test_a_pass_over_a_split_that_does_not_come_on_is_told_and_ended(
  monkeypatch, capsys
):
  """As scoring, which has no loop of steps around it."""
  monkeypatch.setattr(feed_lib, '_CLOSE_SEC', 0.01)
  monkeypatch.setattr(feed_lib.command, '_at_once', False)
  # It wants a file, which pytest's stderr is not.
  monkeypatch.setattr(faulthandler, 'dump_traceback', lambda **_: None)
  mesh = mesh_lib.make(fsdp=4, devices=jax.devices()[:4])
  data = Stuck()
  with (
    Watchdog(tell_sec=0.2, limit_sec=0.6) as watchdog,
    Feed(data, mesh, start=0, end=5, on_bad=print) as feed,
    pytest.raises(TimeoutError, match='the data of scores of test'),
  ):
    for _ in feed.all(watchdog, 'scores of test'):
      pass
  data.over.set()
  assert 'is at the data of scores of test since' in capsys.readouterr().out


def test_a_pass_has_every_batch_of_the_split():
  mesh = mesh_lib.make(fsdp=4, devices=jax.devices()[:4])
  watchdog = Watchdog(tell_sec=0.0, limit_sec=0.0)
  with Feed(Counting(), mesh, start=3, end=6, on_bad=print) as feed:
    got = [int(x['number'][0, 0]) for x in feed.all(watchdog, 'scores')]
  assert got == [3, 4, 5]
