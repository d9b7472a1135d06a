"""What a launcher starts: a command of this project, on every process alike."""

import dataclasses
import re
import shlex
from collections.abc import Sequence

from base import files, stores

# Lines of `train.processes`, by which a launcher knows that a process has come
# and waits for the others, and that all have.
JOINS = re.compile(r'(joins|waits since \S+ for) the others of ')
JOINED = re.compile(r'process \d+ of \d+ on ')


@dataclasses.dataclass(frozen=True)
class Job:
  """A command, as it was typed behind the launcher's flags.

  Attributes:
    command: its words: ('python', '-m', 'train', '--config=...', ...).
    module: 'train', or another that is run by `python -m`; '' of any other
      command.
  """

  command: tuple[str, ...]
  module: str

  def flag(self, name: str) -> str:
    """What `--name=value` or `--name value` says; '' if it is not there."""
    value = ''
    for word, behind in zip(self.command, [*self.command[1:], '']):
      bare = word.removeprefix('--')
      if bare == word:
        continue
      if bare == name:
        value = behind
      elif bare.startswith(f'{name}='):
        value = bare.removeprefix(f'{name}=')
    return value

  @property
  def recipe(self) -> list[str]:
    """Its words that choose a recipe and override its values."""
    found = []
    for word, behind in zip(self.command, [*self.command[1:], '']):
      if re.match(r'--(no)?config([.=]|$)', word):
        found.append(word)
        # --config.steps 5: no command of ours has words beside flags.
        if '=' not in word and behind and not behind.startswith('--'):
          found.append(behind)
    return found

  @property
  def joins(self) -> bool:
    """Whether its processes are known to join."""
    return self.module in ('train', 'evals')

  def __str__(self) -> str:
    return shlex.join(self.command)


def parse(words: Sequence[str], *, one_disk: bool) -> Job:
  """The job of the words behind `--`.

  Args:
    words: 'python', '-m', 'train', ...
    one_disk: whether all processes see the disk that a --workdir lies on; if
      not, it must be in an object store.

  Raises:
    ValueError: no command, or one that cannot work on these machines.
  """
  words = tuple(words)
  if not words:
    raise ValueError(
      'no command was given: put it behind --, as in -- python -m train '
      '--config=configs/mae.py:size=S --workdir=DIR'
    )
  is_module = words[0].rpartition('/')[2].startswith('python')
  is_module = is_module and words[1:2] == ('-m',) and len(words) > 2
  job = Job(words, words[2] if is_module else '')
  workdir = job.flag('workdir')
  if job.module in ('train', 'evals') and not workdir:
    raise ValueError(
      f'`{job}` has no --workdir=: a run that is started again needs one'
    )
  if workdir and not files.is_local(workdir):
    stores.check_address(workdir)
  elif workdir and not one_disk:
    raise ValueError(
      f'--workdir={workdir} is a folder of one machine, expected one that all '
      'hosts see: gs://BUCKET/FOLDER'
    )
  return job


def check_variable(name: str) -> None:
  """Whether --env may set it.

  Raises:
    ValueError: it is no name of a variable.
  """
  if not re.fullmatch(r'[A-Za-z_]\w*', name, re.ASCII):
    raise ValueError(
      f'--env={name}=...: {name!r} is no name of a variable, expected letters, '
      'digits and _, as in NAME=VALUE'
    )
