"""Which points and boxes are followed through a video."""

from collections.abc import Collection
from typing import Any

import numpy as np
from jaxtyping import Float

from base import files, jsons


def grid() -> dict[str, np.ndarray]:
  """What is asked for where nobody says: 8 x 8 points, 3 x 3 boxes."""
  return {'points': _points(), 'boxes': _boxes()}


def read(path: str, tasks: Collection[str]) -> dict[str, np.ndarray]:
  """Points [q 2] or [q 3], (x, y) or (x, y, frame), and boxes [o 4].

  Boxes are (ymin, xmin, ymax, xmax).

  Args:
    path: a JSON file, {"points": [[x, y], ...], "boxes": [[ymin, xmin, ymax,
      xmax], ...]}, either or both, in [0, 1] of the picture that the model
      sees in the first frame: (0, 0) is its top left corner. Points may all
      be [x, y, frame]: the number of the frame that they are in, of those that
      are seen.
    tasks: that can be asked.

  Raises:
    ValueError: no such file, something else is in it, or it asks for a task
      that there is not.
  """
  if not files.exists(files.path(path)):
    raise ValueError(f'--queries={path} does not exist')
  sizes = {'points': 2, 'boxes': 4}
  try:
    found = jsons.parse(files.read_bytes(path))
  except ValueError as error:
    raise ValueError(f'--queries={path} is not JSON: {error}') from error
  if not isinstance(found, dict) or not found or found.keys() - sizes.keys():
    names = sorted(found) if isinstance(found, dict) else type(found).__name__
    raise ValueError(
      f'--queries={path} must be an object with "points", "boxes" or both, '
      f'got {names}'
    )
  lacking = sorted(found.keys() - set(tasks))
  if lacking:
    raise ValueError(
      f'--queries={path} asks for {", ".join(lacking)}; the readout has the '
      f'tasks {", ".join(tasks)}'
    )
  if 'points' in found and _timed(found['points']):
    sizes['points'] = 3
  return {
    name: _checked(f'{path}: {name}', rows, sizes[name])
    for name, rows in found.items()
  }


def _timed(rows: Any) -> bool:
  """Whether the first one is [x, y, frame]: then all have to be."""
  return bool(
    isinstance(rows, list)
    and rows
    and isinstance(rows[0], list)
    and len(rows[0]) == 3
  )


def _checked(where: str, rows: Any, size: int) -> np.ndarray:
  form = {2: '[x, y]', 3: '[x, y, frame]', 4: '[ymin, xmin, ymax, xmax]'}[size]
  places = 4 if size == 4 else 2
  if not isinstance(rows, list) or not rows:
    raise ValueError(f'{where} must be a list of one {form} or more')
  for number, row in enumerate(rows):
    fits = (
      isinstance(row, list)
      and len(row) == size
      and all(type(x) in (int, float) and 0 <= x <= 1 for x in row[:places])
      and (size != 3 or (type(row[2]) is int and row[2] >= 0))
      and (size != 4 or (row[0] < row[2] and row[1] < row[3]))
    )
    if not fits:
      order = {
        2: '',
        3: ', and the number of a frame from 0',
        4: ', ymin < ymax and xmin < xmax',
      }[size]
      raise ValueError(
        f'{where}[{number}]={row} must be {form}, numbers in [0, 1] of the '
        f'picture{order}'
      )
  return np.array(rows, np.float32)


def _centres(count: int) -> Float[np.ndarray, '{count}']:
  return (np.arange(count, dtype=np.float32) + 0.5) / count


def _points() -> Float[np.ndarray, 'q 2']:
  """A grid of 8 x 8, (x, y)."""
  x, y = np.meshgrid(_centres(8), _centres(8))
  return np.stack([x.ravel(), y.ravel()], axis=-1)


def _boxes() -> Float[np.ndarray, 'o 4']:
  """Nine boxes of a quarter of the height and width."""
  y, x = (each.ravel() for each in np.meshgrid(_centres(3), _centres(3)))
  half = np.float32(0.125)
  return np.stack([y - half, x - half, y + half, x + half], axis=-1)
