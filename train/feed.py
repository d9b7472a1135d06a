"""Batches on the device, one ahead of the step that needs them."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import jax
import numpy as np
from jax.sharding import Mesh

from data.pipeline import Pipeline
from train import mesh as mesh_lib


class Feed:
  """Global batches from `start` to `end`, each process bringing its rows.

  A thread takes the next batch from the pipeline and starts its transfer
  while the device computes. A context manager: leaving it ends the workers.
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
    self._batches = pipeline.batches(start, parts=self._parts, on_bad=on_bad)
    # One thread, so that batches stay in order.
    self._thread = ThreadPoolExecutor(1, 'feed')
    self._left = end - start
    self._ahead = self._begin()

  def _begin(self):
    self._left -= 1
    return self._thread.submit(self._load) if self._left >= 0 else None

  def _load(self):
    return to_device(
      self._mesh, self._batch_size, self._parts, next(self._batches)
    )

  def next(self) -> dict[str, jax.Array]:
    """The next step's batch; raises what went wrong in reading it."""
    # Before the next one is begun, so that they do not pile up on the device.
    batch = self._ahead.result()
    self._ahead = self._begin()
    return batch

  def __enter__(self) -> 'Feed':
    return self

  def __exit__(self, *unused) -> None:
    # First, since it may be reading from the workers that are ended below.
    self._thread.shutdown(wait=True)
    self._ahead = None  # lets go of the workers' shared memory
    self._batches.close()


def local_parts(mesh: Mesh, batch_size: int) -> list[tuple[int, int]]:
  """Row ranges of the global batch that this process feeds, one per shard."""
  rows = mesh_lib.batch_sharding(mesh)
  indices = rows.addressable_devices_indices_map((batch_size,)).values()
  # A set: devices of one `tensor` group need the same rows, read once.
  return sorted({index.indices(batch_size)[:2] for (index,) in indices})


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
