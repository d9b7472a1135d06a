"""A forecast, and the file that proves that it was not changed."""

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from typing import Any

from base import files, jsons
from launch.scaling import power
from launch.scaling.points import Points
from launch.scaling.power import Law, Point

_KIND = {'size': float, 'of': dict, 'sha256': str}
_REMEDY = 'take the file that was written before the model was trained'


def make(points: Points, size: float) -> dict[str, Any]:
  """What a model of that size is expected to reach, of all that was measured.

  Args:
    points: as `launch.scaling.points.of_runs` has them.
    size: parameters of its backbone.

  Raises:
    ValueError: it is not larger than all that were run, or they are too few.
  """
  of = {}
  for what, found in points.items():
    largest = max(point.size for point in found)
    if size <= largest:
      raise ValueError(
        f'{what}: a model of {size:,.0f} parameters is no larger than that of '
        f'{largest:,.0f} which was run: there is nothing to forecast'
      )
    of[what] = {
      'points': [[point.size, list(point.errors)] for point in found],
      'law': dataclasses.asdict(power.fit(found)),
      **dataclasses.asdict(power.forecast(found, size)),
    }
  forecast = {'size': float(size), 'of': of}
  return forecast | {'sha256': _digest(forecast)}


def write(path: str, forecast: Mapping[str, Any]) -> None:
  """Writes what `make` made, once.

  Raises:
    ValueError: another forecast is there.
  """
  if files.exists(path) and read(path) != forecast:
    raise ValueError(
      f'{path} holds another forecast, which would be lost: choose another '
      'file, or remove it'
    )
  files.write(path, json.dumps(forecast, indent=1))


def read(path: str) -> dict[str, Any]:
  """The file's forecast.

  Raises:
    ValueError: it is damaged, or was changed.
  """
  forecast = jsons.read(path, _KIND, _REMEDY)
  for what, found in forecast['of'].items():
    kind = {
      **{'points': [list], 'value': float, 'low': float, 'high': float},
      'law': {field.name: float for field in dataclasses.fields(Law)},
    }
    jsons.expect(found, kind, f'{path}: {what}', _REMEDY)
  said = forecast['sha256']
  found = _digest({key: forecast[key] for key in ('size', 'of')})
  if said != found:
    raise ValueError(
      f'{path} was changed: its text has the hash {found[:12]}, and says '
      f'{said[:12]}; {_REMEDY}'
    )
  return forecast


def series_of(forecast: Mapping[str, Any], series: Mapping[str, Points]) -> str:
  """Of several series, the title of that which was forecast from.

  Raises:
    ValueError: none of them has the points that the forecast was made of.
  """
  for title, points in series.items():
    if all(
      Point(size, tuple(errors)) in points.get(what, ())
      for what, found in forecast['of'].items()
      for size, errors in found['points']
    ):
      return title
  raise ValueError(
    'the runs are not those that the forecast was made of: give these, as many '
    f'seeds of each; got {", ".join(series) or "no two that belong together"}'
  )


def _digest(forecast: Mapping[str, Any]) -> str:
  return hashlib.sha256(
    json.dumps(forecast, sort_keys=True).encode()
  ).hexdigest()
