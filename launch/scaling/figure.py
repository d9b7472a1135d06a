"""Errors over size: what was run, the law, what was forecast, what came out."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib import ticker
from matplotlib.figure import Figure

from evals.report import naming, plots
from launch.scaling import power
from launch.scaling.points import LOSS, Points, score
from launch.scaling.power import Law, Point

_COLUMNS = 3
_COLOURS = ('#c9a227', '#7b5fc7', '#3a9e8f')  # of other series


def draw(
  forecast: Mapping[str, Any],
  points: Points,
  path: str,
  others: Mapping[str, Points] | None = None,
) -> Figure:
  """A panel for each of what was forecast.

  Args:
    forecast: as `launch.scaling.forecast` has it.
    points: of its series, that of the forecast's size included if it is there.
    path: of the PNG.
    others: title -> points of other series, shown beside.
  """
  count = len(forecast['of'])
  rows = -(-count // _COLUMNS)
  with plots.style():
    figure = Figure(figsize=(plots.WIDTH, 3.1 * rows), layout='constrained')
    panels = list(figure.subplots(rows, _COLUMNS, squeeze=False).flat)
    for axes in panels[count:]:
      axes.axis('off')
    for axes, (what, found) in zip(panels, forecast['of'].items()):
      for (title, other), colour in zip((others or {}).items(), _COLOURS):
        _series(axes, what, other.get(what, ()), title, colour)
      _panel(axes, what, found, forecast['size'], points.get(what, ()))
    panels[0].legend(fontsize=8)
    plots.save(figure, path)
  return figure


def _panel(axes, what, found, size, points) -> None:
  known = [Point(at, tuple(errors)) for at, errors in found['points']]
  sizes = np.geomspace(min(point.size for point in known), size, 40)
  law = Law(**found['law'])
  low, high = power.band(known, sizes)
  shown = [score(what, law.at(at)) for at in sizes]
  axes.plot(sizes, shown, color=plots.FAINT, linewidth=1.2, label='law')
  axes.fill_between(
    sizes,
    [score(what, x) for x in low],
    [score(what, x) for x in high],
    color=plots.LINE,
    zorder=0,
    label='90% of laws',
  )
  axes.errorbar(
    [size],
    [score(what, found['value'])],
    yerr=[
      [abs(score(what, found['value']) - score(what, end))]
      for end in _ends(what, found)
    ],
    color='#e2762b',
    marker='D',
    markerfacecolor='white',
    label='forecast, 90%',
  )
  for is_new, label in ((False, 'run'), (True, 'came out')):
    mine = [point for point in points if (point.size == size) == is_new]
    at = [point.size for point in mine for _ in point.errors]
    errors = [score(what, x) for point in mine for x in point.errors]
    colour = plots.PRETRAINED if not is_new else plots.INK
    axes.scatter(at, errors, s=18, color=colour, zorder=3, label=label)
  axes.set(xscale='log', xlabel='backbone parameters')
  axes.xaxis.set_major_locator(ticker.LogLocator(numticks=6))
  axes.xaxis.set_minor_locator(ticker.NullLocator())
  name, _, metric = what.rpartition(': ')
  axes.set_title(name if metric != LOSS else 'validation loss')
  if name:
    shown = naming.metric(metric)
    axes.set_ylabel(f'{shown.label} {shown.arrow}')


def _series(axes, what, points, label, colour) -> None:
  axes.plot(
    [point.size for point in points],
    [score(what, point.mean) for point in points],
    color=colour,
    marker='s',
    markersize=4,
    markerfacecolor='white',
    linestyle='--',
    linewidth=1.0,
    label=label,
  )


def _ends(what: str, found: Mapping[str, Any]) -> list[float]:
  """Of the band, that which is drawn below, and that above."""
  ends = [found['low'], found['high']]
  return sorted(ends, key=lambda error: score(what, error))
