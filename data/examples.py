"""Example i of a run, as a function of i: a record, and what is drawn of it."""

import functools
import hashlib
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from grain.experimental import index_shuffle

from data import remote, transforms
from data import source as source_lib

Part = dict[str, np.ndarray]
RowRange = tuple[int, int]

# Up to so many records an order is listed: `index_shuffle` looks for one among
# 65,536 positions, which takes it 2 ms where there are ten records.
_LISTED = 4096
WORD = 2**64  # by which sums of keys are taken
_SUBSTITUTES = 3  # records tried in place of a bad one before giving up
# The same where any number may be bad: a test list may be half of them.
_ALL_SUBSTITUTES = 64


class TooManyBadRecords(RuntimeError):
  """More records cannot be read than `max_bad` allows."""


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
    may_be_bad=False,
  ):
    self.labels = labels
    self.sources = sources
    self.rows = rows  # of each batch: (source, number among its rows)
    self.keys = keys
    self.seed = seed
    self.shuffle = shuffle
    self.substitutes = _ALL_SUBSTITUTES if may_be_bad else _SUBSTITUTES
    self.told: set[tuple[str, int]] = set()  # of short videos, by `Batches`
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

  def key(self, example: int) -> int:
    """64 bits that tell what example number `example` is from anything else.

    Of its record, and of the generator that its clip is drawn from; of the
    record that is due, which a restart can know without reading, also where
    another one stands in for it.
    """
    which, record = self.locate(example)
    text = json.dumps([self.labels[which], record, self.seed, example])
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    return int.from_bytes(digest)

  def needs(self, example: int) -> Sequence[remote.Path]:
    """Files that reading it takes, as far as its source tells."""
    which, record = self.locate(example)
    return _needs(self.sources[which], record)

  def read(self, example: int) -> tuple[Mapping[str, np.ndarray], list[dict]]:
    """The example's arrays, and a report of each record that was refused.

    Raises:
      TooManyBadRecords: the record and all its substitutes are bad.
    """
    which, record = self.locate(example)
    source, bad, is_mended = self.sources[which], [], False
    while len(bad) <= self.substitutes:
      # Of the example, not of the record: each epoch cuts another clip.
      rng = np.random.default_rng((self.seed, example, len(bad)))
      try:
        return source.read(record, rng), bad
      except source_lib.BadRecord as error:
        # A copy that is damaged on this machine is no fault of the record.
        if not is_mended and remote.mend(_needs(source, record)):
          is_mended = True
          continue
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
        record, is_mended = int(rng.integers(len(source))), False
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
    note: Callable[[int], Any] = lambda example: None,
  ) -> tuple[Part, list[dict], int, dict[str, int]]:
    """Rows `rows` of the global batch of `step`, stacked in `empty` arrays.

    `note` is called with the number of each example before it is read. Behind
    them are a report of each record that was refused, and the sum of the rows'
    keys modulo 2**64, which parts of a batch can be added up by, and how many
    clips of each source are of a video that is shorter: its last frame is
    repeated.
    """
    low, high = rows
    arrays, bad, keys, short = {}, [], 0, Counter()
    for row in range(low, high):
      note(step * self.batch_size + row)
      with transforms.repeats() as heard:
        clip, refused = self.read(step * self.batch_size + row)
      if any(heard[-1:]):  # of what was read in the end
        short[self.labels[self.rows[row][0]]] += 1
      bad += refused
      keys += self.key(step * self.batch_size + row)
      for key in self.keys:
        value = np.asarray(clip[key])
        if row == low:
          arrays[key] = empty((high - low, *value.shape), value.dtype)
        if value.shape != arrays[key].shape[1:]:
          number = step * self.batch_size + row
          raise ValueError(self._unlike(key, number, value, arrays[key][0]))
        arrays[key][row - low] = value
    return arrays, bad, keys % WORD, dict(short)

  def _unlike(self, key: str, example: int, value, first) -> str:
    """Why the rows of a batch are no array: what each source gives."""
    shapes = {}
    for which, label in enumerate(self.labels):
      row = [source for source, _ in self.rows].index(which)
      clip, _ = self.read(row)
      shapes[label] = list(np.shape(clip[key]))
    if len({*map(str, shapes.values())}) == 1:
      which, record = self.locate(example)
      return (
        f'{key} of record {record} of source {self.labels[which]!r} has shape '
        f'{list(value.shape)}, others have {list(first.shape)}: expected one '
        'shape of all records'
      )
    told = ', '.join(f'{shape} in {name!r}' for name, shape in shapes.items())
    return (
      f'data.sources: {key} has shape {told}: expected one shape; give every '
      'source the same frames, height and width (of labels: points and '
      'objects), as config.data.sources.NAME.height'
    )


def _needs(source: source_lib.Source, record: int) -> Sequence[remote.Path]:
  needs = getattr(source, 'needs', None)
  return needs(record) if needs else ()


def _shuffled(key: tuple[int, ...], size: int, position: int) -> int:
  """Where the permutation of `size` records that `key` names puts one."""
  if size <= _LISTED:
    return int(_permutation(key, size)[position])
  # By arithmetic on the index: nothing is stored or replayed.
  seed = int(np.random.SeedSequence(key).generate_state(1)[0])
  return index_shuffle(index=position, max_index=size - 1, seed=seed, rounds=4)


# Of each source one epoch, and the next: so many for mixtures, 8 MB at most.
@functools.lru_cache(maxsize=256)
def _permutation(key: tuple[int, ...], size: int) -> np.ndarray:
  return np.random.default_rng(key).permutation(size)
