r"""Which size, batch, steps and mesh a number of chip-hours is best spent on.

    python -m launch.scaling.budget runs/scaling/clips-* runs/scaling/flops-* \
      --budget=v5p:10000

A law over parameters and clips is fitted to the validation losses of the runs,
and steps are priced by the ladder of docs/pods.md, whose times are those of a
roofline model. Prints every row of that generation, the best first: it is the
laptop's data, at the laptop's resolution, and how far the law is drawn beyond
what was run stands in the table. Beside it: what 4DS published of that size.
"""

import re
from collections.abc import Sequence

from absl import flags

from base import command

_BUDGET = flags.DEFINE_string('budget', None, 'GENERATION:CHIP_HOURS.')
_PODS = flags.DEFINE_string(
  'pods', 'docs/pods.md', 'File with the table of the ladder.'
)
_DRAWS = 200  # of the bootstrap; ours


def main(runs: Sequence[str]) -> None:
  """Prints the law, a table, and the best row in words."""
  import os

  # Shapes are computed, no arrays: leave the accelerator to those who train.
  os.environ['JAX_PLATFORMS'] = 'cpu'
  from base import console
  from launch.scaling.budget import choice, law, told
  from launch.scaling.points import budgeted

  generation, hours = _asked(_BUDGET.value)
  ladder = told.ladder(_PODS.value, generation)
  found = budgeted(runs)
  with console.progress('laws', 1 + _DRAWS, 'law') as done:
    fitted = law.fit(found)
    done.update(1)
    drawn = []
    for each in law.draws(found, _DRAWS):
      drawn.append(each)
      done.update(1)
  choices = choice.choices(ladder, hours, fitted, drawn)
  console.say(told.law(fitted, found))
  console.say(console.table(told.lines(choices, found)))
  console.say(told.words(choices[0], found))


def _asked(budget: str) -> tuple[str, float]:
  """Generation and chip-hours.

  Raises:
    ValueError: it does not say them.
  """
  said = re.fullmatch(r'(\w+):(\d+(\.\d+)?([eE]\+?\d+)?)', budget)
  if not said or not float(said[2]):
    raise ValueError(
      f'--budget={budget}: expected a generation and chip-hours of it, such as '
      'v5p:10000'
    )
  return said[1], float(said[2])


if __name__ == '__main__':
  command.run(main, required=['budget'], words='runs of a study: RUNS...')
