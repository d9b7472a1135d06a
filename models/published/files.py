"""Files of named arrays: npz and safetensors, read piece by piece.

Nothing is read when a file is opened but names, shapes and where arrays lie. An
array is then mapped into memory, and only the part that is asked for is copied:
a file may be larger than the host's memory. Both formats keep arrays as they
are in memory; a compressed npz is read whole, an array at a time.
"""

import itertools
import json
import math
import os
import struct
import zipfile
from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from base import jsons, npz
from base.files import is_local, make_parents, replacing
from models.published.tables import Shape

# safetensors' name of what the published files consist of.
_F32 = 'F32'
# What others' encoders may be kept as; all are little-endian.
FLOATS = {
  _F32: np.dtype('<f4'),
  'F16': np.dtype('<f2'),
  'BF16': np.dtype(jnp.bfloat16),
}
_HEADER = 100_000_000  # bytes at most, as safetensors' own reader has it
_REMEDY = 'download it again, or export it again'


class Entry(NamedTuple):
  """An array in a file."""

  shape: Shape
  read: Callable[[], np.ndarray]  # a map of it: index it, then copy


def opened(path: str, *, dtypes: Collection[str] = (_F32,)) -> dict[str, Entry]:
  """The float32 arrays of an npz or safetensors file, by name.

  Args:
    path: of the file. What it is follows from its first bytes.
    dtypes: names of FLOATS that arrays of safetensors may have.

  Raises:
    ValueError: no file of a disk, damaged, neither format, no array, or one
      of another dtype; pickled objects are refused.
  """
  if not is_local(path):
    raise ValueError(
      f'{path} is in an object store, and arrays are mapped into memory: copy '
      'it to a disk'
    )
  if not os.path.isfile(path):
    raise ValueError(
      f'{path} does not exist, or is not a file: expected an npz or a '
      'safetensors file'
    )
  with open(path, 'rb') as file:
    start = file.read(9)
  if start[:2] == b'PK':
    found = _npz(path)
  elif start[8:] == b'{':
    found = _safetensors(path, dtypes)
  else:
    what = 'neither an npz nor a safetensors file, or its start is missing'
    raise ValueError(f'{path} is {what if start else "empty"}: {_REMEDY}')
  if not found:
    raise ValueError(f'{path} holds no array: {_REMEDY}')
  return found


def check_sums(path: str) -> None:
  """Reads a whole npz and compares its checksums; safetensors has none.

  Raises:
    ValueError: an array is not what was written.
  """
  if not zipfile.is_zipfile(path):
    return
  with npz.readable(path, _REMEDY), zipfile.ZipFile(path) as archive:
    damaged = archive.testzip()
  if damaged:
    raise ValueError(
      f'{path}: {damaged.removesuffix(".npy")} is damaged (its checksum '
      f'differs): {_REMEDY}'
    )


def check_ending(path: str) -> None:
  """Check.

  Raises:
    ValueError: files of this ending cannot be written.
  """
  if os.path.splitext(path)[1] not in _WRITERS:
    raise ValueError(
      f'{path} must end with {" or ".join(_WRITERS)}: that chooses the format'
    )


def write(path: str, arrays: Mapping[str, np.ndarray]) -> None:
  """Writes float32 arrays, whole or not at all: npz, or safetensors by name.

  One array at a time is turned into bytes.

  Args:
    path: ends with .npz or .safetensors.
    arrays: by name, in the order of the file.

  Raises:
    ValueError: another ending.
    OSError: it cannot be written; a full disk is told with what to do.
  """
  check_ending(path)
  make_parents(path)
  with replacing(path) as draft:
    _WRITERS[draft.suffix](os.fspath(draft), arrays)


def _npz(path: str) -> dict[str, Entry]:
  found = {}
  for name, member in npz.members(path, path, _REMEDY).items():
    if member.dtype != np.dtype('<f4'):
      _refuse(path, name, member.dtype.name)
    if member.info.compress_type == zipfile.ZIP_STORED:
      offset = _data_of(path, member.info) + member.start
      order = 'F' if member.is_fortran else 'C'
      read = _mapped(path, offset, member.shape, order)
    else:
      read = _unpacked(path, member)
    found[name] = Entry(member.shape, read)
  return found


def _data_of(path: str, info: zipfile.ZipInfo) -> int:
  """Where a member's bytes start: its own header may differ from the index."""
  with open(path, 'rb') as file:
    file.seek(info.header_offset)
    names, extra = struct.unpack('<26x2H', file.read(30))
  return info.header_offset + 30 + names + extra


def _mapped(
  path: str, offset: int, shape: Shape, order: str, dtype=FLOATS[_F32]
):
  def read() -> np.ndarray:
    # Mapped anew each time: pages do not stay after what was read of them.
    return np.memmap(path, dtype, 'r', offset, shape, order)

  return read


def _unpacked(path: str, member: npz.Member):
  def read() -> np.ndarray:
    with npz.readable(path, _REMEDY), zipfile.ZipFile(path) as archive:
      return npz.unpacked(archive, member)

  return read


def _safetensors(path: str, dtypes: Collection[str]) -> dict[str, Entry]:
  with open(path, 'rb') as file:
    (length,) = struct.unpack('<Q', file.read(8))
    size = os.path.getsize(path) - 8 - length
    if length > _HEADER:
      raise ValueError(
        f'{path} is damaged: its header would have {length} bytes, expected '
        f'{_HEADER} at most; {_REMEDY}'
      )
    try:
      header = jsons.parse(file.read(length)) if size >= 0 else None
    except ValueError:
      header = None
  if header is None:
    raise ValueError(
      f'{path} is truncated or damaged: its header is not whole; {_REMEDY}'
    )
  header.pop('__metadata__', None)
  found, places = {}, []
  for name, about in header.items():
    match about:
      case {
        'dtype': str(dtype),
        'shape': [*shape],
        'data_offsets': [int(start), int(stop)],
      } if all(isinstance(n, int) and n > 0 for n in shape):
        pass
      case _:
        raise _damaged(path, name)
    if dtype not in dtypes:
      _refuse(path, name, dtype, dtypes)
    kind = FLOATS[dtype]
    if (
      not 0 <= start <= stop <= size
      or stop - start != kind.itemsize * math.prod(shape)
    ):
      raise _damaged(path, name)
    places.append((start, stop, name))
    offset = 8 + length + start
    found[name] = Entry(
      tuple(shape), _mapped(path, offset, tuple(shape), 'C', kind)
    )
  # The format has arrays one after the other: two in one place are a forgery.
  for (_, end, _), (start, _, name) in itertools.pairwise(sorted(places)):
    if start < end:
      raise _damaged(path, name)
  return found


def _damaged(path: str, name: str) -> ValueError:
  return ValueError(f'{path} is truncated or damaged at {name}: {_REMEDY}')


def _refuse(
  path: str, name: str, dtype: str, dtypes: Collection[str] = (_F32,)
) -> None:
  expected = ' or '.join(FLOATS[known].name for known in dtypes)
  raise ValueError(
    f'{path}: {name} is {dtype}, expected {expected}: save it with '
    'array.astype(numpy.float32)'
  )


def _write_npz(path: str, arrays: Mapping[str, np.ndarray]) -> None:
  # As numpy.savez writes, which would hold all arrays at once.
  with zipfile.ZipFile(path, 'w', zipfile.ZIP_STORED) as archive:
    for name, array in arrays.items():
      with archive.open(f'{name}.npy', 'w', force_zip64=True) as member:
        np.lib.format.write_array(
          member, np.asarray(array, '<f4'), allow_pickle=False
        )


def _write_safetensors(path: str, arrays: Mapping[str, np.ndarray]) -> None:
  header: dict[str, Any] = {}
  end = 0
  for name, array in arrays.items():
    start, end = end, end + 4 * math.prod(array.shape)
    header[name] = {
      'dtype': _F32,
      'shape': array.shape,
      'data_offsets': (start, end),
    }
  text = json.dumps(header).encode()
  text += b' ' * (-len(text) % 8)  # arrays start at a multiple of 8
  with open(path, 'wb') as file:
    file.write(struct.pack('<Q', len(text)) + text)
    for array in arrays.values():
      file.write(np.ascontiguousarray(array, '<f4').data)


_WRITERS = {'.npz': _write_npz, '.safetensors': _write_safetensors}
