"""Commands of our launchers: what each is called, how it is run and read."""

import hashlib
import re
import subprocess
import sys
from collections.abc import Sequence

from base import command


def call(*words: str) -> str:
  """The last line that a command of Python says.

  Args:
    *words: behind 'python'.

  Raises:
    ValueError: it refuses, with the last line that it says then.
  """
  done = subprocess.run(
    [sys.executable, *words], capture_output=True, text=True
  )
  if done.returncode:
    raise ValueError(last_line(done.stderr or done.stdout))
  return last_line(done.stdout)


def last_line(said: str) -> str:
  """Of what a command of ours says, without its hint to a person."""
  lines = said.strip().splitlines() or ['it says nothing']
  return command.without_hint(lines[-1])


def cloud_name(workdir: str, run: str) -> str:
  """Of a run's machines: clouds take small letters, digits and -, and few.

  Args:
    workdir: of the sweep.
    run: its name.
  """
  mark = hashlib.sha256(f'{workdir}/{run}'.encode()).hexdigest()[:6]
  return f'{_plain(workdir.rpartition("/")[2], 9)}-{_plain(run, 14)}-{mark}'


def _plain(name: str, most: int) -> str:
  plain = re.sub(r'[^a-z0-9]+', '-', name.lower()).strip('-')
  if not plain[:1].isalpha():
    plain = f's{plain}'
  return plain[:most].rstrip('-')


def machines(own: Sequence[str], given: Sequence[str]) -> list[str]:
  """Flags of a launcher, of which the last of a kind holds.

  Args:
    own: of a run: what its recipe is laid out for, and its own.
    given: of all runs; where they name a slice, it is for all.
  """
  is_given = any(word.startswith(('--type=', '--topology=')) for word in given)
  topology = [word for word in own if word.startswith('--topology=')]
  return [
    *(topology * (not is_given)),
    *given,
    *(word for word in own if word not in topology),
  ]
