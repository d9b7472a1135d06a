"""From the command to the first new step: `python -m launch.bench.started`.

A new run, and one that goes on from a checkpoint; each with nothing compiled
before, and with what an earlier start left in the compilation cache. This
checkout and another one take turns, the same command in both.
"""

import pathlib
from collections.abc import Sequence

from absl import flags

from base import command

_AGAINST = flags.DEFINE_string(
  'against', '', "Another checkout, such as a worktree of yesterday's commit."
)
_CONFIG = flags.DEFINE_string(
  'config', 'configs/quickstart.py', 'A pretraining recipe.'
)
_ROUNDS = flags.DEFINE_integer('rounds', 5, 'Of each start.', lower_bound=1)
_ROOT = pathlib.Path(__file__).parents[3]


def main(overrides: Sequence[str]) -> None:
  """Prints medians of seconds, and the median ratio of pairs.

  Args:
    overrides: of the recipe, as '--config.mesh.fsdp=2'.

  Raises:
    ValueError: no checkout there, or a run that ends before its first step.
  """
  from launch.bench.started import starts

  checkouts = {'here': _ROOT}
  if _AGAINST.value:
    checkouts['there'] = pathlib.Path(_AGAINST.value).resolve()
    if not (checkouts['there'] / 'train' / '__main__.py').is_file():
      raise ValueError(
        f'--against={_AGAINST.value} is not a checkout: expected a folder with '
        'train/__main__.py, as `git worktree add FOLDER COMMIT` makes'
      )
  words = [f'--config={_CONFIG.value}', *overrides]
  print(starts.compare(checkouts, words, _ROUNDS.value))


if __name__ == '__main__':
  command.run(main, words='-- overrides', least=0, most=None)
