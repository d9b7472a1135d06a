"""metrics.jsonl, the record of truth: what of it stays at a start."""

import json
import os
from collections.abc import Iterator
from typing import Any

from base import files
from base.console import say


def lines(path: str) -> Iterator[tuple[int, dict[str, Any]]]:
  """(step, values) of each line, of a file that `drop_after` has left."""
  with open(path) as file:
    for line in file:
      values = json.loads(line)
      yield values.pop('step'), values


def drop_after(path: str, step: int) -> None:
  """Keeps the lines up to `step`; says if some of them cannot be read."""
  if not os.path.exists(path):
    return
  kept, bad = [], []
  with open(path, errors='replace') as file:
    for number, line in enumerate(file, 1):
      found = _step_of(line)
      if found is None:
        bad.append(number)
      elif found <= step:
        kept.append(line)
  # A kill can cut the last line short: that one is written again.
  if bad and bad[-1] == number:
    bad.pop()
  if bad:
    say(
      f'{path}: {len(bad)} lines are damaged and left out, the first is line '
      f'{bad[0]}'
    )
  files.write(path, ''.join(kept))


def _step_of(line: str) -> int | None:
  """Of a line of metrics.jsonl; None if it is no whole one."""
  try:
    step = files.parse_json(line)['step'] if line.endswith('\n') else None
    return None if step is None else int(step)
  # The last: JSON has 1e999, which is infinite.
  except (ValueError, KeyError, TypeError, OverflowError):
    return None
