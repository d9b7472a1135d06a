"""Files of named arrays: npz and safetensors, read piece by piece.

Nothing is read when a file is opened but names, shapes and where arrays lie. An
array is then mapped into memory, and only the part that is asked for is copied:
a file may be larger than the host's memory. Both formats keep arrays as they
are in memory; a compressed npz is read whole, an array at a time.
"""

import contextlib
import json
import math
import os
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from models.published.tables import Shape

# safetensors' name of what the published files consist of.
_F32 = 'F32'


class Entry(NamedTuple):
  """An array in a file."""

  shape: Shape
  read: Callable[[], np.ndarray]  # a map of it: index it, then copy


def opened(path: str) -> dict[str, Entry]:
  """The float32 arrays of an npz or safetensors file, by name.

  Args:
    path: of the file. What it is follows from its first bytes.

  Raises:
    ValueError: no file, truncated, neither format, or a name whose array is
      not float32; pickled objects are refused.
  """
  if not os.path.isfile(path):
    raise ValueError(f'{path} does not exist, or is not a file')
  with open(path, 'rb') as file:
    start = file.read(9)
  if start[:2] == b'PK':
    return _npz(path)
  if start[8:] == b'{':
    return _safetensors(path)
  raise ValueError(
    f'{path} is neither an npz nor a safetensors file, or its start is '
    'missing: download it again'
  )


def check_sums(path: str) -> None:
  """Reads a whole npz and compares its checksums; safetensors has none.

  Raises:
    ValueError: an array is not what was written.
  """
  if not zipfile.is_zipfile(path):
    return
  with _readable(path), zipfile.ZipFile(path) as archive:
    damaged = archive.testzip()
  if damaged:
    raise ValueError(
      f'{path}: {damaged.removesuffix(".npy")} is damaged (its checksum '
      'differs): download the file again'
    )


def write(path: str, arrays: Mapping[str, np.ndarray]) -> None:
  """Writes float32 arrays, whole or not at all: npz, or safetensors by name.

  One array at a time is turned into bytes.

  Args:
    path: ends with .npz or .safetensors.
    arrays: by name, in the order of the file.

  Raises:
    ValueError: another ending.
  """
  writers = {'.npz': _write_npz, '.safetensors': _write_safetensors}
  ending = os.path.splitext(path)[1]
  if ending not in writers:
    raise ValueError(f'{path} must end with .npz or .safetensors')
  os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
  partial = f'{path}.{os.getpid()}'
  try:
    writers[ending](partial, arrays)
    os.replace(partial, path)
  finally:
    with contextlib.suppress(FileNotFoundError):  # it was renamed
      os.remove(partial)


def _npz(path: str) -> dict[str, Entry]:
  found = {}
  with _readable(path), zipfile.ZipFile(path) as archive:
    for info in archive.infolist():
      name = info.filename.removesuffix('.npy')
      if name == info.filename:
        raise ValueError(f'{path} holds {name!r}, which is not an array')
      with archive.open(info) as member:
        shape, fortran, dtype = _header(path, name, member)
        before = member.tell()
      _check_dtype(path, name, dtype)
      if info.compress_type == zipfile.ZIP_STORED:
        offset = _data_of(path, info) + before
        read = _mapped(path, offset, shape, 'F' if fortran else 'C')
      else:
        read = _unpacked(path, info)
      found[name] = Entry(shape, read)
  return found


def _header(path: str, name: str, member) -> tuple[Shape, bool, np.dtype]:
  try:
    version = np.lib.format.read_magic(member)
    if version == (1, 0):
      return np.lib.format.read_array_header_1_0(member)
    return np.lib.format.read_array_header_2_0(member)
  except ValueError as error:
    raise ValueError(f'{path}: {name} is not an array: {error}') from error


def _data_of(path: str, info: zipfile.ZipInfo) -> int:
  """Where a member's bytes start: its own header may differ from the index."""
  with open(path, 'rb') as file:
    file.seek(info.header_offset)
    names, extra = struct.unpack('<26x2H', file.read(30))
  return info.header_offset + 30 + names + extra


def _mapped(path: str, offset: int, shape: Shape, order: str):
  def read() -> np.ndarray:
    # Mapped anew each time: pages do not stay after what was read of them.
    return np.memmap(path, '<f4', 'r', offset, shape, order)

  return read


def _unpacked(path: str, info: zipfile.ZipInfo):
  def read() -> np.ndarray:
    with (
      _readable(path),
      zipfile.ZipFile(path) as archive,
      archive.open(info) as member,
    ):
      return np.lib.format.read_array(member, allow_pickle=False)

  return read


def _safetensors(path: str) -> dict[str, Entry]:
  with open(path, 'rb') as file:
    (length,) = struct.unpack('<Q', file.read(8))
    size = os.path.getsize(path) - 8 - length
    try:
      header = json.loads(file.read(length)) if size >= 0 else None
    except ValueError:
      header = None
  if header is None:
    raise ValueError(f'{path} is truncated or damaged: its header is not whole')
  header.pop('__metadata__', None)
  found = {}
  for name, about in header.items():
    if about['dtype'] != _F32:
      _refuse(path, name, about['dtype'])
    start, stop = about['data_offsets']
    shape = tuple(about['shape'])
    if stop > size or stop - start != 4 * math.prod(shape):
      raise ValueError(f'{path} is truncated or damaged at {name}')
    found[name] = Entry(shape, _mapped(path, 8 + length + start, shape, 'C'))
  return found


def _check_dtype(path: str, name: str, dtype: np.dtype) -> None:
  if dtype.hasobject:
    raise ValueError(
      f'{path}: {name} holds pickled objects, which could run any program when '
      'read: refused. Published files are plain float32 arrays'
    )
  if dtype != np.dtype('<f4'):
    _refuse(path, name, dtype.name)


def _refuse(path: str, name: str, dtype: str) -> None:
  raise ValueError(
    f'{path}: {name} is {dtype}, expected float32: save it with '
    'array.astype(numpy.float32)'
  )


@contextlib.contextmanager
def _readable(path: str) -> Iterator[None]:
  """What the readers raise for a file that is not whole, as ValueError."""
  try:
    yield
  except (zipfile.BadZipFile, zlib.error, EOFError, KeyError) as error:
    raise ValueError(
      f'{path} is truncated or damaged ({error}): download it again'
    ) from error


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
