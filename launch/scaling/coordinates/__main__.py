r"""Coordinate check: do activations move alike at every width?

    python -m launch.scaling.coordinates --config=configs/quickstart.py \
      --widths=32,64,128,256 --out=runs/coordinates

Trains a few steps at each width, with the standard parametrisation and with
muP, and draws by how much tokens and pixels of the same clips have moved since
the start (root mean square). Where they move further the wider a model is, a
rate that was found narrow is too high for it (arXiv 2203.03466, appendix D).
"""

import json
import os

from absl import flags
from ml_collections import config_flags

from base import command

_CONFIG = config_flags.DEFINE_config_file(
  'config', 'configs/quickstart.py', 'A pretraining recipe of models.mae.'
)
_WIDTHS = flags.DEFINE_list(
  'widths', ['32', '64', '128', '256'], 'Of the stream; the first is the base.'
)
_STEPS = flags.DEFINE_integer('steps', 8, 'Trained.', lower_bound=1)
_SEEDS = flags.DEFINE_integer('seeds', 3, 'Medians are of.', lower_bound=1)
_OUT = flags.DEFINE_string('out', None, 'Folder of the figure and its numbers.')


def main() -> None:
  """Prints how each place grows with width; writes the figure and numbers."""
  from base import console, files
  from launch import recipe
  from launch.scaling.coordinates.check import check, growth
  from launch.scaling.coordinates.figure import draw

  config = recipe.pretraining(_CONFIG.value)
  try:
    widths = [int(width) for width in _WIDTHS.value]
  except ValueError:
    raise ValueError(
      f'--widths={",".join(_WIDTHS.value)}: expected whole numbers'
    ) from None
  if len(set(widths)) < 2:
    raise ValueError(f'--widths={widths}: expected two different ones or more')
  found = check(config, widths, steps=_STEPS.value, seeds=_SEEDS.value)
  print(
    console.table(
      [
        {'parametrisation': name}
        | {
          place: f'{values[widths[0]][-1]:.3f} -> {values[widths[-1]][-1]:.3f}'
          f', width^{growth(values):+.2f}'
          for place, values in of_place.items()
        }
        for name, of_place in found.items()
      ]
    )
  )
  out = _OUT.value
  files.make_folder(out, '--out', stores_too=True)
  draw(found, os.path.join(out, 'coordinates.png'))
  files.write(os.path.join(out, 'coordinates.json'), json.dumps(found))
  console.say(f'see {out}/coordinates.png')


if __name__ == '__main__':
  command.run(main, required=['out'])
