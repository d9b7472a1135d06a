"""What runs of several sizes reached, as errors over parameters."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from evals.report import grouping, naming, reading
from launch.scaling.budget import law
from launch.scaling.power import Point
from models import objective as objective_lib

LOSS = 'loss'
Points = dict[str, list[Point]]
_SAME = 0.02  # FLOPs that steps of a whole number cannot make equal


def of_runs(paths: Sequence[str]) -> Points:
  """{what: points, small sizes first} of pretraining runs and their readouts.

  'loss' is the last one on validation clips. Of each readout the main score is
  taken, at the last checkpoint: 'points, frozen: average_jaccard'. Where more
  is better, the error is what is missing to 1.

  Args:
    paths: of runs; those that differ in their seed only are one point.

  Raises:
    ValueError: no run is there, a file is damaged, or two models of one size
      are not seeds of one another.
  """
  return _of_models(_models(paths))


def series(paths: Sequence[str]) -> dict[str, Points]:
  """{'24,000 clips each': points as `of_runs` has them, ...}, of runs.

  A series is of sizes that saw as many clips, or, of the others, that were
  trained for as many FLOPs, within 2%; a model that has both is in both.

  Args:
    paths: of runs.

  Raises:
    ValueError: as `of_runs`; or a run belongs to no series.
  """
  models = _models(paths)
  groups = _groups(models, lambda model: _clips(model.runs[0].config))
  found = {f'{clips:,} clips each': group for clips, group in groups}
  alone = [x for x in models if not any(x in group for _, group in groups)]
  flops = {id(model): _flops(model.runs[0].config) for model in models}
  while alone:
    mine = flops[id(alone[0])]
    group = [x for x in models if abs(flops[id(x)] / mine - 1) < _SAME]
    if len(group) < 2:
      raise ValueError(
        f'{alone[0].name} saw as many clips as no other size, and was trained '
        'for as many FLOPs as none: leave it out, or give more of its series'
      )
    found[f'{mine:.1e} FLOPs each'] = group
    alone = [x for x in alone if x not in group]
  return {title: _of_models(group) for title, group in found.items()}


def budgeted(paths: Sequence[str]) -> list[law.Run]:
  """Validation losses of runs, with their sizes and lengths.

  Args:
    paths: of runs.

  Raises:
    ValueError: as `of_runs`.
  """
  return [
    law.Run(
      parameters=model.parameters,
      clips=_clips(model.runs[0].config),
      losses=tuple(last_loss(run) for run in model.runs),
    )
    for model in _models(paths)
  ]


def _models(paths: Sequence[str]) -> list[grouping.Model]:
  runs = reading.runs(paths)
  damaged = [why for run in runs for why in run.damaged]
  if damaged:
    raise ValueError(f'{damaged[0]}; of a part of the runs no law is fitted')
  return grouping.models(runs)


def _groups(models, key) -> list[tuple[Any, list[grouping.Model]]]:
  """Of two or more, by what they have in common."""
  groups: dict[Any, list[grouping.Model]] = {}
  for model in models:
    groups.setdefault(key(model), []).append(model)
  return [(kept, group) for kept, group in groups.items() if len(group) > 1]


def _clips(config: Mapping[str, Any]) -> int:
  return config['steps'] * config['data']['batch_size']


def _flops(config: Mapping[str, Any]) -> float:
  """Model FLOPs of all steps."""
  model = config['model']
  shape = (model[key] for key in ('frames', 'height', 'width'))
  batch = (config['data']['batch_size'], *shape, 3)
  flops = objective_lib.make(**model).flops(
    {'video': jax.ShapeDtypeStruct(batch, np.uint8)}
  )
  return config['steps'] * sum(flops.values())


def _of_models(models: Sequence[grouping.Model]) -> Points:
  found: Points = {}
  for model in models:
    losses = [last_loss(run) for run in model.runs]
    _add(found, LOSS, model.parameters, losses)
  for row in grouping.last(grouping.rows(models)):
    if not row.random_init:
      metric = row.headline[0]
      what = f'{naming.task(row.task)}, {row.kind}: {metric}'
      values = [each['metrics'][metric]['value'] for each in row.found]
      _add(
        found, what, row.model.parameters, [error(metric, x) for x in values]
      )
  return {
    what: sorted(points, key=lambda point: point.size)
    for what, points in found.items()
  }


def error(metric: str, value: float) -> float:
  """What is wrong with a score: itself, or what is missing to 1.

  It is its own inverse.
  """
  return value if naming.metric(metric).better == 'lower' else 1 - value


def score(what: str, value: float) -> float:
  """The score of an error, of what `of_runs` calls so."""
  return value if what == LOSS else error(what.rpartition(': ')[2], value)


def last_loss(run: reading.Run) -> float:
  """On validation clips, of its last step.

  Raises:
    ValueError: it has not come to its end, or there was no validation.
  """
  steps, values = reading.curve(run, 'eval/loss')
  if not steps or steps[-1] < run.config['steps']:
    raise ValueError(
      f'{run.path} has no validation loss of its last step '
      f'{run.config["steps"]}: train it to its end, with config.eval.every > 0'
    )
  return values[-1]


def _add(
  found: dict[str, list[Point]], what: str, size: int, errors: Sequence[float]
) -> None:
  points = found.setdefault(what, [])
  if any(point.size == size for point in points):
    raise ValueError(
      f'{what}: two models of {size:,} parameters that are not seeds of one '
      'another: give runs of one recipe, that differ in size and seed alone'
    )
  points.append(Point(float(size), tuple(errors)))
