"""A folder of videos in, a folder of records out: what `data.ingest` does."""

import os
from collections import Counter
from collections.abc import Mapping
from typing import Any

from etils import epath

from base import console
from base import files as base_files
from data import remote
from data.film import told
from data.formats import shards
from data.ingest import local, steps
from data.ingest import manifest as manifest_lib
from data.ingest.recipe import Recipe
from data.ingest.search import check, find


def ingest(
  videos: str,
  out: epath.PathLike,
  recipe: Recipe,
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
    recipe: how to transcode.
    workers: processes; 0: this one.
    per_shard: most files of a shard.
    limit_s: seconds that one file may take.
    beam_runner: run on Apache Beam instead of `workers`.
    beam_options: of the runner, as on its command line.

  Raises:
    ValueError: nothing matches, `out` was made with another recipe or has files
      of others that would be lost, or Beam does not take what it is given.
    OSError: the disk is full.
  """
  if beam_options and not beam_runner:
    raise ValueError(
      f'ingest: --beam_options={beam_options!r} without --beam_runner: give '
      'it, as --beam_runner=DirectRunner, or neither'
    )
  if beam_runner is not None:
    from data.ingest import beam

    pipeline = beam.prepared(beam_runner, beam_options)
  out = base_files.path(out)
  root, files = find(videos, out)
  base_files.make_folder(out, '--out', stores_too=True)
  base_files.make_folder(out / steps.PARTS, '--out', stores_too=True)
  lock = out / '.lock'
  with (
    base_files.naming_full(out),
    base_files.lock(lock, sure=True) as held_by,
  ):
    if held_by:
      raise ValueError(
        f'ingest: {held_by} writes to {out}: wait for it, or give another --out'
      )
    check(out)
    base_files.remove_drafts(out)
    planned = steps.plan(out, root, files, recipe, per_shard)
    done = steps.done(out)
    todo = [
      shard
      for shard in planned
      if steps.summary(out, shard['shard']).name not in done
    ]
    if beam_runner is not None and todo:
      beam.run(out, todo, recipe, pipeline)
    elif todo:
      local.run(out, todo, recipe, workers, limit_s)
    else:
      total = sum(len(shard['files']) for shard in planned)
      done = '1 file is' if total == 1 else f'all {total} files are'
      console.say(f'ingest: {done} done')
    # What is left is of a shard that was finished when the run was killed.
    base_files.remove_folder(out / steps.PARTS)
    base_files.check_lock(lock)
    return manifest_lib.finish(out, recipe, len(planned))


def report(out: epath.PathLike, manifest: Mapping[str, Any]) -> str:
  """What the folder now holds, for people."""
  quarantine = f'{os.fspath(out)}/{shards.QUARANTINE}'
  lines = [
    f'ingest: {os.fspath(out)} holds '
    f'{told.count("video", manifest["videos"])} in '
    f'{told.count("record", manifest["records"])}: '
    f'{manifest["seconds"] / 3600:.3f} hours, '
    f'{manifest["bytes"] / 1e6:.1f} MB. Fingerprint '
    f'{manifest["fingerprint"]}.'
  ]
  kinds = told.lines(manifest['told'], manifest['pictures'])
  if kinds:
    lines.append('ingest: of these')
    lines += [f'  {line}' for line in kinds]
  if manifest['damaged']:
    lines.append(
      f'ingest: {manifest["lost"]:.1f} s of '
      f'{told.count("file", manifest["damaged"])} damaged or missing, see '
      f'{quarantine}'
    )
  if manifest['refused']:
    refused, _ = shards.quarantine(remote.path(out))
    reasons = Counter(row['reason'].split(':')[0] for row in refused)
    lines.append(
      f'ingest: {told.count("file", manifest["refused"])} '
      f'{"was" if manifest["refused"] == 1 else "were"} refused, see '
      f'{quarantine}:'
    )
    lines += [f'  {n} x {reason}' for reason, n in reasons.most_common(10)]
  return '\n'.join(lines)
