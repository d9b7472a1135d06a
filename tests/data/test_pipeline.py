"""The global batch is a pure function of (options, seed, step)."""

import hashlib
import itertools
import multiprocessing
import os
import queue
import re
import signal
import subprocess
import sys
import threading
import time
import types
from concurrent import futures

import numpy as np
import pytest

from data import examples, mixture, pipeline, source, transforms, workers

BATCH = 12


class Toy:
  """Clips that say which record they are of, and what was drawn."""

  def __init__(self, size, bad=(), offset=0):
    self.size, self.bad, self.offset = size, bad, offset

  def __len__(self):
    return self.size

  def read(self, index, rng):
    if index in self.bad:
      raise source.BadRecord(f'record {index} is broken')
    video = rng.integers(256, size=(2, 3, 5, 3), dtype=np.uint8)
    return {'video': video, 'label': np.int32(index + self.offset)}


def make(
  sizes=(50, 7),
  seed=0,
  bad=(),
  shuffle=True,
  workers=0,
  max_bad=1.0,
  stalled_sec=60.0,
  batch=BATCH,
):
  rows = mixture.rows(mixture.counts([3.0, 1.0][: len(sizes)], batch))
  sources = [
    Toy(size, bad=bad, offset=1000 * i) for i, size in enumerate(sizes)
  ]
  rows_of = pipeline.Examples(
    labels=('a', 'b')[: len(sizes)],
    sources=sources,
    rows=rows,
    keys=('video', 'label'),
    seed=seed,
    shuffle=shuffle,
  )
  return pipeline.Pipeline(
    rows_of, workers=workers, stalled_sec=stalled_sec, max_bad=max_bad
  )


def take(pipe, steps, **options):
  iterator = pipe.batches(**options)
  batches = list(itertools.islice(iterator, steps))
  iterator.close()
  return batches


def digest(batches):
  """One hash per step, of the global batch whatever its parts."""
  return [
    hashlib.sha256(
      b''.join(
        np.concatenate([part[key] for part in parts]).tobytes()
        for key in ('video', 'label')
      )
    ).hexdigest()
    for parts in batches
  ]


def split(hosts, parts):
  """Row ranges of each host."""
  edges = np.linspace(0, BATCH, hosts * parts + 1).astype(int)
  ranges = list(itertools.pairwise(edges.tolist()))
  return [ranges[h * parts : (h + 1) * parts] for h in range(hosts)]


@pytest.fixture(scope='module')
def expected():
  return digest(take(make(), 4))


@pytest.mark.parametrize('hosts', [1, 2, 4])
@pytest.mark.parametrize('parts', [1, 3])
def test_batches_do_not_depend_on_hosts(expected, hosts, parts):
  by_host = [take(make(), 4, parts=ranges) for ranges in split(hosts, parts)]
  together = [sum(step, []) for step in zip(*by_host, strict=True)]
  assert digest(together) == expected


@pytest.mark.parametrize('workers', [0, 2])
def test_keys_of_parts_add_up_to_those_of_the_batch(workers):
  """By whoever reads them, from any step on; without reading as well."""
  known = [make().keys(step) for step in range(6)]
  assert len(set(known)) == 6
  found = [0, 0, 0]
  for parts in split(2, 3):
    batches = make(workers=workers).batches(start=3, parts=parts)
    for place in range(3):
      next(batches)
      found[place] = (found[place] + sum(batches.keys)) % 2**64
    batches.close()
  assert found == known[3:]


def test_keys_tell_records_draws_and_sources_apart():
  def keys(**options):
    return make(**{'sizes': (50, 50), **options}).keys(0)

  assert keys() == keys()
  changed = [keys(seed=1), keys(shuffle=False), keys(sizes=(40, 50))]
  assert len({keys(), *changed}) == 4
  # Of the second epoch the records are those of the first, the clips others.
  pipe = make(sizes=(BATCH,), shuffle=False)
  assert pipe.records(0) == pipe.records(1)
  assert pipe.keys(0) != pipe.keys(1)


@pytest.mark.parametrize('workers', [1, 2])
def test_batches_do_not_depend_on_workers(expected, workers):
  ranges = split(1, 3)[0]
  assert digest(take(make(workers=workers), 4, parts=ranges)) == expected


def test_workers_leave_a_stop_to_the_main_process():
  """Slurm sends SIGTERM to them too, steps before the save."""
  before = set(multiprocessing.active_children())
  workers = set()

  def stop():
    while len(workers) < 2:
      for worker in multiprocessing.active_children():
        if worker not in before | workers:
          # In its first moments, when it runs none of our code.
          os.kill(worker.pid, signal.SIGTERM)
          workers.add(worker)
      time.sleep(0.001)

  batches = make(workers=2).batches()
  stopping = threading.Thread(target=stop)
  stopping.start()
  for _ in range(2):  # one of each
    next(batches)
  stopping.join()
  for worker in workers:
    os.kill(worker.pid, signal.SIGTERM)
  # More than there are in buffers.
  assert digest(itertools.islice(batches, 20)) == digest(take(make(), 22))[2:]
  batches.close()
  assert not any(worker.is_alive() for worker in workers)


def count_only(monkeypatch, is_stuck):
  """Has the time of a worker pass only while something is so of it.

  However busy the machine is, none is then given up that could come on.
  """

  class Queue(queue.SimpleQueue):
    def get(self, timeout=None):
      while True:
        try:
          return super().get(timeout=timeout)
        except queue.Empty:
          if is_stuck():
            raise

  names = types.SimpleNamespace(SimpleQueue=Queue, Empty=queue.Empty)
  monkeypatch.setattr(workers, 'queue', names)


def test_dead_and_stopped_workers_are_replaced_with_the_same_bits(
  monkeypatch, capsys
):
  """Out of memory kills one; a disk that does not answer holds another."""
  stopped = []
  count_only(
    monkeypatch,
    lambda: any(f'(pid {pid}) ' in batches.at() for pid in stopped),
  )
  before = set(multiprocessing.active_children())
  batches = make(workers=2, stalled_sec=1.0).batches()
  got = []
  for number in (signal.SIGKILL, signal.SIGSTOP):
    got += digest(itertools.islice(batches, 2))  # one of each: both are up
    said = capsys.readouterr().out
    worker = (set(multiprocessing.active_children()) - before).pop()
    os.kill(worker.pid, number)
    stopped += [worker.pid] if number == signal.SIGSTOP else []
    while 'replaced, with the other 1' not in said:
      got += digest(itertools.islice(batches, 1))
      said += capsys.readouterr().out
    assert f'(pid {worker.pid}) on ' in said
    assert number != signal.SIGKILL or ': it died' in said
    assert re.search(
      r'owes rows 0 to 11 of batch \d+ and is at example \d+', said
    )
  batches.close()
  assert 'has not come on for 1s' in said
  assert 'workers were replaced 2 times so far' in said
  assert got == digest(take(make(), len(got)))
  assert set(multiprocessing.active_children()) <= before


class Endless(Toy):
  """Its record 7 makes a decoder hang."""

  def read(self, index, rng):
    while index == 7:
      time.sleep(0.01)
    return super().read(index, rng)


def test_a_record_that_hangs_all_workers_is_named(monkeypatch):
  monkeypatch.setattr(workers, '_TRIES', 1)
  monkeypatch.setattr(workers, '_CLOSE_SEC', 0.1)
  count_only(monkeypatch, lambda: 'is at example 7 ' in batches.at())
  pipe = make(sizes=(50,), shuffle=False, workers=1, stalled_sec=0.2)
  pipe.examples.sources = (Endless(50),)
  batches = pipe.batches()
  with pytest.raises(
    TimeoutError, match=r'is at example 7 \(record 7 of a\).*1 in its place'
  ):
    next(batches)
  batches.close()


def test_who_waits_for_a_worker_is_woken_by_close(monkeypatch):
  monkeypatch.setattr(workers, '_CLOSE_SEC', 0.1)
  pipe = make(sizes=(50,), shuffle=False, workers=1)
  pipe.examples.sources = (Endless(50),)
  batches = pipe.batches()
  with futures.ThreadPoolExecutor(1) as thread:
    waits = thread.submit(next, batches)
    while 'example 7 ' not in batches.at():
      assert not waits.done()
      time.sleep(0.01)
    batches.close()
    with pytest.raises(workers.Closed):
      waits.result()


def test_workers_hold_up_no_end():
  """Of a process that fails while they work."""
  script = """
from tests.data.test_pipeline import make
if __name__ == '__main__':
  batches = make(workers=2).batches()
  next(batches)
  raise SystemExit(70)
"""
  run = subprocess.run([sys.executable, '-c', script], timeout=120)
  assert run.returncode == 70


def test_starts_at_any_step_without_replay(expected):
  assert digest(take(make(), 2, start=2)) == expected[2:]

  class Counting(Toy):
    reads = 0

    def read(self, index, rng):
      Counting.reads += 1
      return super().read(index, rng)

  pipe = make(sizes=(50,))
  pipe.examples.sources = (Counting(50),)
  take(pipe, 1, start=10**6)
  # One element may be read ahead, none of the million before it.
  assert Counting.reads <= 2 * BATCH


def test_another_seed_is_another_order():
  assert digest(take(make(seed=1), 1)) != digest(take(make(), 1))


def test_an_epoch_holds_each_record_once_in_a_new_order():
  pipe = make(sizes=(24,))
  labels = [parts[0]['label'] for parts in take(pipe, 4)]
  first, second = np.concatenate(labels[:2]), np.concatenate(labels[2:])
  assert sorted(first) == sorted(second) == list(range(24))
  assert first.tolist() != second.tolist()


def test_an_epoch_of_many_records_holds_each_once_in_a_new_order():
  """Beyond what is listed, where orders are made by arithmetic."""
  size = 5000
  assert size > examples._LISTED
  # No multiple of the batch, so that epochs end inside one.
  locate = make(sizes=(size,)).examples.locate
  found = np.array([locate(example) for example in range(2 * size)])
  first, second = found[:size, 1], found[size:, 1]
  assert sorted(first) == sorted(second) == list(range(size))
  for order, other in ((first, second), (first, np.arange(size))):
    assert (order != other).mean() > 0.99


@pytest.mark.parametrize('shuffle', [True, False])
@pytest.mark.parametrize('batch', [4, 7, 12])
def test_each_source_of_a_mixture_has_epochs_of_its_own(batch, shuffle):
  """Whatever the size of a batch, and however long the others are."""
  sizes = (50, 7)
  pipe = make(sizes=sizes, shuffle=shuffle, batch=batch)
  found = [pipe.examples.locate(example) for example in range(batch * 60)]
  for which, size in enumerate(sizes):
    drawn = [record for source, record in found if source == which]
    epochs = [drawn[i : i + size] for i in range(0, len(drawn) - size, size)]
    assert len(epochs) > 1
    assert all(sorted(epoch) == list(range(size)) for epoch in epochs)


def test_sources_of_one_length_are_in_orders_of_their_own():
  locate = make(sizes=(20, 20)).examples.locate
  found = [locate(example) for example in range(20 * BATCH)]
  first, second = (
    [record for source, record in found if source == which][:20]
    for which in (0, 1)
  )
  assert first != second


def test_unshuffled_goes_in_order_and_wraps_around():
  pipe = make(sizes=(20,), shuffle=False)
  labels = np.concatenate([parts[0]['label'] for parts in take(pipe, 2)])
  assert labels.tolist() == [i % 20 for i in range(24)]


def test_mixture_counts_are_fixed_and_spread():
  for (part,) in take(make(), 3):
    assert (part['label'] >= 1000).sum() == 3
  rows = [which for which, _ in mixture.rows([6, 2])]
  assert rows[:4].count(1) == rows[4:].count(1) == 1


def test_few_rows_of_a_source_are_in_the_middle_of_the_others():
  """Not behind them all, where one host would have them."""
  assert mixture.rows([3, 1]) == [(0, 0), (0, 1), (1, 0), (0, 2)]


def test_mixture_counts_add_up():
  assert mixture.counts([1.0, 1.0, 1.0], 10) == [4, 3, 3]
  with pytest.raises(ValueError, match='raise its weight'):
    mixture.counts([1.0, 1000.0], 4)


def test_bad_records_are_replaced_the_same_way_and_reported():
  reports = []
  pipe = make(sizes=(50,), bad=(3, 4))
  batches = take(pipe, 5, on_bad=reports.append)
  labels = np.concatenate([parts[0]['label'] for parts in batches])
  assert not np.isin(labels, [3, 4]).any()
  assert {report['record'] for report in reports} == {3, 4}
  assert 'record 3 is broken' in {report['reason'] for report in reports}
  again = take(make(sizes=(50,), bad=(3, 4)), 5)
  assert digest(again) == digest(batches)


class Short:
  """Record i has i + `more` frames, of which a clip takes three."""

  def __init__(self, more):
    self.more = more

  def __len__(self):
    return 6

  def read(self, index, rng):
    window = transforms.window(rng, index + self.more, 3, (1, 2))
    return {'label': np.int32(window)}


@pytest.mark.parametrize('workers', [0, 2])
def test_clips_that_repeat_a_frame_are_counted_and_said(workers, capsys):
  made = pipeline.Pipeline(
    pipeline.Examples(
      labels=('long', 'films'),
      sources=[Short(3), Short(1)],
      rows=[(0, 0), (1, 0), (1, 1), (1, 2)],
      keys=('label',),
      **{'seed': 0, 'shuffle': False},
    ),
    **{'workers': workers, 'stalled_sec': 60.0, 'max_bad': 0.0},
  )
  # Each second batch has both videos that are too short. A second pass says
  # nothing new.
  for _ in range(2):
    batches = take(made, 10)
    assert batches[0][0]['label'][1:3].tolist() == [[0, 0, 0], [0, 1, 1]]
  said = capsys.readouterr().out
  assert said.count('data: ') == 2
  assert "data: 2 of 4 clips so far are of videos of 'films'" in said
  assert "data: 10 of 36 clips so far are of videos of 'films'" in said


def test_a_record_is_another_clip_in_each_epoch():
  (first,), (second,) = take(make(sizes=(BATCH,), shuffle=False), 2)
  np.testing.assert_array_equal(first['label'], second['label'])
  same = first['video'] == second['video']
  assert not same.all(axis=(1, 2, 3, 4)).any()


def test_a_bad_record_of_the_first_batch_is_not_too_many():
  pipe = make(sizes=(50,), bad=(0,), shuffle=False, max_bad=0.01)
  reports = []
  take(pipe, 1, on_bad=reports.append)
  assert len(reports) == 1


def test_too_many_bad_records_stop_the_run():
  pipe = make(sizes=(50,), bad=range(0, 50, 10), max_bad=0.01)
  with pytest.raises(
    examples.TooManyBadRecords, match=r'max_bad=0\.01.*record'
  ):
    take(pipe, 20, on_bad=lambda report: None)


def test_wrong_options_are_errors():
  options = {
    **{'split': 'train', 'batch_size': 4, 'seed': 0, 'keys': ('video',)},
    **{
      'shuffle': True,
      'workers': 0,
      'max_bad': 0.0,
      'stalled_sec': 60.0,
      'remote': {},
    },
  }
  with pytest.raises(ValueError, match='sources is empty'):
    pipeline.make(**options, sources={})
  with pytest.raises(ValueError, match=r"source 'wrld': .*mean 'world'"):
    pipeline.make(**options, sources={'w': {'name': 'wrld', 'weight': 1}})
  with pytest.raises(ValueError, match='lacks'):
    pipeline.make(**options, sources={'w': {'name': 'world'}})
