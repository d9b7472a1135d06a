"""metrics.jsonl, the record of truth: what of it stays at a start.

A line has a step, its scalars, and perhaps SAMPLES.
"""

import json
import os
from collections.abc import Iterator
from typing import Any, NamedTuple

from base import files, jsons
from base.console import say

# Of what the batches so far held, as text; see `train.progress.samples`.
SAMPLES = 'data/samples'


class Left(NamedTuple):
  """What a start finds in a file of lines.

  Attributes:
    samples: the last line of those that stay that has SAMPLES, if one has.
    step: the last one of any line, whether it stays or not; 0: there is none.
  """

  samples: dict[str, Any] | None = None
  step: int = 0


def lines(path: str) -> Iterator[tuple[int, dict[str, Any]]]:
  """(step, scalars) of each line, of a file that `drop_after` has left."""
  with open(path) as file:
    for line in file:
      values = json.loads(line)
      values.pop(SAMPLES, None)
      yield values.pop('step'), values


def drop_after(path: str, step: int) -> Left:
  """Keeps the lines up to `step`; says if some of them cannot be read."""
  if not os.path.exists(path):
    return Left()
  kept, bad, samples, last = [], [], None, 0
  with open(path, errors='replace') as file:
    for number, line in enumerate(file, 1):
      values = _values_of(line)
      if values is None:
        bad.append(number)
        continue
      last = max(last, values['step'])
      if values['step'] <= step:
        kept.append(line)
        has_some = isinstance(values.get(SAMPLES), str)
        samples = values if has_some else samples
  # A kill can cut the last line short: that one is written again.
  if bad and bad[-1] == number:
    bad.pop()
  if bad:
    say(
      f'{path}: {len(bad)} lines are damaged and left out, the first is line '
      f'{bad[0]}'
    )
  files.write(path, ''.join(kept))
  return Left(samples, last)


def _values_of(line: str) -> dict[str, Any] | None:
  """Of a line of metrics.jsonl; None if it is no whole one."""
  try:
    values = jsons.parse(line) if line.endswith('\n') else None
    return None if values is None else {**values, 'step': int(values['step'])}
  # The last: JSON has 1e999, which is infinite.
  except (ValueError, KeyError, TypeError, OverflowError):
    return None
