"""Looks for the layout, remat policy and micro-batches of a recipe on a slice.

  python -m launch.plan.search --config=configs/mae.py:size=j \\
    --topology=v5p:8x8x8 --compiles=4 --save

discards by formula what cannot fit, compiles the most promising, ranks them by
the roofline model, and prints the plan of the best. Needs libtpu, `pip install
--group tpu`; one to four minutes of a core each.
"""

import json

from absl import flags

from base import command
from launch.plan import flags as plan_flags

plan_flags.show()
_COMPILES = flags.DEFINE_integer(
  'compiles', 4, 'Layouts to compile, the most promising.', lower_bound=1
)
_SAVE = flags.DEFINE_bool(
  'save',
  False,
  'Write the best to configs/layouts.json, from which '
  'configs/mae.py:topology=... and configs/moog.py take it.',
)
_JSON = plan_flags.output(
  'json', 'Also write the layouts and their plans to this file, best first.'
)


def main() -> None:
  """Prints the ranking, and the plan of the best."""
  from base import console, files
  from launch.plan import compiler, layouts
  from launch.plan.report import text
  from launch.plan.search import ranking

  compiler.prepare()
  compiler.require()
  plan_flags.check_output(_JSON)
  config = plan_flags.recipe()
  slice_ = plan_flags.one_slice()
  # Before the work, whose result could not be saved.
  recipe = layouts.recipe_of(config) if _SAVE.value else ''
  ranked = ranking.rank(config, slice_, compiles=_COMPILES.value)
  console.say(ranking.text(ranked))
  best, plan = ranked[0]
  if recipe:
    layouts.save(recipe, slice_.name, best)
    file, _, _ = recipe.partition('.')
    console.say(f'saved: --config=configs/{file}.py:...,topology={slice_.name}')
  console.say(text.report(plan))
  if _JSON.value:
    written = [
      {'layout': dict(candidate.changes), **each} for candidate, each in ranked
    ]
    files.write(_JSON.value, json.dumps(written, indent=2) + '\n')


if __name__ == '__main__':
  command.run(main, required=plan_flags.REQUIRED)
