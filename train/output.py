"""Lines on stdout, and small files that are whole or not there."""

import os

import jax


def say(*parts: str) -> None:
  """One line on stdout, on the first process."""
  if jax.process_index() == 0:
    print('  '.join(part for part in parts if part), flush=True)


def replace(path: str, text: str) -> None:
  """Writes a file whole or not at all, over what was there."""
  temporary = f'{path}.{os.getpid()}'
  with open(temporary, 'w') as file:
    file.write(text)
  os.replace(temporary, path)


def duration(seconds: float) -> str:
  """'1h02m', '3m20s', '12s'."""
  minutes, seconds = divmod(round(seconds), 60)
  hours, minutes = divmod(minutes, 60)
  if hours:
    return f'{hours}h{minutes:02}m'
  return f'{minutes}m{seconds:02}s' if minutes else f'{seconds}s'
