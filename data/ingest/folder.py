"""A folder of videos in, a folder of records out: what `data.ingest` does."""

import glob
import os
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from base import console
from base import files as base_files
from data.film import told
from data.formats import shards
from data.ingest import local, steps
from data.ingest import manifest as manifest_lib
from data.ingest.recipe import Recipe


def ingest(
  videos: str,
  out: Path,
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
    ValueError: nothing matches, or `out` was made with another recipe.
    OSError: the disk is full.
  """
  root, files = find(videos, out)
  base_files.make_folder(out, '--out')
  (out / steps.PARTS).mkdir(exist_ok=True)
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
      local.run(out, todo, recipe, workers, limit_s)
    else:
      total = sum(len(shard['files']) for shard in planned)
      done = '1 file is' if total == 1 else f'all {total} files are'
      console.say(f'ingest: {done} done')
    for left in (out / steps.PARTS).iterdir():
      left.unlink()  # of a shard that was finished when the run was killed
    made = manifest_lib.finish(out, recipe, len(planned))
  (out / steps.PARTS).rmdir()
  return made


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
    # Shards are no videos, where --out lies below the pattern.
    if path.is_file() and own not in path.parents
  ]
  if not files:
    raise ValueError(
      f"ingest: no file matches --videos={videos!r}. '**' matches folders of "
      "any depth: --videos='DIR/**', in quotes."
    )
  return root, sorted(files)


def report(out: Path, manifest: Mapping[str, Any]) -> str:
  """What the folder now holds, for people."""
  lines = [
    f'ingest: {out} holds {told.count("video", manifest["videos"])} in '
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
      f'{out / shards.QUARANTINE}'
    )
  if manifest['refused']:
    refused, _ = shards.quarantine(out)
    reasons = Counter(row['reason'].split(':')[0] for row in refused)
    lines.append(
      f'ingest: {told.count("file", manifest["refused"])} '
      f'{"was" if manifest["refused"] == 1 else "were"} refused, see '
      f'{out / shards.QUARANTINE}:'
    )
    lines += [f'  {n} x {reason}' for reason, n in reasons.most_common(10)]
  return '\n'.join(lines)
