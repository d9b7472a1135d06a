"""The commands of a run, one after another: training, then its readouts."""

import dataclasses
import re
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from base import files
from launch.sweep.runs import Item

TRAIN = 'train'


@dataclasses.dataclass(frozen=True)
class Stage:
  """A command.

  Attributes:
    name: 'train', or the folder of a readout below the run's.
    folder: its --workdir.
    words: 'python', '-m', ...
    steps: that it trains.
    is_last: of its run.
    where: flags of a launcher, of the machines that it is for.
  """

  name: str
  folder: str
  words: tuple[str, ...]
  steps: int
  is_last: bool = True
  where: tuple[str, ...] = ()

  def is_done(self) -> bool:
    """Whether it has ended as it should, as its own files have it."""
    if self.name == TRAIN:
      return self.steps in saved(self.folder)
    return files.exists(f'{self.folder}/result.json')


def saved(folder: str) -> list[int]:
  """Steps of a run's complete checkpoints.

  As `train.checkpoint.steps`, without importing JAX; an empty one is none, so
  that its run is started again, and sets it aside.
  """
  checkpoints = f'{folder}/checkpoints'
  there = [name for name in files.names(checkpoints) if name.isdigit()]
  held = {name: files.names(f'{checkpoints}/{name}') for name in there}
  if not files.is_local(folder):
    # Where nothing is renamed, Orbax marks what is complete.
    held = {x: held[x] for x in there if 'commit_success.txt' in held[x]}
  return sorted(int(name) for name in held if held[name])


def of(
  folder: str,
  item: Item,
  *,
  config: Mapping[str, Any],
  more: Sequence[str],
  readouts: Mapping[str, Mapping[str, Any]],
  workdir: str,
  cache: str,
) -> list[Stage]:
  """The stages of a run.

  Args:
    folder: of the run.
    item: which.
    config: its resolved values.
    more: further overrides of all runs, as flags; those of logs are for
      readouts too.
    readouts: recipe, as --config= has it -> its values.
    workdir: folder of the sweep.
    cache: of compiled programs.
  """
  topology = re.search(r'[:,]topology=([^,]+)', item.recipe)
  where = (
    *([f'--topology={topology[1]}'] if topology else []),
    *shlex.split(item.launch),
  )
  first = Stage(
    TRAIN,
    folder,
    (
      *('python', '-m', 'train', *item.flags(workdir), *more),
      *(f'--workdir={folder}', f'--compilation_cache={cache}'),
    ),
    config['steps'],
    not readouts,
    where,
  )
  logs = [word for word in more if word.startswith('--config.log.')]
  return [
    first,
    *(
      Stage(
        name,
        f'{folder}/{name}',
        (
          *('python', '-m', 'evals', f'--config={recipe}', *logs),
          *(f'--checkpoint={folder}', f'--workdir={folder}/{name}'),
          f'--compilation_cache={cache}',
        ),
        values['steps'],
        number == len(readouts),
        where,
      )
      for number, (name, (recipe, values)) in enumerate(
        zip(names_of_readouts(readouts), readouts.items()), 1
      )
    ),
  ]


def names_of_readouts(recipes: Sequence[str]) -> list[str]:
  """Folders below the run's, by the argument of each recipe.

  Raises:
    ValueError: two of them are the same.
  """
  names = []
  for recipe in recipes:
    path, _, argument = recipe.partition(':')
    said = argument or path.rpartition('/')[2].removesuffix('.py')
    # The values say what it is: 'depth-world-100'.
    values = [pair.partition('=')[2] or pair for pair in said.split(',')]
    names.append('readouts/' + re.sub(r'[^\w.+-]+', '-', '-'.join(values)))
  if len(set(names)) < len(names):
    raise ValueError(
      f'--readouts: {", ".join(recipes)} would share a folder: leave one'
    )
  return names
