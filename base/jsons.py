"""What files of JSON hold, or what is wrong with them, in one line."""

import json
import os
from typing import Any

from etils import epath

from base import files


class Count(int):
  """As a kind of `read`: a whole number, 0 or more."""


def read(path: epath.PathLike, kind: Any, remedy: str) -> Any:
  """What a file of JSON holds.

  Args:
    path: of the file.
    kind: which it must be: a type (int will do for float), or Count; [kind],
      a list of such; {key: kind}, a dict that has at least these keys.
    remedy: what a person can do where it is damaged, as 'copy it again'.

  Raises:
    ValueError: empty, cut off, garbled, or of another kind.
    FileNotFoundError: it is not there.
  """
  return _parsed(files.read_bytes(path), os.fspath(path), kind, remedy)


def read_lines(path: epath.PathLike, kind: Any, remedy: str) -> list[Any]:
  """What each line of a file holds; see `read`.

  A last line without its end, which a kill may leave, is left out.
  """
  *lines, _ = files.read_bytes(path).split(b'\n')
  return [
    _parsed(line, f'line {number} of {os.fspath(path)}', kind, remedy)
    for number, line in enumerate(lines, 1)
  ]


def parse(text: str | bytes) -> Any:
  """What a text from outside holds.

  Raises:
    ValueError: it is not JSON, nor UTF-8, or nested without end.
  """
  try:
    return json.loads(text)
  except RecursionError as error:
    raise ValueError('brackets in brackets without end') from error


def _parsed(text: bytes, where: str, kind: Any, remedy: str) -> Any:
  try:
    found = parse(text)
  except ValueError as error:
    what = f'not JSON ({error})' if text else 'empty'
    raise ValueError(f'{where} is {what}: it is damaged; {remedy}') from error
  return expect(found, kind, where, remedy)


def expect(value: Any, kind: Any, where: str, remedy: str) -> Any:
  """`value`, if it is of a kind of `read`.

  Raises:
    ValueError: it is not; `where` says what it is a part of.
  """
  misfit = _misfit(value, kind, where)
  if misfit:
    raise ValueError(f'{misfit}: it is damaged, or another file; {remedy}')
  return value


def _misfit(value: Any, kind: Any, where: str) -> str:
  """Why a value is not of a kind of `read`; '' if it is."""
  outer = kind if isinstance(kind, type) else type(kind)
  if outer is Count:
    misfit = _misfit(value, int, where)
    if not misfit and value < 0:
      misfit = f'{where} is {value}, expected 0 or more'
    return misfit
  good = isinstance(value, (int, float) if outer is float else outer)
  # In Python true is a number.
  if not good or (isinstance(value, bool) and outer is not bool):
    return (
      f'{where} holds a {type(value).__name__}, expected a {outer.__name__}'
    )
  if isinstance(value, int) and not -(2**63) <= value < 2**63:
    return f'{where} holds a number of more than 64 bits'
  if isinstance(kind, list):
    parts = [(each, kind[0], str(n)) for n, each in enumerate(value)]
  elif isinstance(kind, dict):
    missing = [key for key in kind if key not in value]
    if missing:
      return f'{where} lacks {", ".join(missing)}'
    parts = [(value[key], each, key) for key, each in kind.items()]
  else:
    parts = []
  misfits = (_misfit(one, each, f'{where}: {at}') for one, each, at in parts)
  return next(filter(None, misfits), '')
