"""JSON files of data sets: what is wrong with one is told with its name."""

import json
from pathlib import Path
from typing import Any


def read(file: Path, kind: type) -> Any:
  """What the file holds.

  Args:
    file: to read.
    kind: dict or list, which it must be.

  Raises:
    ValueError: not JSON, perhaps cut off; or of another kind.
  """
  try:
    found = json.loads(file.read_text())
  except ValueError as error:  # also of text that is no UTF-8
    raise ValueError(
      f'{file} is not JSON, or a damaged copy: {error}. Copy it again.'
    ) from error
  if not isinstance(found, kind):
    raise ValueError(
      f'{file} holds a {type(found).__name__}, expected a {kind.__name__}: it '
      'is another file, or of another version.'
    )
  return found
