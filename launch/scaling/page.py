"""The page of a study: a forecast, what came out, and every run."""

from collections.abc import Mapping, Sequence
from typing import Any

from evals.report import shell
from evals.report.tables import escape
from launch.scaling.points import score


def write(
  path: str,
  forecast: Mapping[str, Any],
  lines: Sequence[Mapping[str, str]],
  *,
  series: Sequence[str],
  runs: str,
) -> None:
  """Writes it, beside scaling.png and its tables.

  Args:
    path: of the file.
    forecast: as `launch.scaling.forecast` has it.
    lines: of `tables.missed_lines`.
    series: titles, that of the forecast first.
    runs: link to the report on each run; '': there is none.
  """
  beside = ''.join(f' Dashed: {escape(title)}.' for title in series[1:])
  also = f', <a href="{escape(runs)}">the report on each run</a>' * bool(runs)
  body = f"""
<h2>Errors over size</h2>
<p>Each dot is a run, at {escape(series[0])}. The law is error = floor + scale x
parameters<sup>&minus;power</sup>, fitted to all sizes but the largest; the
diamond is what it says of that one, with a 90% band: where a run is expected
that differs from others of its size by chance alone, if there is such a
law.{beside}</p>
<figure class="scroll wide"><a href="scaling.png"><img src="scaling.png"
alt="Errors over parameters: a panel for loss and each readout"></a></figure>
<h2>Forecast, and what came out</h2>
<p>Written before the largest size was started, and not changed since: SHA-256
<code>{forecast['sha256']}</code>. A half is from the
forecast to the end of the band, above or below: up to 1 is within it.</p>
{_table(lines)}
<p class="note">Numbers: <a href="forecast.csv">forecast.csv</a>,
<a href="points.csv">points.csv</a>{also}.</p>"""
  inside = sum(abs(_miss(line)) <= 1 for line in lines)
  tiles = _tile('within the band', f'{inside} of {len(lines)}', 'forecasts')
  for what, found in forecast['of'].items():
    if what == 'loss':
      said = f'forecast {score(what, found["value"]):.4f}'
      tiles += _tile('loss', lines[0]['reached'], said)
  shell.write(
    path,
    'What size brings',
    f'Models of {len(forecast["of"]["loss"]["points"]) + 1} sizes, the largest '
    f'of {forecast["size"]:,.0f} parameters, forecast before it was trained.',
    tiles,
    body,
  )


def point_lines(
  series: Mapping[str, Mapping[str, Sequence[Any]]],
) -> list[dict[str, Any]]:
  """A line for each run and each of its scores."""
  return [
    {
      'series': title,
      'of': what,
      'parameters': int(point.size),
      'value': score(what, error),
    }
    for title, points in series.items()
    for what, found in points.items()
    for point in found
    for error in point.errors
  ]


def _miss(line: Mapping[str, str]) -> float:
  try:
    return float(line['missed, in half bands'])
  except ValueError:
    return 0.0  # there is no band


def _table(lines: Sequence[Mapping[str, str]]) -> str:
  head = ''.join(f'<th>{escape(name)}</th>' for name in lines[0])
  rows = ''.join(
    '<tr>' + ''.join(f'<td>{escape(x)}</td>' for x in line.values()) + '</tr>'
    for line in lines
  )
  return f'<table><tr>{head}</tr>{rows}</table>'


def _tile(name: str, value: str, says: str) -> str:
  return (
    f'<div class="tile"><i>{escape(name)}</i><b>{escape(value)}</b>'
    f'<span>{escape(says)}</span></div>'
  )
