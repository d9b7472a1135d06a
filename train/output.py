"""Lines on stdout, and small files that are whole or not there."""

import os
from collections.abc import Mapping, Sequence

import jax


def say(*parts: str) -> None:
  """One line on stdout, on the first process."""
  if jax.process_index() == 0:
    print('  '.join(part for part in parts if part), flush=True)


def replace(path: str, content: str | bytes) -> None:
  """Writes a file whole or not at all, over what was there."""
  temporary = f'{path}.{os.getpid()}'
  with open(temporary, 'wb' if isinstance(content, bytes) else 'w') as file:
    file.write(content)
  os.replace(temporary, path)


def aligned(lines: Sequence[Mapping[str, str]]) -> str:
  """A table: under a line of names, a line for each, in columns."""
  names = dict.fromkeys(name for line in lines for name in line)
  rows = [{name: name for name in names}, *lines]
  cells = [[row.get(name, '') for name in names] for row in rows]
  width = [max(map(len, column)) for column in zip(*cells)]
  return '\n'.join(
    '  '.join(x.ljust(w) for x, w in zip(row, width)).rstrip() for row in cells
  )


def duration(seconds: float) -> str:
  """'1h02m', '3m20s', '12s'."""
  minutes, seconds = divmod(round(seconds), 60)
  hours, minutes = divmod(minutes, 60)
  if hours:
    return f'{hours}h{minutes:02}m'
  return f'{minutes}m{seconds:02}s' if minutes else f'{seconds}s'
