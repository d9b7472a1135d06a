"""What runs of several sizes reached, as errors over parameters."""

from collections.abc import Sequence

from evals.report import grouping, naming, reading
from launch.scaling.power import Point

LOSS = 'loss'


def of_runs(paths: Sequence[str]) -> dict[str, list[Point]]:
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
  runs = reading.runs(paths)
  damaged = [why for run in runs for why in run.damaged]
  if damaged:
    raise ValueError(f'{damaged[0]}; of a part of the runs no law is fitted')
  models = grouping.models(runs)
  found: dict[str, list[Point]] = {}
  for model in models:
    losses = [_last_loss(run) for run in model.runs]
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


def _last_loss(run: reading.Run) -> float:
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
