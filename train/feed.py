"""Batches on the device, one ahead of the step that needs them."""

import queue
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent import futures

import jax
import numpy as np
from jax.sharding import Mesh

from base import command
from data.examples import WORD
from data.pipeline import Pipeline
from train import mesh as mesh_lib
from train.watchdog import Watchdog

# In which a read that nobody waits for is to end.
_CLOSE_SEC = 10.0


class Feed:
  """Global batches from `start` to `end`, each process bringing its rows.

  A thread takes the next batch from the pipeline and starts its transfer
  while the device computes. A context manager: leaving it ends the workers.

  Attributes:
    keys: of the batch that was given last, this process's share of what it
      holds: over processes the shares add up, modulo 2**64, to
      `data.pipeline.Pipeline.keys` of its number, if it is the right one.
  """

  def __init__(
    self,
    pipeline: Pipeline,
    mesh: Mesh,
    *,
    start: int,
    end: int,
    on_bad: Callable[[dict], None],
  ):
    """Begins to read.

    Args:
      pipeline: what makes batches.
      mesh: where they go.
      start: number of the first batch.
      end: number behind the last one: nothing is read past it.
      on_bad: is told of each record that cannot be read.
    """
    self._mesh = mesh
    self._batch_size = pipeline.batch_size
    self._parts = local_parts(mesh, pipeline.batch_size)
    self._owned = _owned(mesh, pipeline.batch_size, self._parts)
    self.keys = 0
    self._batches = pipeline.batches(start, parts=self._parts, on_bad=on_bad)
    self._wanted: queue.SimpleQueue[futures.Future | None] = queue.SimpleQueue()
    self._gave_up: futures.Future = futures.Future()
    # One thread, so that batches stay in order. The end of the process does not
    # wait for it: it may be in a read that has no end.
    self._thread = threading.Thread(
      target=self._serve, name='feed', daemon=True
    )
    self._thread.start()
    self._left = end - start
    self._ahead = self._begin()

  def _begin(self) -> futures.Future | None:
    self._left -= 1
    if self._left < 0:
      return None
    wanted = futures.Future()
    self._wanted.put(wanted)
    return wanted

  def _serve(self) -> None:
    """In the thread."""
    while (wanted := self._wanted.get()) is not None:
      try:
        wanted.set_result(self._load())
      except Exception as error:  # whatever it is, `next` raises it
        wanted.set_exception(error)

  def _load(self):
    parts = next(self._batches)
    keys = sum(
      key for key, owned in zip(self._batches.keys, self._owned) if owned
    )
    batch = to_device(self._mesh, self._batch_size, self._parts, parts)
    return batch, keys % WORD

  def next(
    self, stop: futures.Future | None = None
  ) -> dict[str, jax.Array] | None:
    """The next step's batch; raises what went wrong in reading it.

    Args:
      stop: if this is done, or when it is before the batch is there, the
        answer is None.
    """
    waits = [x for x in (self._ahead, self._gave_up, stop) if x is not None]
    futures.wait(waits, return_when=futures.FIRST_COMPLETED)
    if stop is not None and stop.done():
      return None
    if self._gave_up.done():
      self._gave_up.result()
    # Before the next one is begun, so that they do not pile up on the device.
    batch, self.keys = self._ahead.result()
    self._ahead = self._begin()
    return batch

  def all(
    self, watchdog: Watchdog, what: str
  ) -> Iterator[dict[str, jax.Array]]:
    """Every batch to the end, each waited for under a watchdog.

    Args:
      watchdog: that is entered.
      what: is done with them, for people.
    """
    while self._ahead is not None:
      watchdog.now(f'the data of {what}', self.at, self.give_up)
      batch = self.next()
      watchdog.now(what)
      yield batch

  def at(self) -> str:
    """What is being read, and by whom."""
    return self._batches.at()

  def give_up(self, error: Exception) -> None:
    """Has `next` raise this; to be called by another thread."""
    self._gave_up.set_exception(error)

  def __enter__(self) -> 'Feed':
    return self

  def __exit__(self, *unused) -> None:
    self._wanted.put(None)
    self._ahead = None  # lets go of the workers' shared memory
    self._batches.close()  # which ends a wait for the workers
    self._thread.join(_CLOSE_SEC)
    if self._thread.is_alive():
      print(f'a read does not end: {self.at()}: left behind', flush=True)
      command.leave_at_once()


def local_parts(mesh: Mesh, batch_size: int) -> list[tuple[int, int]]:
  """Row ranges of the global batch that this process feeds, one per shard."""
  rows = mesh_lib.batch_sharding(mesh)
  indices = rows.addressable_devices_indices_map((batch_size,)).values()
  # A set: devices of one `tensor` group need the same rows, read once.
  return sorted({index.indices(batch_size)[:2] for (index,) in indices})


def _owned(
  mesh: Mesh, batch_size: int, parts: Sequence[tuple[int, int]]
) -> list[bool]:
  """Which of this process's parts no process before it reads as well.

  Devices of one `tensor` group, which need the same rows, may be of several.
  """
  first: dict[tuple[int, int], int] = {}
  everywhere = mesh_lib.batch_sharding(mesh).devices_indices_map((batch_size,))
  for device, (index,) in everywhere.items():
    rows = index.indices(batch_size)[:2]
    before = first.get(rows, device.process_index)
    first[rows] = min(before, device.process_index)
  return [first[rows] == jax.process_index() for rows in parts]


def to_device(
  mesh: Mesh,
  batch_size: int,
  ranges: Sequence[tuple[int, int]],
  parts: Sequence[Mapping[str, np.ndarray]],
) -> dict[str, jax.Array]:
  """The global batch from this process's parts, without joining them."""
  place = mesh_lib.batch_sharding(mesh)

  def assemble(key):
    part_of = {rows: part[key] for rows, part in zip(ranges, parts)}
    return jax.make_array_from_callback(
      (batch_size, *parts[0][key].shape[1:]),
      place,
      lambda index: part_of[index[0].indices(batch_size)[:2]],
    )

  return {key: assemble(key) for key in parts[0]}
