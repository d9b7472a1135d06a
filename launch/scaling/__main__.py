r"""Shows a forecast beside what came out.

    python -m launch.scaling runs/ladder/* runs/largest \
      --forecast=runs/forecast.json --out=runs/scaling

Writes DIR/scaling.png (errors over parameters: runs, law, its band, what was
forecast, what came out), DIR/forecast.csv, and prints the table with the hash
of the forecast. `python -m launch.scaling.forecast` writes forecasts.
"""

from collections.abc import Sequence

from absl import flags

from base import command

_FORECAST = flags.DEFINE_string('forecast', None, 'The file.')
_OUT = flags.DEFINE_string('out', None, 'Folder of the figure and the table.')


def main(runs: Sequence[str]) -> None:
  """Writes figure and table, and prints the latter."""
  import os

  # Shapes are computed, no arrays: leave the accelerator to those who train.
  os.environ['JAX_PLATFORMS'] = 'cpu'
  from base import console, files
  from evals.report import tables as csv
  from launch.scaling import figure, forecast, points, tables

  told = forecast.read(_FORECAST.value)
  found = points.of_runs(runs)
  lines = tables.missed_lines(told, found)
  files.make_folder(_OUT.value, '--out', stores_too=True)
  figure.draw(told, found, os.path.join(_OUT.value, 'scaling.png'))
  csv.write_csv(os.path.join(_OUT.value, 'forecast.csv'), lines)
  console.say(console.table(lines))
  console.say(f'forecast: {_FORECAST.value}, sha256 {told["sha256"]}')
  console.say(f'see {_OUT.value}/scaling.png')


if __name__ == '__main__':
  command.run(main, required=['forecast', 'out'], words='runs: RUNS...')
