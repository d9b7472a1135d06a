"""Pickles of numpy arrays, read without running what they say.

A pickle is a program. This reader lets it call the functions that rebuild
numpy's arrays, and nothing else.
"""

import pickle
from pathlib import Path
from typing import Any

# What numpy's arrays, scalars and types are pickled as. numpy.core is the name
# of numpy._core before numpy 2.
_ALLOWED = frozenset(
  {
    ('numpy', 'ndarray'),
    ('numpy', 'dtype'),
    ('numpy._core.multiarray', '_reconstruct'),
    ('numpy._core.multiarray', 'scalar'),
    ('numpy._core.numeric', '_frombuffer'),
  }
)
# What the unpickler raises when bytes are missing or make no sense.
_DAMAGE = (
  pickle.UnpicklingError,
  ArithmeticError,
  AttributeError,
  EOFError,
  LookupError,
  MemoryError,
  TypeError,
  ValueError,
)


class _Refused(Exception):
  """Something that is not numpy's."""


class _Unpickler(pickle.Unpickler):
  def find_class(self, module: str, name: str) -> Any:
    if module.startswith('numpy.core.'):
      module = 'numpy._core.' + module.removeprefix('numpy.core.')
    if (module, name) not in _ALLOWED:
      raise _Refused(f'{module}.{name}')
    return super().find_class(module, name)


def load(file: Path) -> Any:
  """Lists, dicts, strings, numbers and arrays of a pickle.

  Raises:
    ValueError: it asks for anything else, which is named; or it is damaged.
    OSError: no such file.
  """
  with file.open('rb') as opened:
    try:
      return _Unpickler(opened).load()
    except _Refused as refused:
      raise ValueError(
        f'{file} asks for {refused}: a pickle may run any code, so nothing '
        "but numpy's arrays is read. Get the file where it is published, or "
        'save arrays alone.'
      ) from None
    except _DAMAGE as error:
      raise ValueError(
        f'{file} is not a pickle, or a damaged one: {error}'
      ) from error
