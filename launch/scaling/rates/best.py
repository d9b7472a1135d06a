"""The best rate of each width, from runs at several."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from evals.report import reading
from launch.scaling import points

Losses = Mapping[float, float]  # by learning rate
# By parametrisation and width.
Found = dict[str, dict[int, dict[float, float]]]


def of_runs(paths: Sequence[str]) -> Found:
  """{parametrisation: {width: {rate: loss}}}, widths and rates rising.

  A loss is the last one on validation clips; inf of a run that diverged. A run
  that is as wide as its base has no parametrisation of its own, and stands with
  all of them.

  Args:
    paths: of runs.

  Raises:
    ValueError: a run has not ended, or two are of one width, rate and
      parametrisation.
  """
  runs = reading.runs(paths)
  # 'standard' before 'mup'.
  names = sorted({_name(x) for x in runs if not _is_base(x)}, reverse=True)
  names = names or [_name(run) for run in runs[:1]]
  found: Found = {name: {} for name in names}
  for run in sorted(runs, key=_place):
    width, rate = _place(run)
    loss = points.last_loss(run)
    for name in names if _is_base(run) else [_name(run)]:
      losses = found[name].setdefault(width, {})
      if rate in losses:
        raise ValueError(
          f'{run.path} is a second run of width {width}, rate {rate:g} and '
          f'{name}: give one of each'
        )
      losses[rate] = loss if math.isfinite(loss) else math.inf
  return found


def _place(run: reading.Run) -> tuple[int, float]:
  return run.config['model']['dim'], run.config['optim']['lr']


def _name(run: reading.Run) -> str:
  return run.config['optim']['parametrisation']


def _is_base(run: reading.Run) -> bool:
  return run.config['model']['dim'] == run.config['optim']['base_width']


def rate(losses: Losses) -> float:
  """Where a parabola through the lowest loss and its neighbours is lowest.

  Over the logarithm of the rate; at an end of the rates, that end: then the
  best one may lie outside.
  """
  rates = sorted(losses)
  at = min(range(len(rates)), key=lambda n: losses[rates[n]])
  near = rates[max(0, at - 1) : at + 2]
  if len(near) < 3 or not all(math.isfinite(losses[x]) for x in near):
    return rates[at]
  x = np.log(near)
  second, first, _ = np.polyfit(x, [losses[each] for each in near], 2)
  return float(np.exp(-first / (2 * second))) if second > 0 else rates[at]


def moves(of_width: Mapping[int, Losses]) -> str:
  """By what power of the width the best rate goes: 'width^-0.71'."""
  if len(of_width) < 2:
    return 'nothing: there is one width'
  rates = [rate(losses) for losses in of_width.values()]
  power = np.polyfit(np.log(list(of_width)), np.log(rates), 1)[0]
  return f'width^{power:+.2f}'


def table(found: Found) -> list[dict[str, str]]:
  """A line for each width: best rate, loss there, and loss at the base's."""
  lines = []
  for name, of_width in found.items():
    narrow = next(iter(of_width.values()))
    first = min(narrow, key=narrow.get)
    for width, losses in of_width.items():
      least = min(losses, key=losses.get)
      lines.append(
        {
          'parametrisation': name,
          'width': str(width),
          'best rate': f'{rate(losses):.2e}' + _end(losses, least),
          'lowest loss': f'{losses[least]:.4f}',
          'at the rate of the narrowest': (
            f'{losses[first]:.4f}' if first in losses else 'not run'
          ),
        }
      )
  return lines


def _end(losses: Losses, least: float) -> str:
  return ' or beyond' * (least in (min(losses), max(losses)))


def lines(found: Found) -> list[dict[str, Any]]:
  """A line for each run."""
  return [
    {'parametrisation': name, 'width': width, 'rate': at, 'loss': loss}
    for name, of_width in found.items()
    for width, losses in of_width.items()
    for at, loss in losses.items()
  ]
