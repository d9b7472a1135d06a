"""A folder of ingested video: what it says of itself, and its records.

| file | what |
|---|---|
| manifest.json | counts, recipe, shards with their sha256, fingerprint |
| index.npz | a row per record: shard, position, frames, video |
| shard-00000.array_record | records (`data/formats/record.py`), uncompressed |
| shard-00000.json | the files it was made of, and those that were refused |
| quarantine.jsonl | what was refused, and why; then what is damaged |
| plan.jsonl | which file goes to which shard, so that ingestion resumes |
| contact.png | what `data.inspect` has drawn |
"""

import dataclasses
import functools
import pathlib
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from array_record.python import array_record_module

from base import jsons, npz
from data import remote
from data.formats import mistaken
from data.remote import Path
from data.source import BadRecord

MANIFEST, INDEX, QUARANTINE = 'manifest.json', 'index.npz', 'quarantine.jsonl'
PLAN, CONTACT = 'plan.jsonl', 'contact.png'
WRITER_OPTIONS = 'group_size:1,uncompressed'

# What the manifest holds of what is read here and in `data.inspect`.
_DESCRIBED = {
  'fingerprint': str,
  'videos': jsons.Count,
  'refused': jsons.Count,
  'records': jsons.Count,
  'frames': jsons.Count,
  'seconds': float,
  'lost': float,
  'bytes': jsons.Count,
  'recipe': dict,
  'shards': [{'file': str, 'bytes': jsons.Count}],
}
_TOLD = {'damaged': jsons.Count, 'told': dict, 'pictures': dict}
_COLUMNS = ('shard', 'position', 'frames', 'video')  # of the index
_REMEDY = (
  'copy the folder again, or run the command of data.ingest that made it, '
  'which writes it anew'
)
_SHARD = r'shard-\d{5,}\.array_record'  # see `shard_name`
_OPEN_READERS = 128  # per process; a corpus may have more shards than that


@dataclasses.dataclass(frozen=True)
class Shards:
  """An ingested folder. Plain values: cheap to send to another process."""

  path: Path
  fingerprint: str

  @property
  def index(self) -> Mapping[str, np.ndarray]:
    """Columns shard, position, frames and video (a hash), a row per record."""
    return _index(self.path, self.fingerprint)

  def read(self, row: int) -> bytes:
    """The bytes of one record.

    Raises:
      BadRecord: the shard is damaged or gone.
    """
    position, file = int(self.index['position'][row]), self.file(row)
    try:
      return _reader(file, self.fingerprint).read([position])[0]
    except (RuntimeError, IndexError, OverflowError, OSError) as error:
      raise BadRecord(f'record {position} of {file}: {error}') from error

  def file(self, row: int) -> Path:
    """The shard that a record is in."""
    return self.path / shard_name(int(self.index['shard'][row]))


def shard_name(shard: int) -> str:
  """File name of a shard."""
  return f'shard-{shard:05d}.array_record'


def manifest(path: Path) -> dict[str, Any]:
  """The manifest of an ingested folder.

  Raises:
    ValueError: there is none, with the reason, or it is damaged.
  """
  command = f"python -m data.ingest --videos='DIR/**' --out={path}"
  if path.is_file():
    raise ValueError(
      f'data: {path} is a file, expected a folder of data.ingest: if it is a '
      f"video, `python -m data.ingest --videos='{path}' --out=DATA` makes one"
    )
  if not path.is_dir():
    raise ValueError(f'data: no folder {path}. Make it with `{command}`.')
  if not (path / MANIFEST).is_file():
    if advice := mistaken.advice(path, MANIFEST, PLAN):
      raise ValueError(f'data: {path} has no {MANIFEST}: {advice}')
    raise ValueError(
      f'data: {path} has no {MANIFEST}: it was not ingested, or ingestion has '
      f'not finished. Run `{command}` (again: it goes on where it stopped).'
    )
  described = jsons.read(path / MANIFEST, _DESCRIBED, _REMEDY)
  if 'begun_late' in described:
    # Of an earlier version, which counted damage at the start alone.
    late = described.pop('begun_late')
    described |= {'damaged': late, 'told': {}, 'pictures': {}}
  return jsons.expect(described, _TOLD, str(path / MANIFEST), _REMEDY)


def quarantine(path: Path) -> tuple[list[dict], list[dict]]:
  """Files that were refused, and those of which a part is damaged or missing.

  Each a {'file': name, 'reason': text}, as they lie in quarantine.jsonl.

  Raises:
    ValueError: that file is damaged or gone, or the manifest is.
  """
  described, file = manifest(path), path / QUARANTINE
  rows = []
  if file.is_file():
    kind = {'file': str, 'reason': str}
    rows = jsons.read_lines(file, kind, _REMEDY)
  expected = described['refused'] + described['damaged']
  if len(rows) != expected:
    raise ValueError(
      f'{file} has {len(rows)} lines, expected {expected}: it is damaged; '
      f'{_REMEDY}'
    )
  return rows[: described['refused']], rows[described['refused'] :]


def open_shards(path: Path, fingerprint: str | None = None) -> Shards:
  """The ingested folder at `path`, checked but for the bytes of records.

  Args:
    path: the folder.
    fingerprint: what it must be, if given, so that a run is repeatable.

  Raises:
    ValueError: not an ingested folder, empty, incomplete, or another one.
  """
  described = manifest(path)
  if not described['records']:
    raise ValueError(
      f'data: {path} is empty: all {described["refused"]} files were refused. '
      f'{path / QUARANTINE} says why.'
    )
  if fingerprint not in (None, described['fingerprint']):
    raise ValueError(
      f'data: the fingerprint of {path} is {described["fingerprint"]}, the '
      f'config says {fingerprint}: this is other data. Ingest the same files '
      'with the same recipe, or change the config.'
    )
  for shard in described['shards']:
    # Its name is ours: another could be that of any file of the machine.
    if not re.fullmatch(_SHARD, shard['file']):
      raise ValueError(
        f'{path / MANIFEST} names a shard {shard["file"]!r}, expected '
        f'{shard_name(0)!r} or such: it is damaged; {_REMEDY}'
      )
    file = path / shard['file']
    size = file.stat().st_size if file.is_file() else None
    if size != shard['bytes']:
      raise ValueError(
        f'data: {file} has {size} bytes, expected {shard["bytes"]}. The copy '
        'of this folder is incomplete: copy it again.'
      )
  return Shards(path, described['fingerprint'])


# The readers and the index belong to the process, not to the source: they are
# opened when first used, and never pickled. The fingerprint is in the key so
# that other data at the same path is not mistaken for this.
@remote.kept_open(_OPEN_READERS)
def _reader(
  path: pathlib.Path, _: str
) -> array_record_module.ArrayRecordReader:
  if not path.exists():
    raise FileNotFoundError(f'no file {path}')
  return array_record_module.ArrayRecordReader(str(path))


# Of a mixture of many folders all are kept: a record is looked up in its index.
@functools.lru_cache(maxsize=1024)
def _index(path: Path, _: str) -> Mapping[str, np.ndarray]:
  file, records = path / INDEX, manifest(path)['records']
  try:
    with file.open('rb') as opened:
      columns = npz.read(opened, str(file), _REMEDY, _COLUMNS)
  except OSError as error:
    raise ValueError(f'{file} is gone ({error}); {_REMEDY}') from error
  for name, column in columns.items():
    if column.shape != (records,) or column.dtype.kind not in 'iu':
      raise ValueError(
        f'{file} has {name} {column.dtype} {list(column.shape)}, expected '
        f'{records} whole numbers: it is damaged; {_REMEDY}'
      )
    if column.min(initial=0) < 0:
      raise ValueError(
        f'{file} has {name} {column.min()}, expected 0 or more: it is damaged; '
        f'{_REMEDY}'
      )
  return columns
