"""Batches of a run, one after another, with what could not be read counted.

Read here, or by worker processes (`data/workers.py`): element m of theirs is
part m % parts of batch m // parts.
"""

import functools
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from base.console import say
from data import remote, shared
from data import workers as workers_lib
from data.examples import Examples, Part, RowRange, TooManyBadRecords


class Batches:
  """For each step, one dict of arrays per part, rows first.

  Attributes:
    keys: what the batch that was given last holds: of each part the sum of its
      rows' keys, see `data.examples`, as who read them found it.

  `close` ends the workers, and a thread that waits for a batch of theirs.
  """

  def __init__(
    self,
    examples: Examples,
    start: int,
    parts: Sequence[RowRange],
    *,
    workers: int,
    stalled_sec: float,
    max_bad: float | None,
    on_bad: Callable[[dict], None],
  ):
    """Starts the workers.

    Args:
      examples: what batches are of.
      start: number of the first step.
      parts: row ranges of each batch.
      workers: see `data.pipeline.make`; so are `stalled_sec`, `max_bad`.
      stalled_sec: of workers.
      max_bad: of records.
      on_bad: is told of each record that was replaced by another.
    """
    self.keys: list[int] = []
    self._parts, self._on_bad, self._step = parts, on_bad, start
    # Of files of a disk there is nothing to bring.
    needs = functools.partial(_needs, examples, parts)
    is_remote = any(isinstance(file, remote.Remote) for file in needs(start))
    self._ahead = remote.Ahead(needs, start) if is_remote else None
    self._max_bad, self._seen, self._refused = max_bad, 0, 0
    # One for all passes over a split, or each evaluation would say it.
    self._short, self._told = Counter(), examples.told
    work = functools.partial(_Work, examples, start, parts)
    if workers:
      self._elements = workers_lib.Workers(
        functools.partial(work, workers_lib.note, shared.AVAILABLE),
        count=workers,
        stalled_sec=stalled_sec,
        tell=functools.partial(_told, examples, start, parts),
      )
    else:
      self._elements = _Here(work, examples)

  def __iter__(self) -> 'Batches':
    return self

  def __next__(self) -> list[Part]:
    """The next batch.

    Raises:
      TooManyBadRecords: more than `max_bad` allows.
      Stalled, Closed: see `data.workers`.
    """
    batch, keys = [], []
    for low, high in self._parts:
      arrays, (bad, key, short) = next(self._elements)
      self._short.update(short)
      batch.append(arrays)
      keys.append(key)
      self._seen += high - low
      self._refused += len(bad)
      for report in bad:
        self._on_bad(report)
      if bad:
        self._last = bad[-1]
    # Three at least: of the first batch one alone would be too many.
    many = (
      self._max_bad is not None and self._refused > self._max_bad * self._seen
    )
    if self._refused >= 3 and many:
      raise TooManyBadRecords(
        f'{self._refused} records could not be read for {self._seen} examples, '
        f'more than data.max_bad={self._max_bad} allows; the last is record '
        f'{self._last["record"]} of {self._last["source"]}: '
        f'{self._last["reason"]}. Each is listed in the quarantine.jsonl of '
        "the run's folder. Repair the data, or raise data.max_bad: the same "
        'command with --config.data.max_bad=... goes on from the last '
        'checkpoint.'
      )
    self._tell_short()
    self.keys = keys
    if self._ahead:
      self._ahead.reached(self._step)
    self._step += 1
    return batch

  def _tell_short(self) -> None:
    """Says how many clips repeat a frame: of the 1st, 10th, 100th ... one."""
    for label, count in self._short.items():
      told = label, len(str(count))
      if told not in self._told:
        self._told.add(told)
        say(
          f'data: {count} of {self._seen} clips so far are of videos of '
          f'{label!r} that are shorter than a clip with its stride: their last '
          'frame is repeated'
        )

  def at(self) -> str:
    """What is being read, and by whom."""
    return self._elements.at()

  def close(self) -> None:
    """See above."""
    if self._ahead:
      self._ahead.close()
    self._elements.close()


def _needs(
  examples: Examples, parts: Sequence[RowRange], step: int
) -> Iterator[remote.Path]:
  """Files of a step; a file may come more than once."""
  for low, high in parts:
    for row in range(low, high):
      yield from examples.needs(step * examples.batch_size + row)


class _Work:
  """What grain sees: element m is one part of one step."""

  def __init__(
    self,
    examples: Examples,
    start: int,
    parts: Sequence[RowRange],
    note: Callable[[int], Any],
    lends: bool,
    first: int,
  ):
    self._examples, self._start, self._parts = examples, start, parts
    self._note = note
    self._lends = lends  # in a worker: not arrays but loans of them
    self._first = first  # number of the element that is the first here

  def __len__(self) -> int:
    return 2**62  # endless

  def __getitem__(self, index: int) -> workers_lib.Element:
    step, part = divmod(self._first + index, len(self._parts))
    where = self._start + step, self._parts[part]
    if not self._lends:
      arrays, *more = self._examples.part(*where, note=self._note)
      return arrays, more
    lender = _lender()
    arrays, *more = self._examples.part(
      *where, empty=lender.empty, note=self._note
    )
    return {key: lender.lend(value) for key, value in arrays.items()}, more


class _Here:
  """The elements, read by the thread that asks for them."""

  def __init__(self, work: Callable[..., _Work], examples: Examples):
    self._work = work(self._note, False, 0)
    self._examples, self._next, self._example = examples, 0, -1

  def _note(self, example: int) -> None:
    self._example = example

  def __next__(self) -> workers_lib.Element:
    self._next += 1
    return self._work[self._next - 1]

  def at(self) -> str:
    return f'this process, at {_named(self._examples, self._example)}'

  def close(self) -> None:
    """Who reads, cannot be woken."""


def _told(
  examples: Examples,
  start: int,
  parts: Sequence[RowRange],
  element: int,
  example: int,
) -> str:
  """What an element is, and how far its worker has come."""
  step, part = divmod(element, len(parts))
  low, high = parts[part]
  owed = f'which owes rows {low} to {high - 1} of batch {start + step}'
  return f'{owed} and is at {_named(examples, example)}'


def _named(examples: Examples, example: int) -> str:
  if example < 0:
    return 'its start'
  source, record = examples.locate(example)
  return f'example {example} (record {record} of {examples.labels[source]})'


@functools.cache
def _lender() -> shared.Lender:
  """Of this worker process."""
  return shared.Lender()
