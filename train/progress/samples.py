"""A hash of what a run was trained on, whatever it ran on.

Who reads a row of a batch sums up what it is (`data.examples.Examples.key`):
so the hash is of the batches that were trained on, not of what they should
have been. Sums of processes are added up when a line is logged, in threads and
by JAX's service: a device or a step never waits for them.
"""

import functools
import hashlib
import json
from collections.abc import Callable, Sequence

from base.console import say
from data.examples import WORD
from train import processes
from train.writer import SAMPLES, Left

# Examples whose keys are computed anew at a start, which is half a minute.
_MOST = 2**20


class Samples:
  """The hash up to a step: of the hash up to the one before, and its batch.

  So it is the same at a step whatever the number of devices, processes or
  workers, the steps between two lines, and the starts on the way.
  """

  def __init__(
    self,
    left: Left,
    start: int,
    keys: Callable[[int], int],
    *,
    batch_size: int,
  ):
    """Goes on behind what was logged before.

    Args:
      left: of metrics.jsonl, where this process writes it.
      start: steps that were trained before.
      keys: number of a batch, from 0 -> what it holds.
      batch_size: examples of one.
    """
    self._left, self._start = left, start
    self._keys_of, self._batch_size = keys, batch_size
    self._hash: str | None = None
    self._new: list[tuple[int, int]] = []

  def add(self, step: int, keys: int) -> None:
    """The next step is trained.

    Args:
      step: its number, from 1.
      keys: this process's share of what its batch holds, see
        `train.feed.Feed`.
    """
    self._new.append((step, keys))

  def line(self, step: int) -> Callable[[], str]:
    """What gives the hash up to `step`, for `train.writer.Writer.scalars`."""
    new = [keys for number, keys in self._new if number <= step]
    self._new = self._new[len(new) :]
    return functools.partial(self._after, new)

  def _after(self, new: Sequence[int]) -> str:
    """The hash with more batches; '' in other processes than the first."""
    words = processes.gather('samples', json.dumps(new))
    if not words:
      return ''
    if self._hash is None:
      self._hash = self._before()
    for shares in zip(*map(json.loads, words), strict=True):
      self._hash = _next(self._hash, sum(shares) % WORD)
    return self._hash

  def _before(self) -> str:
    """The hash of the steps before this start.

    It was logged up to some step; what the batches from there on held is known
    from their numbers.
    """
    known = self._left.samples or {'step': 0, SAMPLES: ''}
    step, text = known['step'], known[SAMPLES]
    if (self._start - step) * self._batch_size > _MOST:
      say(
        f'metrics.jsonl has no {SAMPLES} of step {self._start}, nor of one '
        'shortly before: that hash begins there'
      )
      return ''
    for number in range(step, self._start):
      text = _next(text, self._keys_of(number))
    return text


def _next(before: str, keys: int) -> str:
  """The hash up to a step: 16 hex digits."""
  data = before.encode() + keys.to_bytes(8)
  return hashlib.blake2b(data, digest_size=8).hexdigest()
