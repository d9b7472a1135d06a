"""Files of arrays as NumPy writes them, npz: looked at before they are read.

An npz is an archive whose members say themselves how large they are. Here a
file that promises more than it holds is refused before memory is taken.
"""

import contextlib
import errno
import io
import math
import os
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Collection, Iterator
from typing import NamedTuple

import numpy as np

# Arrays may unpack to so many times the bytes of their file, or to what any
# machine has. Packed weights are more than half their size; zeros, which pack
# a thousandfold, are few.
_TIMES, _ALWAYS = 16, 2**26

# What zipfile raises for bytes that are not an archive's; the last three where
# they read as an encryption or a compression that it does not know.
_DAMAGE = (
  *(zipfile.BadZipFile, zlib.error, struct.error, EOFError, KeyError),
  *(UnicodeDecodeError, NotImplementedError, RuntimeError),
)
# What NumPy raises for a header that is none; the last two of brackets in
# brackets without end.
_NO_HEADER = (
  *(ValueError, TypeError, tokenize.TokenError, RecursionError, MemoryError),
)


class Member(NamedTuple):
  """An array in a file."""

  info: zipfile.ZipInfo
  start: int  # bytes of the member before the array's
  shape: tuple[int, ...]
  is_fortran: bool
  dtype: np.dtype


def members(
  file: str | io.BufferedIOBase, path: str, remedy: str
) -> dict[str, Member]:
  """The arrays of an npz, by name: no more than their headers is read.

  Args:
    file: it, or its path.
    path: of it, for messages.
    remedy: what a person can do where it is damaged.

  Raises:
    ValueError: damaged, pickled objects, an array that is larger or smaller
      than its header says, or all together far larger than the file.
  """
  found = {}
  with readable(path, remedy), zipfile.ZipFile(file) as archive:
    held = _size(file)
    most = max(_ALWAYS, _TIMES * held)
    total = sum(info.file_size for info in archive.infolist())
    if total > most:
      raise ValueError(
        f'{path} has {held} bytes and would unpack to {total}, more than '
        f'{most}: refused; {remedy}'
      )
    for info in archive.infolist():
      name = info.filename.removesuffix('.npy')
      if name == info.filename:
        raise ValueError(f'{path} holds {name!r}, which is not an array')
      with archive.open(info) as member:
        shape, is_fortran, dtype = _header(path, name, member)
        start = member.tell()
      if dtype.hasobject:
        raise ValueError(
          f'{path}: {name} holds pickled objects, which could run any program '
          'when read: refused'
        )
      size = dtype.itemsize * math.prod(shape)
      if min(shape, default=0) < 0 or info.file_size - start != size:
        raise ValueError(f'{path} is truncated or damaged at {name}: {remedy}')
      found[name] = Member(info, start, shape, is_fortran, dtype)
  return found


def read(
  file: io.BufferedIOBase,
  path: str,
  remedy: str,
  names: Collection[str] | None = None,
) -> dict[str, np.ndarray]:
  """The arrays of an npz, or some of them.

  Args:
    file: it.
    path: of it, for messages.
    remedy: what a person can do where it is damaged.
    names: of the arrays; None: all.

  Raises:
    ValueError: see `members`; or one is missing.
  """
  there = members(file, path, remedy)
  lacking = sorted(set(names or ()) - there.keys())
  if lacking:
    raise ValueError(f'{path} lacks {", ".join(lacking)}: {remedy}')
  with readable(path, remedy), zipfile.ZipFile(file) as archive:
    return {
      name: unpacked(archive, there[name])
      for name in (there if names is None else names)
    }


def unpacked(archive: zipfile.ZipFile, member: Member) -> np.ndarray:
  """An array that was looked at by `members`; call it in `readable`."""
  with archive.open(member.info) as opened:
    return np.lib.format.read_array(opened, allow_pickle=False)


@contextlib.contextmanager
def readable(path: str, remedy: str) -> Iterator[None]:
  """What zipfile raises for a file that is not whole, as ValueError."""
  try:
    yield
  except OSError as error:
    if error.errno != errno.EINVAL:  # as for a place before the file's start
      raise
    damage = error
  except _DAMAGE as error:
    damage = error
  else:
    return
  raise ValueError(
    f'{path} is truncated or damaged ({damage}): {remedy}'
  ) from damage


def _size(file: str | io.BufferedIOBase) -> int:
  return os.path.getsize(file) if isinstance(file, str) else file.seek(0, 2)


def _header(path: str, name: str, member) -> tuple:
  try:
    version = np.lib.format.read_magic(member)
    if version == (1, 0):
      return np.lib.format.read_array_header_1_0(member)
    return np.lib.format.read_array_header_2_0(member)
  except _NO_HEADER as error:
    raise ValueError(f'{path}: {name} is not an array: {error}') from error
