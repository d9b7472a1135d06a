"""Records of a folder that TensorFlow Datasets wrote, read without TensorFlow.

The folder is that of one version, such as movi_e/256x256/1.0.0:

| file | what |
|---|---|
| dataset_info.json | splits, and how many records are in each shard |
| NAME-SPLIT.tfrecord-00000-of-00512 | records, one after the other |
| NAME-SPLIT.array_record-00000-of-00512 | the same in blocks, compressed |

Files may have other names: dataset_info.json has a template of them.
"""

import bisect
import dataclasses
import itertools
import pathlib
from typing import Any

from array_record.python import array_record_module

from base import jsons
from data import remote, require
from data.formats import tfrecord
from data.remote import Path
from data.source import BadRecord

# The first is the better one: where in a file a record begins is found by going
# through its headers, and a part of it is read without unpacking the rest, as
# ArrayRecord must, which TFDS compresses.
_FORMATS = ('tfrecord', 'array_record')
_TEMPLATE = '{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}'
_OPEN_FILES = 128  # per process; a split may have more than that
_REMEDY = 'copy it again'


@dataclasses.dataclass(frozen=True)
class Folder:
  """One split. Plain values: cheap to send to another process."""

  files: tuple[Path, ...]
  ends: tuple[int, ...]  # records up to the end of each file
  format: str  # a name of _FORMATS

  def __len__(self) -> int:
    """Number of records."""
    return self.ends[-1]

  def read(self, index: int) -> bytes:
    """The bytes of one record.

    Raises:
      BadRecord: its file is damaged or gone.
    """
    which = bisect.bisect_right(self.ends, index)
    start = self.ends[which - 1] if which else 0
    file, position = self.file(index), index - start
    read = _read_array if self.format == 'array_record' else tfrecord.read
    try:
      return read(file, position)
    except (RuntimeError, IndexError, OSError) as error:
      raise BadRecord(f'record {position} of {file}: {error}') from error

  def file(self, index: int) -> Path:
    """The file that a record is in."""
    return self.files[bisect.bisect_right(self.ends, index)]


def open_folder(path: str, split: str) -> Folder:
  """The records of a split.

  The TFRecord files, if they are all there, gzipped or not; else those of
  ArrayRecord. A gzipped file is unpacked once in each process, to find where
  its records are.

  Raises:
    ValueError: not such a folder, no such split, shards are missing, or in a
      format that is not read.
  """
  folder = remote.path(path)
  listed, format_of_file, name = _info(folder)
  lengths = _lengths(folder, listed[split]) if split in listed else []
  if split in listed and 'shardLengths' not in listed[split]:
    raise ValueError(
      f'{folder / "dataset_info.json"}: split {split!r} lacks shardLengths: it '
      f'was not written; {_REMEDY}, or take another of {sorted(listed)}'
    )
  if not sum(lengths):
    raise ValueError(
      f'{folder} has no split {split!r} with records: it has {sorted(listed)}.'
    )
  missing = []
  for kind in _FORMATS:
    names = _names(folder, listed[split], name, kind, len(lengths))
    # A file without a byte has no record, whatever wrote it.
    found = [
      file
      for file, length in zip(names, lengths)
      if file.is_file() and (file.stat().st_size or not length)
    ]
    if len(found) == len(lengths):
      return Folder(tuple(found), tuple(itertools.accumulate(lengths)), kind)
    missing.append((len(found), names[0].name, kind))
  there, first, kind = max(missing)
  if not there and format_of_file not in _FORMATS:
    raise ValueError(
      f'{folder} is stored as {format_of_file}, and {" and ".join(_FORMATS)} '
      'are read: write it anew with `tfds build --file_format=array_record`, '
      'or convert it with `tfds convert_format`'
    )
  raise ValueError(
    f'{folder}: split {split!r} has {len(lengths)} shards, found {there} '
    f'files as {first!r}. Copy the missing ones.'
  )


def _info(folder: Path) -> tuple[dict[str, dict[str, Any]], str, str]:
  """What dataset_info.json says of each split; format and name of its files."""
  info = folder / 'dataset_info.json'
  if not info.is_file():
    raise ValueError(
      f'{folder} has no dataset_info.json: give the folder of a version, as '
      'TensorFlow Datasets names it: .../movi_e/256x256/1.0.0'
    )
  kind = {'splits': [{'name': str}]}
  found = jsons.read(info, kind, _REMEDY)
  # TFRecord is of before there were others. Any name will do.
  told = {'fileFormat': 'tfrecord', 'name': '*'} | found
  jsons.expect(told, {'fileFormat': str, 'name': str}, str(info), _REMEDY)
  listed = {each['name']: each for each in found['splits']}
  return listed, told['fileFormat'], told['name']


def _lengths(folder: Path, about: dict[str, Any]) -> list[int]:
  """Records in each shard of a split; none of one that was not written."""
  where = f'{folder / "dataset_info.json"}: split {about["name"]!r}'
  if 'shardLengths' not in about:
    return []
  jsons.expect(about, {'shardLengths': [object]}, where, _REMEDY)
  try:
    # In JSON, protocol buffers have whole numbers of 64 bits as text; who reads
    # them takes numbers too.
    lengths = [int(f'{length}') for length in about['shardLengths']]
    if min(lengths, default=0) < 0:
      raise ValueError(f'{min(lengths)} records')
  except ValueError as error:
    raise ValueError(
      f'{where} has lengths of shards that are no numbers ({error}): it is '
      f'damaged; {_REMEDY}'
    ) from error
  return lengths


def _names(
  folder: Path, about: dict[str, Any], name: str, kind: str, shards: int
) -> list[Path]:
  """The file of each shard, as the template of the split has it."""
  info = folder / 'dataset_info.json'
  template = about.get('filepathTemplate') or _TEMPLATE
  jsons.expect(template, str, f'{info}: filepathTemplate', _REMEDY)
  # What follows the last one is how it was coded.
  at = template.rfind('%')
  template = template[:at] if at >= 0 else template
  digits = max(5, len(str(shards)))
  found = []
  for shard in range(shards):
    place, total = f'{shard:0{digits}d}', f'{shards:0{digits}d}'
    words = {
      '{DATASET}': name,
      '{SPLIT}': about['name'],
      '{FILEFORMAT}': kind,
      '{SHARD_INDEX}': place,
      '{NUM_SHARDS}': total,
      '{SHARD_X_OF_Y}': f'{place}-of-{total}',
    }
    named = template
    for word, value in words.items():
      named = named.replace(word, value)
    file = require.below('tfds', folder, named, info)
    found.append(next(folder.glob(named), file) if '*' in named else file)
  if len({*found}) < shards:
    raise ValueError(
      f'{info}: filepathTemplate {template!r} of split {about["name"]!r} gives '
      f'{shards} shards the name of one file: it is damaged; {_REMEDY}'
    )
  return found


def _read_array(file: Path, position: int) -> bytes:
  return _reader(file).read([position])[0]


@remote.kept_open(_OPEN_FILES)
def _reader(file: pathlib.Path) -> array_record_module.ArrayRecordReader:
  if not file.exists():
    raise FileNotFoundError('no such file')
  return array_record_module.ArrayRecordReader(str(file))
