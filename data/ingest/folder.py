"""A folder of videos in, a folder of records out: what `data.ingest` does."""

import fnmatch
import glob
import os
import pathlib
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
from data.remote import Path


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
    ValueError: nothing matches, or `out` was made with another recipe.
    OSError: the disk is full.
  """
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
    base_files.remove_drafts(out)
    planned = steps.plan(out, root, files, recipe, per_shard)
    done = steps.done(out)
    todo = [
      shard
      for shard in planned
      if steps.summary(out, shard['shard']).name not in done
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
    # What is left is of a shard that was finished when the run was killed.
    base_files.remove_folder(out / steps.PARTS)
    base_files.check_lock(lock)
    return manifest_lib.finish(out, recipe, len(planned))


def find(videos: str, out: epath.PathLike) -> tuple[Path, list[str]]:
  """The folder that a pattern searches, and the files below it that match.

  Raises:
    ValueError: there is none.
  """
  if not base_files.is_local(videos):
    return _find_in_store(videos, out)
  if os.path.isdir(videos):
    videos = os.path.join(glob.escape(videos), '**')
  pattern = pathlib.Path(os.path.abspath(videos))
  fixed = next(
    (n for n, part in enumerate(pattern.parts) if glob.has_magic(part)),
    len(pattern.parts) - 1,
  )
  root = pathlib.Path(*pattern.parts[:fixed])
  own = os.path.abspath(out)
  files = [
    str(path.relative_to(root))
    for path in map(pathlib.Path, glob.iglob(str(pattern), recursive=True))
    # Shards are no videos, where --out lies below the pattern.
    if path.is_file() and own not in map(str, path.parents)
  ]
  return root, _some(files, videos)


def _find_in_store(videos: str, out: epath.PathLike) -> tuple[Path, list[str]]:
  """As `find`, by one list of what is below the pattern's fixed part."""
  parts = videos.rstrip('/').split('/')
  fixed = next((n for n, part in enumerate(parts) if glob.has_magic(part)), 0)
  if fixed == 2:
    raise ValueError(
      f'ingest: --videos={videos!r}: the bucket {parts[2]!r} is a pattern: '
      'give its whole name'
    )
  # As on a disk a folder is one, whatever is in its name.
  if fixed and remote.path(videos).is_dir():
    fixed = 0
  root = remote.path('/'.join(parts[:fixed] if fixed else parts))
  if not fixed and root.is_file():
    return root.parent, [root.name]
  pattern = '/'.join(parts[fixed:]) if fixed else '**'
  own = f'{os.fspath(out)}/'
  files = [
    str(path).removeprefix(f'{root}/')
    for path in root.rglob('*')
    if not str(path).startswith(own)
  ]
  return root, _some([f for f in files if _fits(f, pattern)], videos)


def _fits(name: str, pattern: str) -> bool:
  """Whether glob would find it: '**' is any number of folders."""
  parts = name.split('/')
  # As glob does, which passes by what is hidden.
  return not any(part.startswith('.') for part in parts) and _fit(
    parts, pattern.split('/')
  )


def _fit(parts: list[str], patterns: list[str]) -> bool:
  if not patterns:
    return not parts
  first, *rest = patterns
  if first == '**':
    # At the end also files, of any depth.
    tails = range(len(parts) + 1)
    return not rest or any(_fit(parts[at:], rest) for at in tails)
  return (
    bool(parts)
    and fnmatch.fnmatchcase(parts[0], first)
    and _fit(parts[1:], rest)
  )


def _some(files: list[str], videos: str) -> list[str]:
  if not files:
    raise ValueError(
      f"ingest: no file matches --videos={videos!r}. '**' matches folders of "
      "any depth: --videos='DIR/**', in quotes."
    )
  return sorted(files)


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
