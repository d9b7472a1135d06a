"""The work of `data.ingest` on one machine, and on Beam: what is left to do."""

import glob
import os
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tqdm

from base import console
from base import files as base_files
from data.formats import shards
from data.ingest import pool, steps, transcode


def ingest(
  videos: str,
  out: Path,
  recipe: Mapping[str, int | str],
  *,
  workers: int,
  per_shard: int = 256,
  limit_s: int = 7200,
  beam_runner: str | None = None,
  beam_options: str = '',
) -> dict[str, Any]:
  """Ingests the files that `videos` matches; returns the manifest.

  Args:
    videos: pattern; a folder stands for all below it.
    out: folder to write.
    recipe: keyword arguments of `transcode.records`.
    workers: processes; 0: this one.
    per_shard: most files of a shard.
    limit_s: seconds that one file may take.
    beam_runner: run on Apache Beam instead of `workers`.
    beam_options: of the runner, as on its command line.

  Raises:
    ValueError: nothing matches, an impossible recipe, or `out` was made with
      another.
    OSError: the disk is full.
  """
  transcode.check(recipe)
  root, files = find(videos, out)
  (out / steps.PARTS).mkdir(parents=True, exist_ok=True)
  with (
    base_files.naming_full(out),
    base_files.lock(out / '.lock') as held_by,
  ):
    if held_by:
      raise ValueError(
        f'ingest: {held_by} writes to {out}: wait for it, or give another --out'
      )
    base_files.remove_drafts(out)
    planned = steps.plan(out, root, files, recipe, per_shard)
    todo = [
      shard
      for shard in planned
      if not steps.summary(out, shard['shard']).exists()
    ]
    if beam_runner and todo:
      from data.ingest import beam

      beam.run(out, todo, recipe, beam_runner, beam_options)
    elif todo:
      _Run(out, todo, recipe, pool.Pool(workers, limit_s)).run()
    else:
      total = sum(len(shard['files']) for shard in planned)
      console.say(f'ingest: all {total} files are done')
    for left in (out / steps.PARTS).iterdir():
      left.unlink()  # of a shard that was finished when the run was killed
    manifest = steps.finish(out, recipe, len(planned))
  (out / steps.PARTS).rmdir()
  return manifest


def find(videos: str, out: Path) -> tuple[Path, list[str]]:
  """The folder that a pattern searches, and the files below it that match.

  Raises:
    ValueError: there is none.
  """
  if os.path.isdir(videos):
    videos = os.path.join(glob.escape(videos), '**')
  pattern = Path(os.path.abspath(videos))
  fixed = next(
    (n for n, part in enumerate(pattern.parts) if glob.has_magic(part)),
    len(pattern.parts) - 1,
  )
  root = Path(*pattern.parts[:fixed])
  own = out.absolute()
  files = [
    str(path.relative_to(root))
    for path in map(Path, glob.iglob(str(pattern), recursive=True))
    if path.is_file() and own not in path.parents
  ]
  if not files:
    raise ValueError(
      f"ingest: no file matches --videos={videos!r}. '**' matches folders of "
      "any depth: --videos='DIR/**', in quotes."
    )
  return root, sorted(files)


class _Run:
  """What is left to do, on this machine."""

  def __init__(
    self,
    out: Path,
    todo: list[dict[str, Any]],
    recipe: Mapping[str, int | str],
    workers: pool.Pool,
  ):
    self._out, self._recipe, self._pool = out, recipe, workers
    self._shards = {shard['shard']: shard for shard in todo}
    self._missing = Counter()  # parts of each shard
    self._lost = Counter()  # processes that each task has cost

  def run(self):
    sizes = {}
    for number, shard in self._shards.items():
      for position, name in enumerate(shard['files']):
        if steps.part(self._out, number, position).exists():
          continue
        task = pool.Task(
          steps.make_part,
          (self._out, number, position, shard['root'], name, self._recipe),
        )
        path = Path(shard['root']) / name
        sizes[task.arguments[1:3]] = path.stat().st_size if path.exists() else 0
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
    self._pool.add(task, first=True)

  def _row(self, task: pool.Task, outcome: Any) -> dict[str, Any] | None:
    """What became of a file; None: try again."""
    if not isinstance(outcome, Exception):
      return outcome
    if isinstance(outcome, OSError) and outcome.errno in base_files.FULL:
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
  elif row['lost']:
    console.say(
      f'ingest: {row["name"]}: its first {row["lost"]:.1f} s do not decode, '
      f'{row["seconds"]:.1f} s are kept'
    )


def report(out: Path, manifest: Mapping[str, Any]) -> str:
  """What the folder now holds, for people."""
  lines = [
    f'ingest: {out} holds {manifest["videos"]} videos in '
    f'{manifest["records"]} records: {manifest["seconds"] / 3600:.3f} hours, '
    f'{manifest["bytes"] / 1e6:.1f} MB. Fingerprint '
    f'{manifest["fingerprint"]}.'
  ]
  if manifest['begun_late']:
    lines.append(
      f'ingest: {manifest["lost"]:.1f} s at the start of '
      f'{manifest["begun_late"]} of them do not decode and were left out, see '
      f'{out / shards.QUARANTINE}'
    )
  if manifest['refused']:
    refused, _ = shards.quarantine(out)
    reasons = Counter(row['reason'].split(':')[0] for row in refused)
    lines.append(
      f'ingest: {manifest["refused"]} files were refused, see '
      f'{out / shards.QUARANTINE}:'
    )
    lines += [f'  {n} x {reason}' for reason, n in reasons.most_common(10)]
  return '\n'.join(lines)
