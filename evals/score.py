"""A readout's scores on a whole split: every clip counts once."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from data.pipeline import Pipeline
from evals.readout import Readout
from models.objective import Params
from train.feed import Feed


class Tested(NamedTuple):
  """What a pass over a split gives."""

  clips: dict[str, np.ndarray]  # the task's sums [n] of each clip
  refused: list[dict[str, Any]]  # clips that could not be read; not in `clips`
  pictures: dict[str, np.ndarray]  # of the first clips


def run(
  objective: Readout,
  params: Params,
  data: Pipeline,
  mesh: Mesh,
  *,
  pictures: int = 4,
) -> Tested:
  """Runs a readout over every clip of a split. Call it inside `mesh.use`.

  The last batch is filled up from the start of the split, as the pipeline
  does; those rows are dropped, and so is a row whose record could not be
  read: another stands in its place.

  Args:
    objective: with `sums` and `pictures`.
    params: where the mesh wants them.
    data: unshuffled, of one source.
    mesh: where it runs.
    pictures: clips that are drawn.
  """
  whole = NamedSharding(mesh, PartitionSpec())
  sums_of = jax.jit(objective.sums, out_shardings=whole)
  count, size = len(data), data.batch_size
  sums, drawn, refused = [], {}, []
  with Feed(data, mesh, start=0, on_bad=refused.append) as feed:
    for number in range(-(-count // size)):
      batch = feed.next()
      sums.append(sums_of(params, batch))
      if number == 0 and pictures:
        drawn = jax.device_get(_draw(objective, params, batch, pictures, whole))
  sums = jax.device_get(sums)
  clips = {
    name: np.concatenate([batch[name] for batch in sums])[:count]
    for name in sums[0]
  }
  # The pipeline reads ahead: what it refused past the end is no test clip.
  refused = [report for report in refused if report['example'] < count]
  return Tested(*_without(clips, refused), drawn)


def _draw(objective, params, batch, clips, place):
  def first(params, batch):
    batch = {key: value[:clips] for key, value in batch.items()}
    return objective.pictures(params, batch, jax.random.key(0))

  return jax.jit(first, out_shardings=place)(params, batch)


def _without(
  clips: Mapping[str, np.ndarray], refused: list[dict[str, Any]]
) -> tuple[dict[str, np.ndarray], list[dict[str, Any]]]:
  rows = sorted({report['example'] for report in refused})
  return {k: np.delete(v, rows) for k, v in clips.items()}, refused
