r"""Writes down what a larger model will reach, before it is trained.

    python -m launch.scaling.forecast runs/ladder/* --out=runs/forecast.json \
      --config=configs/quickstart.py --config.model.dim=256 \
      --workdir=runs/largest

A power law with an offset is fitted to the validation loss and to each score of
the runs, which differ in size and seed alone. The file has the laws, what they
say of the model of --config, and a hash of both; `python -m launch.scaling`
shows it beside what came out. A --workdir that has begun is refused: one that
has been seen is no forecast.
"""

from collections.abc import Sequence

from absl import flags
from ml_collections import config_flags

from base import command

_CONFIG = config_flags.DEFINE_config_file(
  'config', None, 'The recipe of the larger model.'
)
_WORKDIR = flags.DEFINE_string('workdir', None, 'Where it will be trained.')
_OUT = flags.DEFINE_string('out', None, 'The file.')


def main(runs: Sequence[str]) -> None:
  """Writes the file, and prints what it says."""
  import os

  # Shapes are computed, no arrays: leave the accelerator to those who train.
  os.environ['JAX_PLATFORMS'] = 'cpu'
  from base import console, files
  from evals.report import grouping
  from launch import recipe
  from launch.scaling import forecast, points
  from launch.scaling.tables import forecast_lines

  config = recipe.pretraining(_CONFIG.value)
  folder = files.path(_WORKDIR.value)
  if files.exists(folder / 'config.json'):
    raise ValueError(
      f'--workdir={_WORKDIR.value} has begun: a forecast is of a run that '
      'nobody has seen; give the folder of one that has not'
    )
  size = grouping.backbone_parameters(config['model'])
  made = forecast.make(points.of_runs(runs), size)
  forecast.write(_OUT.value, made)
  console.say(console.table(forecast_lines(made)))
  console.say(f'{_OUT.value}: sha256 {made["sha256"]}')


if __name__ == '__main__':
  command.run(
    main,
    required=['config', 'workdir', 'out'],
    words='at least three runs of different sizes: RUNS...',
    least=3,
  )
