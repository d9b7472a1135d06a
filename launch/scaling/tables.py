"""What was forecast, and what came out, as lines of a table."""

from collections.abc import Mapping, Sequence
from typing import Any

from launch.scaling.points import score
from launch.scaling.power import Point


def forecast_lines(forecast: Mapping[str, Any]) -> list[dict[str, str]]:
  """A line for each of what was forecast: law, value, 90% band."""
  return [
    {
      'of': what,
      'sizes': str(len(found['points'])),
      'power': f'{found["law"]["power"]:.2f}',
      'limit': _number(score(what, found['law']['floor'])),
      'forecast': _number(score(what, found['value'])),
      '90%': ' to '.join(
        _number(x)
        for x in sorted(score(what, found[key]) for key in ('low', 'high'))
      ),
    }
    for what, found in forecast['of'].items()
  ]


def missed_lines(
  forecast: Mapping[str, Any], points: Mapping[str, Sequence[Point]]
) -> list[dict[str, str]]:
  """The same, with what the model reached, and by how much that missed.

  In halves of the band, the one above the forecast or the one below: up to 1
  is within it.

  Raises:
    ValueError: no run of that size has what was forecast.
  """
  lines = []
  for line, (what, found) in zip(
    forecast_lines(forecast), forecast['of'].items()
  ):
    reached = reached_of(forecast, points, what)
    far = reached.mean - found['value']
    # They are not alike: the band is of draws.
    half = abs(found['high' if far > 0 else 'low'] - found['value'])
    # Of runs that do not differ by chance there is no band.
    miss = f'{far / half:+.2f}' if half else 'no band'
    lines.append(
      line
      | {
        'reached': _number(score(what, reached.mean)),
        'missed, in half bands': miss,
      }
    )
  return lines


def reached_of(
  forecast: Mapping[str, Any], points: Mapping[str, Sequence[Point]], what: str
) -> Point:
  """The point of the size that was forecast.

  Raises:
    ValueError: there is none.
  """
  for point in points.get(what, ()):
    if point.size == forecast['size']:
      return point
  raise ValueError(
    f'{what} was forecast of a model of {forecast["size"]:,.0f} parameters, '
    'which no run has: give its run, trained to the end, with its readouts'
  )


def _number(value: float) -> str:
  return f'{value:.4g}'
