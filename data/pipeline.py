"""Step -> batch: the global batch is a pure function of (options, seed, step).

Example i of the run (i = step * batch_size + row) is given a record and a
random generator by arithmetic on i alone: no iterator holds a state, so that
any number of hosts, workers or devices sees the same batches, and a resumed
run starts at its step at once, however far in.

What a host needs of a batch are row ranges ("parts", one per data shard that
it feeds). A part is also the unit of work of a grain worker process, which
bounds memory by one device's share of the batch rather than by the host's.
"""

import functools
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import resource_tracker
from typing import Any

import grain
import numpy as np
from absl import flags
from grain.experimental import index_shuffle

from data import mixture, shared
from data import source as source_lib

Part = dict[str, np.ndarray]
RowRange = tuple[int, int]

# Up to so many records an order is listed: `index_shuffle` looks for one among
# 65,536 positions, which takes it 2 ms where there are ten records.
_LISTED = 4096
_SHORT = 512  # records that are read sooner than workers have started
_SUBSTITUTES = 3  # records tried in place of a bad one before giving up
# The same where any number may be bad: a test list may be half of them.
_ALL_SUBSTITUTES = 64


class TooManyBadRecords(RuntimeError):
  """More records cannot be read than `max_bad` allows."""


def make(
  *,
  split: str,
  batch_size: int,
  seed: int,
  sources: Mapping[str, Mapping[str, Any]],
  keys: Sequence[str],
  shuffle: bool,
  workers: int,
  max_bad: float | None,
) -> 'Pipeline':
  """A pipeline over one source or a weighted mixture.

  Recipes have a value of every option (`config.data`); there are no others.

  Args:
    split: 'train', 'validation' or 'test'.
    batch_size: rows of the global batch.
    seed: of the order and of every random draw (start, stride, crop, flip).
    sources: for each label, `name` (a module of data/), `weight`, and that
      module's own options.
    keys: record keys that a batch holds (`data/source.py`).
    shuffle: a new order each epoch; otherwise records in order, wrapping
      around at the end.
    workers: grain worker processes; 0 reads in this process.
    max_bad: the run stops when more than this share of its examples could
      not be read (and at least 3 of them). None: never; for a pass over a
      split that counts and drops them itself.

  Raises:
    ValueError: an option out of range, an empty or unknown source.
  """
  for name, value, low in (
    ('batch_size', batch_size, 1),
    ('workers', workers, 0),
    ('max_bad', max_bad, 0),
  ):
    if value is not None and value < low:
      raise ValueError(f'data.{name}={value} must be at least {low}')
  if not sources:
    raise ValueError(
      "data.sources is empty: name one, as in {'world': {'name': 'world', "
      "'weight': 1.0}}"
    )
  made, weights = [], []
  for label, options in sources.items():
    options = dict(options)
    missing = {'name', 'weight'} - options.keys()
    if missing:
      raise ValueError(f'data.sources.{label} lacks {sorted(missing)}')
    weights.append(options.pop('weight'))
    name = options.pop('name')
    made.append(source_lib.make(name, split, keys=tuple(keys), **options))
    if not len(made[-1]):
      raise ValueError(
        f'data.sources.{label} ({name}) has no record in split {split!r}'
      )
  examples = Examples(
    labels=tuple(sources),
    sources=tuple(made),
    rows=tuple(mixture.rows(mixture.counts(weights, batch_size))),
    keys=tuple(keys),
    seed=seed,
    shuffle=shuffle,
    substitutes=_SUBSTITUTES if max_bad is not None else _ALL_SUBSTITUTES,
  )
  return Pipeline(examples, workers=workers, max_bad=max_bad)


def once(*, workers: int, **options) -> 'Pipeline':
  """A split to be read through once, in order, whatever `shuffle` says.

  A short one is read in this process: starting workers takes longer.

  Args:
    workers: see `make`.
    **options: of `make`.
  """
  made = make(**{**options, 'shuffle': False}, workers=workers)
  if len(made) <= _SHORT:
    made.workers = 0
  return made


class Examples:
  """Example i of a run, as a pure function of i. Pickled into the workers."""

  def __init__(
    self,
    *,
    labels,
    sources,
    rows,
    keys,
    seed,
    shuffle,
    substitutes=_SUBSTITUTES,
  ):
    self.labels = labels
    self.sources = sources
    self.rows = rows  # of each batch: (source, number among its rows)
    self.keys = keys
    self.seed = seed
    self.shuffle = shuffle
    self.substitutes = substitutes
    self._rows_of = [sum(s == i for s, _ in rows) for i in range(len(sources))]

  @property
  def batch_size(self) -> int:
    return len(self.rows)

  def locate(self, example: int) -> tuple[int, int]:
    """(source, record) of example number `example`."""
    step, row = divmod(example, self.batch_size)
    which, number = self.rows[row]
    size = len(self.sources[which])
    epoch, position = divmod(step * self._rows_of[which] + number, size)
    if self.shuffle:
      position = _shuffled((self.seed, which, epoch), size, position)
    return which, position

  def read(self, example: int) -> tuple[Mapping[str, np.ndarray], list[dict]]:
    """The example's arrays, and a report of each record that was refused.

    Raises:
      TooManyBadRecords: the record and all its substitutes are bad.
    """
    which, record = self.locate(example)
    source, bad = self.sources[which], []
    for attempt in range(1 + self.substitutes):
      # Of the example, not of the record: each epoch cuts another clip.
      rng = np.random.default_rng((self.seed, example, attempt))
      try:
        return source.read(record, rng), bad
      except source_lib.BadRecord as error:
        bad.append(
          {
            'example': example,
            'source': self.labels[which],
            'record': record,
            'reason': str(error),
          }
        )
        # Of the same source, so that shares stay; from the draws of the
        # example, so that every host and every start takes the same one.
        record = int(rng.integers(len(source)))
    raise TooManyBadRecords(
      f'example {example}: its record and {self.substitutes} substitutes '
      f'cannot be read: {bad[: 1 + _SUBSTITUTES]}. Check the data set with '
      '`python -m data.inspect`.'
    )

  def part(
    self,
    step: int,
    rows: RowRange,
    *,
    empty: Callable[[tuple[int, ...], np.dtype], np.ndarray] = np.empty,
  ) -> tuple[Part, list[dict]]:
    """Rows `rows` of the global batch of `step`, stacked in `empty` arrays."""
    low, high = rows
    arrays, bad = {}, []
    for row in range(low, high):
      clip, refused = self.read(step * self.batch_size + row)
      bad += refused
      for key in self.keys:
        value = np.asarray(clip[key])
        if row == low:
          arrays[key] = empty((high - low, *value.shape), value.dtype)
        if value.shape != arrays[key].shape[1:]:
          raise ValueError(
            f'{key} of example {step * self.batch_size + row} has shape '
            f'{value.shape}, others have {arrays[key].shape[1:]}: give every '
            'source the same frames, height and width'
          )
        arrays[key][row - low] = value
    return arrays, bad


def _shuffled(key: tuple[int, ...], size: int, position: int) -> int:
  """Where the permutation of `size` records that `key` names puts one."""
  if size <= _LISTED:
    return int(_permutation(key, size)[position])
  # By arithmetic on the index: nothing is stored or replayed.
  seed = int(np.random.SeedSequence(key).generate_state(1)[0])
  return index_shuffle(index=position, max_index=size - 1, seed=seed, rounds=4)


# Of each source one epoch, and the next: 16 for mixtures.
@functools.lru_cache(maxsize=16)
def _permutation(key: tuple[int, ...], size: int) -> np.ndarray:
  return np.random.default_rng(key).permutation(size)


class Pipeline:
  """Batches from any step on. Cheap to make; workers start with `batches`."""

  def __init__(
    self, examples: Examples, *, workers: int, max_bad: float | None
  ):
    self.examples = examples
    self.workers = workers
    self.max_bad = max_bad

  def __len__(self) -> int:
    """Records in all sources of the split."""
    return sum(len(source) for source in self.examples.sources)

  @property
  def batch_size(self) -> int:
    return self.examples.batch_size

  def example(self) -> Part:
    """Example 0: what shapes and dtypes a row has."""
    arrays, _ = self.examples.part(0, (0, 1))
    return {key: value[0] for key, value in arrays.items()}

  def batches(
    self,
    start: int = 0,
    *,
    parts: Sequence[RowRange] = (),
    on_bad: Callable[[dict], None] = print,
  ) -> Iterator[list[Part]]:
    """An endless iterator over steps start, start + 1, ...

    Args:
      start: the step to begin with; costs nothing.
      parts: row ranges of the global batch to deliver; all rows in one part
        if empty.
      on_bad: called with a report (example, source, record, reason) of each
        record that was replaced by another.

    Yields:
      For each step, one dict of arrays per part, rows first. The generator's
      `close()` ends the workers.

    Raises:
      TooManyBadRecords: more than `max_bad` allows.
    """
    parts = tuple(parts) or ((0, self.batch_size),)
    lends = bool(self.workers) and shared.AVAILABLE
    dataset = grain.MapDataset.source(_Work(self.examples, start, parts, lends))
    # One element is a whole part, so read-ahead inside a process only costs
    # memory: the processes themselves are the parallelism.
    dataset = dataset.to_iter_dataset(
      grain.ReadOptions(num_threads=0, prefetch_buffer_size=0)
    )
    if self.workers:
      if not flags.FLAGS.is_parsed():
        flags.FLAGS.mark_as_parsed()  # grain reads flags, in a notebook too
      dataset = dataset.mp_prefetch(
        grain.MultiprocessingOptions(
          # One part is filled while the other waits: more would be memory only.
          num_workers=self.workers,
          per_worker_buffer_size=2,
        ),
        worker_init_fn=_start_worker,
      )
    iterator = iter(dataset)
    # Workers take seconds to start: before the caller compiles.
    iterator.start_prefetch()
    return self._deliver(iterator, parts, on_bad)

  def _deliver(self, iterator, parts, on_bad):
    seen = refused = 0
    borrower = shared.Borrower()
    try:
      while True:
        batch = []
        for low, high in parts:
          if seen or not self.workers:
            arrays, bad = next(iterator)
          else:  # it starts the workers
            arrays, bad = _without_stops(lambda: next(iterator))
          batch.append(
            {
              key: borrower.borrow(value)
              if isinstance(value, shared.Loan)
              else value
              for key, value in arrays.items()
            }
          )
          seen += high - low
          refused += len(bad)
          for last in bad:
            on_bad(last)
        # Three at least: of the first batch one alone would be too many.
        many = self.max_bad is not None and refused > self.max_bad * seen
        if refused >= 3 and many:
          raise TooManyBadRecords(
            f'{refused} records could not be read for {seen} examples, more '
            f'than data.max_bad={self.max_bad} allows; the last is record '
            f'{last["record"]} of {last["source"]}: {last["reason"]}. Each is '
            "listed in the quarantine.jsonl of the run's folder. Repair the "
            'data, or raise data.max_bad: the same command with '
            '--config.data.max_bad=... goes on from the last checkpoint.'
          )
        yield batch
    finally:
      iterator.close()


class _Work:
  """What grain sees: element m is one part of one step."""

  def __init__(self, examples: Examples, start: int, parts, lends: bool):
    self._examples = examples
    self._start = start
    self._parts = parts
    self._lends = lends  # in a worker: not arrays but loans of them

  def __len__(self) -> int:
    return 2**62  # endless

  def __getitem__(self, index: int) -> tuple[Part, list[dict]]:
    step, part = divmod(index, len(self._parts))
    where = self._start + step, self._parts[part]
    if not self._lends:
      return self._examples.part(*where)
    lender = _lender()
    arrays, bad = self._examples.part(*where, empty=lender.empty)
    return {key: lender.lend(value) for key, value in arrays.items()}, bad


@functools.cache
def _lender() -> shared.Lender:
  """Of this worker process."""
  return shared.Lender()


# A terminal sends Ctrl-C, and Slurm SIGTERM, to workers as well; the steps
# until the save need them.
_STOPS = (signal.SIGINT, signal.SIGTERM)


def _without_stops(function: Callable[[], Any]) -> Any:
  """Calls it where neither it nor processes that it starts can be stopped.

  From their first moment: a worker takes seconds until it runs our code. In a
  thread of its own, since this one must hear a Ctrl-C.
  """
  with ThreadPoolExecutor(1, initializer=_hold_stops) as thread:
    return thread.submit(function).result()


def _hold_stops() -> None:
  resource_tracker.ensure_running()  # starting it would let them through
  signal.pthread_sigmask(signal.SIG_BLOCK, _STOPS)


def _start_worker(worker: int, workers: int) -> None:
  """Leaves a stop to the main process, which saves; dies with it if killed."""
  del worker, workers
  for number in _STOPS:
    signal.signal(number, signal.SIG_IGN)
  threading.Thread(target=_follow_parent, daemon=True).start()


def _follow_parent() -> None:
  multiprocessing.parent_process().join()
  os._exit(1)  # a killed parent's other threads would wait for ever
