"""Pickles of numpy arrays, read without running what they say.

A pickle is a program. This reader lets it call what rebuilds arrays of the
bytes that it holds, and nothing else: no array is larger than the file.
"""

import math
import os
import pickle
import pickletools
import re
from collections.abc import Callable
from io import BufferedReader
from typing import Any

import numpy as np

from data.remote import Path

# What the unpickler raises when bytes are missing or make no sense.
_DAMAGE = (
  pickle.UnpicklingError,
  ArithmeticError,
  AttributeError,
  EOFError,
  LookupError,
  MemoryError,
  SystemError,  # NumPy, of an array's state that is none
  TypeError,
  ValueError,
)


class _Refused(Exception):
  """Something that is not numpy's."""


# An array's type, which is named and never called: it would make any array.
_ARRAY = object()
# Numbers, bytes, text and objects, as numpy writes them: 'f4', 'S12', 'O8'.
_CODE = re.compile(r'[biufcSUO]\d{1,9}')


class _Kind:
  """What an array's items are. Of numpy's own types the state is believed.

  It says where their fields lie, and which bytes are pointers.
  """

  def __init__(self, code: str):
    if not _CODE.fullmatch(code):
      raise ValueError(
        f'an array of {code!r}, expected numbers, bytes, text or objects'
      )
    self.made = np.dtype(code)

  def __setstate__(self, state: tuple):
    _, order, subarray, names, fields, *_ = state
    if (subarray, names, fields) != (None, None, None):
      raise ValueError(f'an array of {self.made} with fields')
    self.made = self.made.newbyteorder(order)


class _Array(np.ndarray):
  """An array of the pickle, which sets its state once."""

  def __setstate__(self, state: tuple):
    version, shape, kind, is_fortran, data = state
    if vars(self):
      raise ValueError('an array whose numbers are given twice')
    self.is_set = True
    if not isinstance(kind, _Kind) or not kind.made.itemsize:
      raise ValueError('an array of unknown numbers')
    # Of bytes numpy compares it; of a list it reads on behind the last.
    if kind.made.hasobject and len(data) != math.prod(shape):
      raise ValueError(f'an array of {shape} with {len(data)} objects')
    super().__setstate__((version, shape, kind.made, is_fortran, data))

  def __reduce_ex__(self, protocol: int) -> tuple:
    """As any array: who reads it need not be this module."""
    return self.view(np.ndarray).__reduce_ex__(protocol)


def _kind(code: str, align: int = 0, copy: int = 0) -> _Kind:
  del align, copy
  return _Kind(code)


def _reconstruct(kind: object, shape: object, code: object) -> _Array:
  """An array of no numbers; the pickle then sets its state, and that fits."""
  if kind is not _ARRAY or shape != (0,):
    raise ValueError(f'an array of {shape} without its numbers')
  return _Array((0,), np.int8)


def _scalar(kind: _Kind, data: bytes | str) -> np.generic:
  if kind.made.hasobject:
    raise ValueError(f'a scalar of {kind.made}')
  if isinstance(data, str):  # bytes of Python 2
    data = data.encode('latin1')
  (found,) = np.frombuffer(data, kind.made)
  return found


def _from_buffer(
  data: object,
  kind: _Kind,
  shape: tuple[int, ...],
  order: str,
  axes: tuple[int, ...] | None = None,
) -> np.ndarray:
  if not isinstance(data, bytes | bytearray):
    # Numbers of another array, which the pickle could replace.
    raise ValueError(f'an array of the bytes of a {type(data).__name__}')
  found = np.frombuffer(data, kind.made)
  # 'K': as an array lies in memory whose axes are then exchanged.
  if order == 'K':
    return found.reshape(shape).transpose(axes)
  return found.reshape(shape, order=order)


def _empty() -> bytes:
  return b''


# What numpy's arrays, scalars and types are pickled as. numpy.core is the name
# of numpy._core before numpy 2.
_ALLOWED: dict[tuple[str, str], Callable | object] = {
  ('numpy', 'ndarray'): _ARRAY,
  ('numpy', 'dtype'): _kind,
  ('numpy._core.multiarray', '_reconstruct'): _reconstruct,
  ('numpy._core.multiarray', 'scalar'): _scalar,
  ('numpy._core.numeric', '_frombuffer'): _from_buffer,
  # Protocol 2 has no bytes: they are text and how to encode it, or none.
  ('__builtin__', 'bytes'): _empty,
}


class _Unpickler(pickle.Unpickler):
  def __init__(self, opened: BufferedReader):
    # Of Python 2, bytes are text in this code, which numpy takes for bytes.
    super().__init__(opened, encoding='latin1')
    self._encoded: dict[str, bytes] = {}

  def _encode(self, text: str, how: str) -> bytes:
    if how != 'latin1' or not isinstance(text, str):
      raise ValueError(f'{type(text).__name__} encoded as {how!r}')
    # Once: a text that is named many times would fill the memory.
    return self._encoded.setdefault(text, text.encode(how))

  def find_class(self, module: str, name: str) -> Any:
    if (module, name) == ('_codecs', 'encode'):
      return self._encode
    if module.startswith('numpy.core.'):
      module = 'numpy._core.' + module.removeprefix('numpy.core.')
    if (module, name) not in _ALLOWED:
      raise _Refused(f'{module}.{name}')
    return _ALLOWED[module, name]


def _check_places(opened: BufferedReader):
  """Refuses what would be noted at a place that no honest pickle gets to.

  Python makes room for all places before it: for terabytes, if told so.
  """
  size = os.fstat(opened.fileno()).st_size
  for code, argument, _ in pickletools.genops(opened):
    if 'PUT' in code.name and argument > size:
      raise ValueError(f'it notes something at place {argument}')
  opened.seek(0)


def load(file: Path) -> Any:
  """Lists, dicts, strings, numbers and arrays of a pickle.

  Raises:
    ValueError: it asks for anything else, which is named; or it is damaged.
    OSError: no such file.
  """
  with file.open('rb') as opened:
    try:
      _check_places(opened)
      return _Unpickler(opened).load()
    except _Refused as refused:
      raise ValueError(
        f'{file} asks for {refused}: a pickle may run any code, so nothing '
        "but numpy's arrays is read. Get the file where it is published, or "
        'save arrays alone.'
      ) from None
    except _DAMAGE as error:
      raise ValueError(
        f'{file} is not a pickle, or a damaged one: {error or repr(error)}'
      ) from error
