"""Which videos a pattern names.

All files that match, but those that ingestion itself writes, by their names and
where they lie: so --out may be anywhere, also above the videos or among them.
As in a shell, names that begin with a dot match where the pattern has the dot.
"""

import fnmatch
import glob
import os
import pathlib
import re
from collections.abc import Callable, Sequence

from etils import epath

from base import console
from base import files as base_files
from data import remote
from data.film import told
from data.formats import shards
from data.ingest import steps
from data.remote import Path

_SHARD = r'shard-\d{5,}\.(array_record|json)'
_PART = r'\d{5,}-\d{5,}'
_WRITTEN = (shards.MANIFEST, shards.INDEX, shards.QUARANTINE)


def find(videos: str, out: epath.PathLike) -> tuple[Path, list[str]]:
  """The folder that a pattern searches, and the files below it that match.

  Without those that ingestion wrote to `out`. Says how many links lead nowhere.

  Args:
    videos: pattern; a folder stands for all below it.
    out: folder that is written.

  Raises:
    ValueError: there is none.
  """
  if not base_files.is_local(videos):
    return _find_in_store(videos, out)
  videos = os.path.expanduser(videos)
  if os.path.isdir(videos):
    videos = os.path.join(glob.escape(videos), '**')
  pattern = pathlib.Path(os.path.abspath(videos))
  fixed = next(
    (n for n, part in enumerate(pattern.parts) if glob.has_magic(part)),
    len(pattern.parts) - 1,
  )
  root = pathlib.Path(*pattern.parts[:fixed])
  found, no_files = [], []
  for path in map(pathlib.Path, glob.iglob(str(pattern), recursive=True)):
    if path.is_file():
      found.append(str(path.relative_to(root)))
    elif not path.is_dir():
      no_files.append(path)
  if no_files:
    names = told.count('name', len(no_files))
    console.say(
      f'ingest: {names} left out, such as {min(no_files)}: a link that leads '
      'nowhere, or no file'
    )
  # By a link it has another name.
  own, real = os.path.realpath(out), os.path.realpath
  return root, _others(found, lambda f: real(root / f), own, videos)


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
  below = (str(path).removeprefix(f'{root}/') for path in root.rglob('*'))
  found = [name for name in below if _fits(name, pattern)]
  return root, _others(found, lambda f: f'{root}/{f}', os.fspath(out), videos)


def _fits(name: str, pattern: str) -> bool:
  """Whether glob would find it: '**' is any number of folders."""
  return _fit(name.split('/'), pattern.split('/'))


def _fit(parts: list[str], patterns: list[str]) -> bool:
  if not patterns:
    return not parts
  first, *rest = patterns
  if first == '**':
    # At the end also files, of any depth.
    passed = next((n for n, p in enumerate(parts) if p[:1] == '.'), len(parts))
    if not rest:
      return passed == len(parts)
    return any(_fit(parts[at:], rest) for at in range(passed + 1))
  return (
    bool(parts)
    and (not parts[0].startswith('.') or first.startswith('.'))
    and fnmatch.fnmatchcase(parts[0], first)
    and _fit(parts[1:], rest)
  )


def _others(
  found: Sequence[str], place: Callable[[str], str], out: str, videos: str
) -> list[str]:
  """Those that are not ingestion's own, sorted.

  Args:
    found: all that match.
    place: of a file, where it lies.
    out: where ingestion writes.
    videos: the pattern.
  """
  # Most have another name, and need not be looked up.
  others = [
    file
    for file in found
    if not (_is_own(file.rpartition('/')[2]) and _is_at(place(file), out))
  ]
  if others:
    return sorted(others)
  if found:
    raise ValueError(
      f'ingest: all that matches --videos={videos!r} was written by ingestion '
      'itself: name the folder of the videos'
    )
  raise ValueError(
    f"ingest: no file matches --videos={videos!r}. '**' matches folders of any "
    "depth: --videos='DIR/**', in quotes; names that begin with a dot are "
    'passed by.'
  )


def _is_own(name: str) -> bool:
  """Whether it is the name of something that ingestion writes."""
  known = name in (*_WRITTEN, steps.PLAN, shards.CONTACT)
  return known or bool(re.fullmatch(f'{_SHARD}|{_PART}', name))


def _is_at(file: str, out: str) -> bool:
  """Whether it lies where ingestion would write what is called so."""
  folder, _, name = file.rpartition('/')
  part = bool(re.fullmatch(_PART, name))
  return folder == (f'{out}/{steps.PARTS}' if part else out)


def check(out: steps.Folder) -> None:
  """Whether nothing of others in `out` would be written over, or removed.

  Raises:
    ValueError: something would.
  """
  parts = base_files.names(out / steps.PARTS)
  theirs = [
    f'{steps.PARTS}/{name}'
    for name in parts
    if not (re.fullmatch(_PART, name) or base_files.is_draft(name))
  ]
  # Before it writes anything else, ingestion writes its plan.
  if not base_files.exists(out / steps.PLAN):
    theirs += [
      name
      for name in base_files.names(out)
      if name in _WRITTEN or re.fullmatch(_SHARD, name)
    ]
  if theirs:
    raise ValueError(
      f'ingest: --out={os.fspath(out)} has {theirs[0]}, which is not of this '
      'ingestion and would be lost: move it, or give another --out'
    )
