"""The pictures of a record's video, however TensorFlow Datasets stored them.

| feature | what a record has |
|---|---|
| Video; Images in a Sequence or in steps | a file (PNG, JPEG) for each |
| Tensor [t h w c]; [h w c] in a Sequence or in steps | all numbers in a list |
| the same, encoding='bytes' or 'zlib' | bytes of the Tensor, or of each |
| the same, if two sides vary | NAME/value, and NAME/shape |
"""

import zlib

import numpy as np

from data.formats.tfds.described import Described
from data.formats.tfds.example import features
from data.source import BadRecord

# Of pixels that are packed, at most: far more than a record that fits a shard.
_BYTES = 2**31


def frames(
  record: bytes, name: str, about: Described | None
) -> list[bytes] | list[np.ndarray]:
  """The pictures, in order: files, or uint8 [h w c] with c 1 or 3.

  Args:
    record: a tf.train.Example.
    name: of the feature.
    about: what it is; None: files.

  Raises:
    BadRecord: the record lacks it, or its sizes do not fit.
  """
  if about is None or about.coding == 'file':
    (found,) = features(record, [name]).values()
  else:
    try:
      found = _pixels(record, name, about)
    except (ValueError, TypeError, zlib.error) as error:
      raise BadRecord(f'{name} is not {about}: {error}') from error
  if not isinstance(found, list) or not found:
    raise BadRecord(f'{name} has no picture')
  return found


def _pixels(record: bytes, name: str, about: Described) -> list[np.ndarray]:
  varies = [size or -1 for size in about.shape]
  if about.coding == 'none':
    (numbers,) = features(record, [name], pixels=[name]).values()
    if getattr(numbers, 'dtype', None) != np.uint8:
      raise ValueError('it has other values than whole numbers')
    return list(numbers.reshape([-1] * about.lists + varies))
  if varies.count(-1) <= 1:
    (items,) = features(record, [name]).values()
    shapes = [varies] * len(items)
  else:
    value, shape = f'{name}/value', f'{name}/shape'
    found = features(record, [value, shape])
    items, given = found[value], found[shape].reshape(-1, len(varies))
    shapes = np.where(np.array(about.shape) > 0, about.shape, given).tolist()
    if len(shapes) != len(items) or given.min(initial=1) < 1:
      raise ValueError(f'{len(items)} pieces have the shapes {given.tolist()}')
  made = [
    np.frombuffer(_unpacked(item, about.coding), np.uint8).reshape(size)
    for item, size in zip(items, shapes)
  ]
  if about.lists:
    return made
  (whole,) = made
  return list(whole)


def _unpacked(item: bytes, coding: str) -> bytes:
  if coding == 'bytes':
    return item
  stream = zlib.decompressobj()
  found = stream.decompress(item, _BYTES)
  if not stream.eof:
    raise ValueError(f'cut off, or more than {_BYTES} bytes')
  return found
