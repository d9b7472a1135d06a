"""Features of a frozen backbone, written once, read instead of its video.

A folder holds `<split>.array_record`, one record per clip of the split in
order: the bfloat16 numbers of [t n d]; and `<split>.json`, their shape and
number, which is written last.
"""

import dataclasses
import json
import math
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import ml_dtypes
import numpy as np
from array_record.python import array_record_module

from base import files, jsons
from base.console import say
from data import remote
from data import source as source_lib
from data.remote import Path

KEYS = ('features',)  # and those of the source that it is made with
DTYPE = np.dtype(ml_dtypes.bfloat16)
_OPTIONS = 'group_size:1,uncompressed'
_COUNT = jsons.Count
_ABOUT = {
  'shape': [_COUNT],
  'count': _COUNT,
  'bytes': _COUNT,
}  # what the JSON holds


@dataclasses.dataclass(frozen=True)
class Features:
  """A `data.source.Source`: another source's records with their features."""

  path: Path
  split: str
  shape: tuple[int, ...]
  inner: source_lib.Source | None  # of the other keys
  count: int

  @property
  def fingerprint(self) -> str:
    """Of their shape, and of the source that they are of."""
    return source_lib.digest(
      self.count, self.shape, getattr(self.inner, 'fingerprint', '')
    )

  def __len__(self) -> int:
    return self.count

  @property
  def excluded(self) -> Mapping[str, int]:
    """What the source leaves out."""
    return getattr(self.inner, 'excluded', {})

  def needs(self, index: int) -> tuple[Path, ...]:
    """The file of features, and what the source needs."""
    needs = getattr(self.inner, 'needs', None)
    inner = needs(index) if needs else ()
    return (file_of(self.path, self.split), *inner)

  def read(
    self, index: int, rng: np.random.Generator
  ) -> Mapping[str, np.ndarray]:
    """The record of the source, and 'features' bfloat16 [t n d]."""
    reader = _reader(file_of(self.path, self.split))
    values = np.frombuffer(reader.read([index])[0], DTYPE).reshape(self.shape)
    other = self.inner.read(index, rng) if self.inner else {}
    return {**other, 'features': values}


def make(
  split: str,
  *,
  path: str,
  source: Mapping[str, Any],
  keys: Sequence[str],
  **clip: int,
) -> Features:
  """The clips of another source, with features for their video.

  Args:
    split: of the source.
    path: folder that `write` filled.
    source: name and options of the source.
    keys: 'features' and keys of the source.
    **clip: frames, height and width: already among the source's options.

  Raises:
    ValueError: the folder lacks the split, or it is damaged or of another
      source.
  """
  del clip
  about = described(remote.path(path), split)
  if about is None:
    raise ValueError(
      f'{path} holds no features of split {split!r}: run the readout job with '
      'config.feature_cache, which writes them'
    )
  options = {k: v for k, v in source.items() if k != 'weight'}
  rest = tuple(key for key in keys if key != 'features')
  inner = None
  if rest:
    inner = source_lib.make(
      **{**options, 'split': split, 'keys': rest},
    )
    if len(inner) != about['count']:
      raise ValueError(
        f'{path} has features of {about["count"]} clips of split {split!r}, '
        f'the source has {len(inner)}: delete the folder to make them again'
      )
  return Features(
    remote.path(path), split, tuple(about['shape']), inner, about['count']
  )


def described(path: Path, split: str) -> dict[str, Any] | None:
  """Shape, count and bytes of a split's features; None if they are not there.

  Raises:
    ValueError: they are damaged.
  """
  about, file = path / f'{split}.json', file_of(path, split)
  if not about.is_file():
    return None
  remedy = 'run the readout job again, which writes it anew'
  found = jsons.read(about, _ABOUT, remedy)
  size = file.stat().st_size if file.is_file() else None
  if size != found['bytes']:
    raise ValueError(
      f'{file} has {size} bytes, expected {found["bytes"]}: it is damaged; '
      f'{remedy}'
    )
  numbers = found['count'] * math.prod(found['shape'])
  if numbers * DTYPE.itemsize > size:
    raise ValueError(
      f'{about} says that there are {found["count"]} times {found["shape"]} '
      f'numbers, more than the {size} bytes of {file} hold: it is damaged; '
      f'{remedy}'
    )
  return found


def is_missing(path: pathlib.Path, split: str) -> bool:
  """Whether a split is to be written; what is damaged is told, and is."""
  try:
    return described(path, split) is None
  except ValueError as error:
    say(f'features: {error}')
    return True


def write(
  path: pathlib.Path, split: str, batches: Iterable[np.ndarray]
) -> None:
  """Writes a split's features [b t n d], in order, if they are missing.

  One process writes to a folder. Where another one does, this one waits, and
  then finds them there. What a killed one has left is written anew.

  Args:
    path: of the folder.
    split: of the source.
    batches: not asked for one where there is nothing to write.

  Raises:
    OSError: it cannot be written, for example a full disk.
  """
  with files.lock(path / 'lock', wait=True):
    if not is_missing(path, split):
      return
    files.remove_drafts(path)
    # Last comes what says that they are there.
    about, file = path / f'{split}.json', file_of(path, split)
    about.unlink(missing_ok=True)
    count, shape = 0, ()
    with files.replacing(file) as draft:
      writer = array_record_module.ArrayRecordWriter(str(draft), _OPTIONS)
      for batch in batches:
        shape = batch.shape[1:]
        for values in batch.astype(DTYPE):
          writer.write(values.tobytes())
        count += len(batch)
      writer.close()
    found = {'shape': shape, 'count': count, 'bytes': file.stat().st_size}
    files.write(about, json.dumps(found))


def file_of(path: Path, split: str) -> Path:
  """Where a split's records are."""
  return path / f'{split}.array_record'


@remote.kept_open(16)
def _reader(path: pathlib.Path) -> array_record_module.ArrayRecordReader:
  return array_record_module.ArrayRecordReader(str(path))
