"""Step -> batch: the global batch is a pure function of (options, seed, step).

Example i of the run (i = step * batch_size + row) is given a record and a
random generator by arithmetic on i alone: no iterator holds a state, so that
any number of hosts, workers or devices sees the same batches, and a resumed
run starts at its step at once, however far in.

What a host needs of a batch are row ranges ("parts", one per data shard that
it feeds). A part is also the unit of work of a grain worker process, which
bounds memory by one device's share of the batch rather than by the host's.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from data import mixture
from data import remote as remote_lib
from data import source as source_lib
from data.batches import Batches
from data.examples import WORD, Examples, Part, RowRange

_SHORT = 512  # records that are read sooner than workers have started


def make(
  *,
  split: str,
  batch_size: int,
  seed: int,
  sources: Mapping[str, Mapping[str, Any]],
  keys: Sequence[str],
  shuffle: bool,
  workers: int,
  stalled_sec: float,
  max_bad: float | None,
  remote: Mapping[str, Any],
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
    stalled_sec: seconds in which a worker that is waited for must have read an
      example; then, or if it has died, it is replaced. In them an object store
      must give something.
    max_bad: the run stops when more than this share of its examples could
      not be read (and at least 3 of them). None: never; for a pass over a
      split that counts and drops them itself.
    remote: where files of object stores are kept on this machine, and how many
      bytes: options of `data.remote.Cache`, but for `stalled_sec`.

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
  if stalled_sec <= 0:
    raise ValueError(f'data.stalled_sec={stalled_sec} must be above 0')
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
    with remote_lib.cached(stalled_sec=stalled_sec, **remote):
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
    may_be_bad=max_bad is None,
  )
  return Pipeline(
    examples, workers=workers, stalled_sec=stalled_sec, max_bad=max_bad
  )


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


class Pipeline:
  """Batches from any step on. Cheap to make; workers start with `batches`."""

  def __init__(
    self,
    examples: Examples,
    *,
    workers: int,
    stalled_sec: float,
    max_bad: float | None,
  ):
    self.examples = examples
    self.workers = workers
    self.stalled_sec = stalled_sec
    self.max_bad = max_bad

  def __len__(self) -> int:
    """Records in all sources of the split."""
    return sum(len(source) for source in self.examples.sources)

  @property
  def batch_size(self) -> int:
    return self.examples.batch_size

  @property
  def fingerprint(self) -> dict[str, str]:
    """Of each source's data, if it has one, by its label."""
    found = {
      label: getattr(source, 'fingerprint', '')
      for label, source in zip(self.examples.labels, self.examples.sources)
    }
    return {label: value for label, value in found.items() if value}

  def example(self) -> Part:
    """Example 0: what shapes and dtypes a row has."""
    arrays, *_ = self.examples.part(0, (0, 1))
    return {key: value[0] for key, value in arrays.items()}

  def records(self, step: int) -> dict[str, list[int]]:
    """Of each source, the records whose clips the batch of a step holds.

    Where one could not be read, its substitute is in the quarantine's line.
    """
    found = {label: [] for label in self.examples.labels}
    for row in range(self.batch_size):
      which, record = self.examples.locate(step * self.batch_size + row)
      found[self.examples.labels[which]].append(record)
    return found

  def keys(self, step: int) -> int:
    """What the batch of a step holds, in a word; nothing is read.

    The sum of its rows' keys modulo 2**64, see `data.examples`: of any parts
    of a batch that are read the sums add up to it.
    """
    first = step * self.batch_size
    rows = range(first, first + self.batch_size)
    return sum(map(self.examples.key, rows)) % WORD

  def batches(
    self,
    start: int = 0,
    *,
    parts: Sequence[RowRange] = (),
    on_bad: Callable[[dict], None] = print,
  ) -> Batches:
    """An endless iterator over steps start, start + 1, ...

    Args:
      start: the step to begin with; costs nothing.
      parts: row ranges of the global batch to deliver; all rows in one part
        if empty.
      on_bad: called with a report (example, source, record, reason) of each
        record that was replaced by another.
    """
    return Batches(
      self.examples,
      start,
      tuple(parts) or ((0, self.batch_size),),
      workers=self.workers,
      stalled_sec=self.stalled_sec,
      max_bad=self.max_bad,
      on_bad=on_bad,
    )
