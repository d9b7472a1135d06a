"""Readouts' scores on a whole split: every clip counts once."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from base.console import progress
from data.pipeline import Pipeline
from evals import labels, metrics
from evals.metrics import Sums
from evals.readout import Readout
from models.objective import Params
from train import executable
from train.feed import Feed
from train.watchdog import Watchdog


class Scored(NamedTuple):
  """What a pass over a split gives, by task."""

  heads: dict[str, dict[str, np.ndarray]]  # sums [n heads] of each clip
  trivial: dict[str, dict[str, np.ndarray]]  # sums [n], without looking
  left_out: dict[str, Any]  # see `labels.left_out`; of clips, not of videos
  first: tuple[dict[str, Any], dict[str, np.ndarray]]  # answers and clips


def run(
  objective: Readout,
  params: Params,
  facts: Mapping[str, Sums],
  data: Pipeline,
  mesh: Mesh,
  *,
  watchdog: Watchdog,
  split: str,
  pictures: int = 4,
) -> Scored:
  """Runs readouts over every clip of a split. Call it inside `mesh.use`.

  The last batch is filled up from the start of the split, as the pipeline
  does; those rows are dropped, and so is a row whose record could not be
  read: another stands in its place.

  Args:
    objective: with `sums` and `predict`.
    params: where the mesh wants them.
    facts: of training labels, see `facts_of`.
    data: unshuffled, of one source.
    mesh: where it runs.
    watchdog: that is entered.
    split: of the data, for people who wait.
    pictures: clips of which answers and labels are kept for drawing.
  """
  whole = NamedSharding(mesh, PartitionSpec())

  def measure(params, facts, batch):
    return {
      'heads': objective.sums(params, batch),
      'trivial': objective.trivial_sums(facts, batch),
    }

  def first(params, batch):
    batch = {key: value[:pictures] for key, value in batch.items()}
    return objective.predict(params, batch), batch

  options = executable.options_of_programs_run_once()
  measure = jax.jit(measure, out_shardings=whole)
  count, size = len(data), data.batch_size
  sums, kept, reports = [], ({}, {}), []
  batches = -(-count // size)
  with (
    progress(f'scores of {split}', count, 'clip') as bar,
    Feed(data, mesh, start=0, end=batches, on_bad=reports.append) as feed,
  ):
    for number, batch in enumerate(feed.all(watchdog, f'scores of {split}')):
      sums.append(measure(params, facts, batch))
      # One batch waits behind the one that is computed, not the whole split:
      # so the device holds two, and what is said is done.
      jax.block_until_ready(sums[-2:][0])
      bar.update(min(size, count - number * size))
      if number == 0 and pictures:
        draw = jax.jit(first, out_shardings=whole, compiler_options=options)
        kept = jax.device_get(draw(params, batch))
  sums = jax.tree.map(
    lambda *batches: np.concatenate(batches)[:count], *jax.device_get(sums)
  )
  reports = labels.refused(reports, count)
  # Before the clips of a video are joined: it is clips that are named.
  counted = {name: labels.count(x) for name, x in sums['trivial'].items()}
  left_out = labels.left_out(data, reports, counted)
  rows = [report['example'] for report in reports]
  sums = jax.tree.map(lambda x: np.delete(x, rows, axis=0), sums)
  joined = {
    kind: {name: metrics.join_videos(sums) for name, sums in tasks.items()}
    for kind, tasks in sums.items()
  }
  return Scored(joined['heads'], joined['trivial'], left_out, kept)


def of_head(sums: Sums, head: int) -> dict[str, np.ndarray]:
  """The sums [n ...] of one of the heads."""
  return {name: values[:, head] for name, values in sums.items()}


def facts_of(
  objective: Readout,
  data: Pipeline,
  mesh: Mesh,
  *,
  watchdog: Watchdog,
  clips: int = 1024,
) -> tuple[dict[str, Sums], dict[str, Any]]:
  """What the trivial predictors may know, added over training clips.

  Args:
    objective: with `facts`.
    data: the training split, of labels alone; shuffled, as the first clips of
      a sorted list are of few classes.
    mesh: where it runs.
    watchdog: that is entered.
    clips: how many are read, at most; whole batches.

  Returns:
    The sums by task, and what was left out: see `labels.left_out`, with
    clips, how many were read.
  """
  whole = NamedSharding(mesh, PartitionSpec())

  def measure(batch):
    return objective.facts(batch), labels.counts(objective, batch)

  # For what runs a few times: compiled quickly rather than well.
  options = executable.options_of_programs_run_once()
  measure = jax.jit(measure, out_shardings=whole, compiler_options=options)
  total, counted, reports = None, [], []
  batches = max(1, min(clips, len(data)) // data.batch_size)
  with (
    progress('labels of train', batches * data.batch_size, 'clip') as bar,
    Feed(data, mesh, start=0, end=batches, on_bad=reports.append) as feed,
  ):
    for batch in feed.all(watchdog, 'labels of train'):
      sums, counts = jax.device_get(measure(batch))
      counted.append(counts)
      sums = jax.tree.map(lambda x: np.sum(x, axis=0, dtype=np.float64), sums)
      total = sums if total is None else jax.tree.map(np.add, total, sums)
      bar.update(data.batch_size)
  clips = batches * data.batch_size
  counted = jax.tree.map(lambda *x: np.concatenate(x), *counted)
  reports = labels.refused(reports, clips)
  left_out = labels.left_out(data, reports, counted)
  return jax.tree.map(np.float32, total), {'clips': clips, **left_out}
