r"""Shows a forecast beside what came out.

    python -m launch.scaling runs/ladder/* runs/largest \
      --forecast=runs/forecast.json --out=runs/scaling

Writes DIR/index.html with a figure of errors over parameters (runs, law, its
band, what was forecast, what came out), a table, the hash of the forecast and
CSVs; and prints the table. Among the runs may be sizes that were trained for as
many FLOPs as one another: they are shown beside. `launch.scaling.forecast`
writes forecasts, and so does `launch.sweep`, of a run with 'forecast': True.
"""

from collections.abc import Sequence

from absl import flags

from base import command

_FORECAST = flags.DEFINE_string('forecast', None, 'The file.')
_OUT = flags.DEFINE_string('out', None, 'Folder of index.html.')
_REPORT = flags.DEFINE_string(
  'report', '', 'Page of evals.report on the runs, to be linked to.'
)


def main(runs: Sequence[str]) -> None:
  """Writes figure and table, and prints the latter."""
  import os

  # Shapes are computed, no arrays: leave the accelerator to those who train.
  os.environ['JAX_PLATFORMS'] = 'cpu'
  from base import console, files
  from evals.report import tables as csv
  from launch.scaling import figure, forecast, page, points, tables

  told = forecast.read(_FORECAST.value)
  series = points.series(runs)
  title = forecast.series_of(told, series)
  others = {key: x for key, x in series.items() if key != title}
  lines = tables.missed_lines(told, series[title])
  out = _OUT.value.rstrip('/')
  files.make_folder(out, '--out', stores_too=True)
  figure.draw(told, series[title], f'{out}/scaling.png', others)
  csv.write_csv(f'{out}/forecast.csv', lines)
  csv.write_csv(f'{out}/points.csv', page.point_lines(series))
  page.write(
    f'{out}/index.html',
    told,
    lines,
    series=[title, *others],
    runs=_REPORT.value and os.path.relpath(_REPORT.value, out),
  )
  console.say(console.table(lines))
  console.say(f'forecast: {_FORECAST.value}, sha256 {told["sha256"]}')
  console.say(f'{out}/index.html')


if __name__ == '__main__':
  command.run(main, required=['forecast', 'out'], words='runs: RUNS...')
