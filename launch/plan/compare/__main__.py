"""One recipe on several slices: what it would cost where, in a table.

  python -m launch.plan.compare --config=configs/mae.py:size=L \\
    --topology=v5e:8x8,v5p:4x4x4

lays the recipe out by its own `mesh` on each of them. What is compiled, and
what without libtpu: see `launch.plan`.
"""

import functools
import json

from absl import flags

from base import command
from launch.plan import flags as plan_flags

plan_flags.show()
_SHAPES_ONLY, _ASSUMED_MFU = plan_flags.shapes_only()
_JSON = plan_flags.output('json', 'Also write the plans to this file.')
_SAME_PER_CHIP = flags.DEFINE_bool(
  'same_per_chip',
  False,
  'The recipe is for the first --topology; the others have as many clips and '
  'shards a chip, in more replicas.',
)
_LAYOUTS = flags.DEFINE_bool(
  'layouts',
  False,
  'Lay each slice out as configs/layouts.json has the recipe there; the batch '
  'is the same on all.',
)
# Both say how a slice is laid out.
flags.mark_bool_flags_as_mutual_exclusive([_SAME_PER_CHIP, _LAYOUTS])


def main() -> None:
  """Prints the table."""
  from base import console, files
  from launch.plan import compiler, estimate, topology
  from launch.plan.compare import table

  compiler.prepare()
  plan_flags.check_output(_JSON)
  slices = [
    topology.parse(name) for name in plan_flags.TOPOLOGY.value.split(',')
  ]
  rows = table.rows(
    plan_flags.recipe(),
    slices,
    functools.partial(
      estimate.plan,
      shapes_only=_SHAPES_ONLY.value,
      assumed_mfu=_ASSUMED_MFU.value,
    ),
    same_per_chip=_SAME_PER_CHIP.value,
    own_layouts=_LAYOUTS.value,
  )
  console.say(table.text(rows))
  if _JSON.value:
    files.write(_JSON.value, json.dumps(rows, indent=2) + '\n')


if __name__ == '__main__':
  command.run(main, required=plan_flags.REQUIRED)
