"""The steps of ingestion: plan, a part per file, a shard per group.

Each step leaves one finished file, made under another name and renamed, and is
skipped where that file exists: killed at any time, the same steps go on, and
the result is the same bytes. The plan fixes which file goes to which shard, so
neither workers nor interruptions nor files added later change a shard.
"""

import dataclasses
import fnmatch
import hashlib
import json
import pathlib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgpack
from array_record.python import array_record_module
from etils import epath

from base import files as base_files
from base import jsons
from data import remote
from data.formats import record
from data.formats.shards import PLAN, WRITER_OPTIONS, shard_name
from data.ingest import transcode
from data.ingest.recipe import Recipe
from data.remote import Path
from data.source import BadRecord

# Where data are written: of a disk, or of a store.
Folder = pathlib.Path | epath.Path

PARTS = 'parts'
FORMAT = 1
SHARD_BYTES = 2**30  # of video files; those of 1080p make about 300 MB
# Of JSON: what the first and other lines of the plan hold,
_HEAD = {'format': int, 'recipe': dict}
_PLANNED = {'shard': jsons.Count, 'root': str, 'files': [str]}
# a shard's summary, in it a video that was refused or kept, and if there is a
# record what its file is like.
_COUNT = jsons.Count
_MADE = {'shard': _COUNT, 'records': _COUNT, 'videos': [{'name': str}]}
_REFUSED = {'refused': str}
_KEPT = {'source': str, 'frames': [_COUNT], 'seconds': float, 'lost': float}
_FILE = {'bytes': _COUNT, 'sha256': str}


def plan(
  out: Folder,
  root: Path,
  files: Sequence[str],
  recipe: Recipe,
  per_shard: int,
) -> list[dict[str, Any]]:
  """The shards to make, those of earlier calls first.

  Args:
    out: folder of the data.
    root: folder of the videos.
    files: videos, relative to `root`; new ones become new shards.
    recipe: how to transcode; must stay the same for one `out`.
    per_shard: most files of a shard.

  Returns:
    {'shard': number, 'root': folder, 'files': [name]} for each.

  Raises:
    ValueError: `out` was made with another recipe, or its plan is damaged.
  """
  head = {'format': FORMAT, 'recipe': dataclasses.asdict(recipe)}
  lines = _lines(out)
  if not lines:
    _append(out / PLAN, [head])
  elif lines[0] != head:
    raise ValueError(
      f'ingest: {out} was made with {lines[0]["recipe"]}, now asked for '
      f'{head["recipe"]}. Use the same options, or another --out.'
    )
  shards = lines[1:]
  known = {(shard['root'], name) for shard in shards for name in shard['files']}
  new = sorted(name for name in files if (str(root), name) not in known)
  added = [
    {'shard': len(shards) + number, 'root': str(root), 'files': group}
    for number, group in enumerate(_groups(root, new, per_shard))
  ]
  _append(out / PLAN, added)
  return shards + added


def _groups(
  root: Path, files: Sequence[str], per_shard: int
) -> Iterator[list[str]]:
  group, size = [], 0
  for name in files:
    group.append(name)
    size += (root / name).stat().st_size
    # Whole files only: a shard can be made by itself.
    if len(group) == per_shard or size >= SHARD_BYTES:
      yield group
      group, size = [], 0
  if group:
    yield group


def make_part(
  out: Folder,
  shard: int,
  position: int,
  root: str,
  name: str,
  recipe: Recipe,
) -> dict[str, Any]:
  """Transcodes one file to a part; returns what the report says of it.

  A file that is not a good video, or cannot be read, leaves a part that says
  so.

  Raises:
    OSError: `out` cannot be written, for example a full disk.
    base.exits.Unavailable: the file's store does not give it now.
  """
  label, file = printable(name), remote.path(root) / name
  try:
    with remote.once(file):
      made = transcode.records(file, label, recipe)
  except (BadRecord, OSError) as error:
    return refuse(out, shard, position, name, str(error))
  parsed = [record.parse(data) for data in made.records]
  last, told = parsed[-1], made.told
  row = {
    'name': label,
    'source': last.source,
    'frames': [each.frames for each in parsed],
    'seconds': made.seconds,
    'lost': round(told.lost, 3),
    'size': [last.width, last.height],
    'bytes': sum(map(len, made.records)),
    'told': dict(+told.kinds),
    'pictures': dict(+told.pictures),
    'gaps': [[gap.begin, gap.seconds] for gap in told.gaps],
  }
  packed = msgpack.packb([row, made.records])
  base_files.write(part(out, shard, position), packed)
  return row


def refuse(
  out: Folder, shard: int, position: int, name: str, reason: str
) -> dict[str, Any]:
  """Leaves a part that says why there are no records of this file."""
  row = {'name': printable(name), 'refused': reason}
  base_files.write(part(out, shard, position), msgpack.packb([row, []]))
  return row


def part(out: Folder, shard: int, position: int) -> Folder:
  """Where the records of one file wait for their shard."""
  return out / PARTS / f'{shard:05d}-{position:05d}'


def summary(out: Folder, shard: int) -> Folder:
  """What says that a shard is finished, and what is in it."""
  return (out / shard_name(shard)).with_suffix('.json')


def done(out: Folder) -> set[str]:
  """Names of what is finished: of parts and of summaries, without folders."""
  return {*base_files.names(out), *base_files.names(out / PARTS)}


def make_shard(out: Folder, shard: int, files: int) -> dict[str, Any]:
  """Joins the parts of a shard, in the order of the plan.

  Safe to call again, however the last call ended, as Beam does: parts go last,
  and where there is a summary nothing else is left to do.

  Raises:
    ValueError: a part, or the summary, is damaged.
    OSError: `out` cannot be written, for example a full disk.
  """
  parts = [part(out, shard, position) for position in range(files)]
  if not base_files.exists(summary(out, shard)):
    made = _join(out, shard, parts)
    # Last: it is what says that the shard is whole.
    base_files.write(summary(out, shard), json.dumps(made))
  for path in parts:
    base_files.remove(path)
  return read_summary(out, shard)


def _join(out: Folder, shard: int, parts: Sequence[Folder]) -> dict[str, Any]:
  """Writes the records of the parts; returns what the summary says."""
  rows, records, made = [], 0, {}
  target = out / shard_name(shard)
  with base_files.replacing(target) as draft:
    writer = array_record_module.ArrayRecordWriter(str(draft), WRITER_OPTIONS)
    for path in parts:
      row, packed = _read_part(path)
      rows.append(row)
      for data in packed:
        writer.write(data)
      records += len(packed)
    writer.close()
    with draft.open('rb') as file:
      made['sha256'] = hashlib.file_digest(file, 'sha256').hexdigest()
    made['bytes'] = draft.stat().length
  if not records:
    base_files.remove(target)
    made = {}
  return {'shard': shard, 'records': records, 'videos': rows} | made


def _read_part(path: Folder) -> tuple[dict[str, Any], list[bytes]]:
  try:
    row, packed = msgpack.unpackb(base_files.read_bytes(path))
  # All that msgpack raises of bytes that are cut off or garbled.
  except (ValueError, TypeError, msgpack.UnpackException) as error:
    raise ValueError(
      f'{path} is damaged ({error!r}): delete it, and run the same command '
      'again, which makes it anew'
    ) from error
  return row, packed


def read_summary(out: Folder, shard: int) -> dict[str, Any]:
  """What is in a finished shard.

  Raises:
    ValueError: the summary is damaged.
  """
  file = summary(out, shard)
  remedy = 'delete it, and run the same command again, which makes it anew'
  made = jsons.read(file, _MADE, remedy)
  for row in made['videos']:
    kind = _REFUSED if 'refused' in row else _KEPT
    jsons.expect(row, kind, f'{file}: {row["name"]}', remedy)
    if kind is _KEPT and not re.fullmatch(r'[0-9a-f]{64}', row['source']):
      raise ValueError(
        f'{file}: {row["name"]} has the source {row["source"]!r}, expected a '
        f'sha256: it is damaged; {remedy}'
      )
    if kind is _KEPT and max(row['frames'], default=0) >= 2**31:
      raise ValueError(
        f'{file}: {row["name"]} has {row["frames"]} frames: it is damaged; '
        f'{remedy}'
      )
  if made['shard'] != shard:
    raise ValueError(
      f'{file} is of shard {made["shard"]}: it is damaged, or another file; '
      f'{remedy}'
    )
  return jsons.expect(made, _FILE if made['records'] else {}, str(file), remedy)


def printable(name: str) -> str:
  """A file's name; bytes that are not UTF-8 are escaped."""
  return name.encode(errors='backslashreplace').decode()


def _lines(out: Folder) -> list[dict[str, Any]]:
  """The head of the plan, and the shards; nothing if none is planned.

  Raises:
    ValueError: it is damaged.
  """
  file, lines = out / PLAN, []
  remedy = 'give another --out, or copy the folder again'
  if base_files.exists(file):
    lines = jsons.read_lines(file, dict, remedy)
    # A kill while writing leaves a last line without its end: not yet planned.
    text = base_files.read_bytes(file)
    whole = text[: text.rfind(b'\n') + 1]
    if whole != text:
      base_files.write(file, whole)
  for number, line in enumerate(lines, 1):
    where = f'line {number} of {file}'
    jsons.expect(line, _PLANNED if number > 1 else _HEAD, where, remedy)
  finished = len(fnmatch.filter(base_files.names(out), 'shard-*.json'))
  if finished > max(0, len(lines) - 1):
    raise ValueError(
      f'{file} has {max(0, len(lines) - 1)} shards, and {finished} are '
      f'finished: it is damaged; {remedy}'
    )
  return lines


def _append(path: Folder, rows: Sequence[Mapping[str, Any]]):
  if rows:
    base_files.append(path, ''.join(json.dumps(row) + '\n' for row in rows))
