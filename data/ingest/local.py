"""Ingestion on this machine: the steps, in processes that may die."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import tqdm

from base import console, exits
from data import remote
from data.ingest import manifest, pool, steps
from data.ingest.recipe import Recipe


def run(
  out: steps.Folder,
  todo: Iterable[Mapping[str, Any]],
  recipe: Recipe,
  workers: int,
  limit_s: int,
):
  """Makes the planned shards.

  Args:
    out: folder of the data.
    todo: shards of `steps.plan` that are not finished.
    recipe: how to transcode.
    workers: processes; 0: this one.
    limit_s: seconds that one file may take.

  Raises:
    ValueError: what an earlier call left is damaged.
    OSError: `out` cannot be written, for example a full disk.
    base.exits.Unavailable: a store does not give a file now; no other is tried.
  """
  _Run(out, todo, recipe, pool.Pool(workers, limit_s)).run()


class _Run:
  """What is left to do."""

  def __init__(
    self,
    out: steps.Folder,
    todo: Iterable[Mapping[str, Any]],
    recipe: Recipe,
    workers: pool.Pool,
  ):
    self._out, self._recipe, self._pool = out, recipe, workers
    self._shards = {shard['shard']: shard for shard in todo}
    self._missing = Counter()  # parts of each shard
    self._lost = Counter()  # processes that each task has cost

  def run(self):
    sizes, done = {}, steps.done(self._out)
    for number, shard in self._shards.items():
      root = remote.path(shard['root'])
      for position, name in enumerate(shard['files']):
        if steps.part(self._out, number, position).name in done:
          continue
        task = pool.Task(
          steps.make_part,
          (self._out, number, position, shard['root'], name, self._recipe),
        )
        path = root / name
        size = path.stat().st_size if path.is_file() else 0
        sizes[task.arguments[1:3]] = size
        self._missing[number] += 1
        self._pool.add(task)
      if not self._missing[number]:
        self._add_shard(number)
    # Told by bytes: files differ in length.
    total = sum(sizes.values())
    with console.progress('ingest', total, 'B', unit_scale=True) as bar:
      self._work(bar, sizes)

  def _work(self, bar: tqdm.tqdm, sizes: Mapping[tuple[int, int], int]):
    count, refused, seconds = 0, 0, 0.0
    for task, outcome in self._pool.outcomes():
      if task.function is steps.make_shard:
        if isinstance(outcome, Exception):
          raise outcome
        continue
      row = self._row(task, outcome)
      if row is None:
        self._pool.add(task)
        continue
      number, position = task.arguments[1:3]
      _tell(row)
      count += 1
      refused += 'refused' in row
      seconds += row.get('seconds', 0.0)
      pace = seconds / max(bar.format_dict['elapsed'], 1e-3)
      bar.set_postfix_str(
        f'{count}/{len(sizes)} files, {refused} refused, '
        f'{pace:.1f} x real time',
        refresh=False,
      )
      bar.update(sizes[number, position])
      self._missing[number] -= 1
      if not self._missing[number]:
        self._add_shard(number)

  def _add_shard(self, number: int):
    files = len(self._shards[number]['files'])
    task = pool.Task(steps.make_shard, (self._out, number, files))
    # Before the other files, so that parts do not pile up on the disk.
    self._pool.add(task, first=True)

  def _row(self, task: pool.Task, outcome: Any) -> dict[str, Any] | None:
    """What became of a file; None: try again."""
    if not isinstance(outcome, Exception):
      return outcome
    # A file that cannot be read has its part: `out` is what failed, or a store.
    if isinstance(outcome, OSError | exits.Unavailable):
      raise outcome
    _, number, position, _, name, _ = task.arguments
    if isinstance(outcome, pool.Died):
      self._lost[number, position] += 1
      # Once may be the machine's fault (out of memory), twice is the file's.
      if self._lost[number, position] == 1:
        return None
    reason = f'{type(outcome).__name__}: {outcome}'
    return steps.refuse(self._out, number, position, name, reason)


def _tell(row: Mapping[str, Any]):
  """Says of a file what a person should know at once."""
  if 'refused' in row:
    console.say(f'ingest: refused {row["name"]}: {row["refused"]}')
  elif damage := manifest.damage(row):
    console.say(
      f'ingest: {row["name"]}: {damage}; {row["seconds"]:.1f} s are kept'
    )
