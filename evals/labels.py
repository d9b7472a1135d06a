"""Which clips have labels that count, and what of a split is left out."""

import functools
import json
from collections.abc import Iterable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils
from jaxtyping import Array, Shaped

from data import pipeline
from evals.metrics import Sums
from evals.readout import Readout
from models.objective import Batch

Report = dict[str, Any]  # of a record that was refused


def count(sums: Sums) -> Shaped[Array | np.ndarray, 'b']:
  """Labels of each clip that count; a clip of a video with several has one."""
  return sums['count'] if 'count' in sums else sums['label'] >= 0


def counts(objective: Readout, batch: Batch) -> dict[str, Shaped[Array, 'b']]:
  """Labels of each clip that count, by task; the video is not looked at."""
  facts = jax.tree.map(lambda x: jnp.sum(x, axis=0), objective.facts(batch))
  sums = objective.trivial_sums(facts, batch)
  return {name: count(each) for name, each in sums.items()}


def check(
  objective: Readout, data: Mapping[str, Any], split: str, *, clips: int = 64
) -> None:
  """Looks for a label of every task; clip after clip, until all are found.

  Args:
    objective: whose tasks they are.
    data: options of a pipeline of one source, with the keys of the tasks.
    split: whose first clips are looked at.
    clips: how many, at most.

  Raises:
    ValueError: none of the clips has one.
  """
  keys = [key for key in data['keys'] if key != 'video']
  options = {'batch_size': 1, 'shuffle': False, 'max_bad': None, 'workers': 0}
  read = pipeline.make(split=split, **{**data, 'keys': keys, **options})
  clips = min(clips, len(read))
  measure = jax.jit(functools.partial(counts, objective))
  lacking = set(objective.tasks)
  for clip in range(clips):
    batch, *_ = read.examples.part(clip, (0, 1))
    found = jax.device_get(measure(batch))
    lacking -= {name for name, values in found.items() if values.any()}
    if not lacking:
      return
  name = min(lacking)
  (label,) = read.examples.labels
  raise ValueError(
    f'task {name} finds nothing to score in the first {clips} clips of split '
    f'{split!r} of source {label!r}: expected a label that counts in one of '
    'them. Look at the data with `python -m data.inspect`, or change '
    f'config.tasks.{name}'
  )


def refused(reports: Iterable[Report], examples: int) -> list[Report]:
  """One report of each of the first examples that could not be read.

  Every process calls it with what it read itself, and gets those of all.
  A pipeline reads ahead: what it refused past the end is no part of a pass.
  A substitute that is bad too is refused in its own place.
  """
  first = {}
  for report in _of_all_processes(list(reports)):
    if report['example'] < examples:
      first.setdefault(report['example'], report)
  return [first[example] for example in sorted(first)]


def _of_all_processes(reports: list[Report]) -> list[Report]:
  """Joined, in the order of the processes; as JSON, padded to one length."""
  if jax.process_count() == 1:
    return reports
  text = np.frombuffer(json.dumps(reports).encode(), np.uint8)
  sizes = multihost_utils.process_allgather(np.int32(text.size))
  padded = np.pad(text, (0, int(sizes.max()) - text.size))
  rows = multihost_utils.process_allgather(padded)
  return [
    report
    for row, size in zip(rows, sizes)
    for report in json.loads(row[:size].tobytes())
  ]


def left_out(
  data: pipeline.Pipeline,
  reports: list[Report],
  counted: Mapping[str, np.ndarray],
) -> dict[str, Any]:
  """What of a split no score says anything about.

  Args:
    data: of one source.
    reports: of `refused`.
    counted: labels that count [n] of the examples that were read, by task.

  Returns:
    records, how many the split has; excluded, what the source's index leaves
    out, {reason: count}; refused, the reports; and without_labels, {task:
    records}.
  """
  (source,) = data.examples.sources
  excluded = getattr(source, 'excluded', {})
  replaced = {report['example'] for report in reports}
  return {
    'records': len(data),
    'excluded': {key: int(n) for key, n in excluded.items() if n},
    'refused': reports,
    'without_labels': {
      name: sorted(
        {
          data.examples.locate(int(example))[1]
          for example in np.flatnonzero(values == 0)
          if example not in replaced
        }
      )
      for name, values in counted.items()
    },
  }
