"""Which jobs of a report belong together: seeds, sizes, baselines."""

import dataclasses
import functools
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jax.extend import core

from evals.report import naming
from evals.report.reading import Job, Run
from models import objective as objective_lib

KINDS = ('frozen', 'fine-tuned', 'random', 'scratch')
# Of a config, what seeds change, and what does not change a result.
_ASIDE = (
  *('seed', 'mesh', 'log', 'checkpoint', 'eval', 'health', 'compile'),
  *('processes', 'skips', 'watchdog'),
)
_DATA_ASIDE = ('seed', 'workers', 'keys', 'stalled_sec', 'remote')


@dataclasses.dataclass(frozen=True)
class Model:
  """Pretraining runs that differ in their seed only."""

  runs: tuple[Run, ...]

  @property
  def name(self) -> str:
    """That of its first run."""
    return self.runs[0].name

  @property
  def title(self) -> str:
    """The name, and how many runs it stands for."""
    count = len(self.runs)
    return self.name if count == 1 else f'{self.name} ({count} runs)'

  @functools.cached_property
  def parameters(self) -> int:
    """Of the backbone."""
    return backbone_parameters(self.runs[0].config['model'])


@dataclasses.dataclass(frozen=True)
class Row:
  """Jobs that differ in their seed only: one line of a task's table."""

  model: Model
  task: str
  source: str
  settings: str  # of the readout, as JSON
  finetune: float  # multiplier of the backbone's learning rate; 0: frozen
  random_init: bool
  step: int | None  # of the checkpoint; None: random init
  jobs: tuple[Job, ...]
  repeated: tuple[Job, ...]  # with the seed of another job; not counted

  @property
  def found(self) -> list[dict[str, Any]]:
    """What each job's result says of the task."""
    return [job.result['tasks'][self.task] for job in self.jobs]

  @property
  def headline(self) -> list[str]:
    """Scores that tables show, the main one first."""
    return self.found[0]['headline']

  @property
  def readout(self) -> tuple:
    """What it shares with its random init, and with other checkpoints."""
    return (
      self.model.name,
      self.task,
      self.source,
      self.settings,
      self.finetune,
    )

  @property
  def steps(self) -> int:
    """Training steps of the readout."""
    return self.jobs[0].result['steps']

  @property
  def kind(self) -> str:
    """One of KINDS; 'scratch' is fine-tuned from random init."""
    return KINDS[2 * self.random_init + bool(self.finetune)]

  def score(self, metric: str) -> dict[str, float]:
    """Mean over seeds of the value and of the ends of its interval.

    `std` is over seeds; 0 of a single one.
    """
    scores = [found['metrics'][metric] for found in self.found]
    mean = {
      end: float(np.mean([score[end] for score in scores]))
      for end in ('value', 'low', 'high')
    }
    values = [score['value'] for score in scores]
    std = float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
    return mean | {'std': std}

  def trivial(self, metric: str) -> float:
    """The trivial predictor's score, mean over jobs."""
    return float(np.mean([found['trivial'][metric] for found in self.found]))


def models(runs: Sequence[Run]) -> list[Model]:
  """Runs whose configs differ in seeds only, together; smallest first.

  Runs without readouts come last and are not measured: so the run of an
  objective that this version cannot make has a page too.
  """
  groups: dict[str, list[Run]] = {}
  for run in runs:
    groups.setdefault(_pretraining(run.config), []).append(run)
  found = [Model(tuple(group)) for group in groups.values()]
  judged = [x for x in found if any(run.jobs for run in x.runs)]
  others = [x for x in found if not any(run.jobs for run in x.runs)]
  return sorted(judged, key=lambda model: model.parameters) + others


def rows(found: Sequence[Model]) -> list[Row]:
  """Jobs by what they are of, seeds together.

  In the order of models, then kinds, then steps of the checkpoint.
  """
  made = []
  for model in found:
    groups: dict[tuple, list[Job]] = {}
    for job in (job for run in model.runs for job in run.jobs):
      for task in job.result['tasks']:
        groups.setdefault(_key(job.result, task), []).append(job)
    mine = [Row(model, *key, *_distinct(jobs)) for key, jobs in groups.items()]
    made += sorted(mine, key=lambda row: (KINDS.index(row.kind), row.step or 0))
  return made


def last(every: Sequence[Row]) -> list[Row]:
  """Of rows that differ in the checkpoint's step only, the last one."""
  found = {}
  for row in every:  # steps rise
    found[row.readout, row.random_init] = row
  return list(found.values())


def by_task(every: Sequence[Row]) -> dict[tuple[str, str], list[Row]]:
  """Rows by their task and source, tasks in the order of `names`."""
  order = [*naming.TASKS, *(row.task for row in every)]
  groups: dict[tuple[str, str], list[Row]] = {}
  for row in sorted(every, key=lambda row: order.index(row.task)):
    groups.setdefault((row.task, row.source), []).append(row)
  return groups


def of_several_steps(every: Sequence[Row]) -> list[Row]:
  """Rows of readouts of more than one checkpoint, with their random init."""
  steps: dict[tuple, set[int]] = {}
  for row in every:
    if row.step is not None:
      steps.setdefault(row.readout, set()).add(row.step)
  curves = {readout for readout, found in steps.items() if len(found) > 1}
  return [row for row in every if row.readout in curves]


def of_several_depths(every: Sequence[Row]) -> list[Row]:
  """Those whose heads read features of several depths."""
  return [
    row
    for row in every
    if all(
      len({head.get('depth') for head in found['heads']}) > 1
      for found in row.found
    )
  ]


def of_depths(row: Row) -> dict[float, float]:
  """{depth: main score on test clips}, mean over seeds.

  Of the heads of a depth the one that does best on validation clips.
  """
  name, scores = row.headline[0], {}
  for found in row.found:
    sign = -1 if found['lower_is_better'] else 1
    best: dict[float, dict[str, Any]] = {}
    for head in found['heads']:
      other = best.setdefault(head['depth'], head)
      if sign * head['validation'][name] > sign * other['validation'][name]:
        best[head['depth']] = head
    for depth, head in best.items():
      scores.setdefault(depth, []).append(head['test'][name])
  return {depth: float(np.mean(scores[depth])) for depth in sorted(scores)}


def backbone_parameters(model: Mapping[str, Any]) -> int:
  """Parameters of the parts that features are computed with.

  A part is a subtree at the top of the parameters. So the decoder of a masked
  autoencoder is not counted; an encoder that is read at 95% of its depth is.
  """
  objective = objective_lib.make(**model)
  clip = (1, *(model[key] for key in ('frames', 'height', 'width')), 3)
  video = jax.ShapeDtypeStruct(clip, np.uint8)
  params = jax.eval_shape(objective.init, jax.random.key(0), {'video': video})
  jaxpr = jax.make_jaxpr(objective.features)(params, video).jaxpr
  read = {
    variable
    for equation in jaxpr.eqns
    for variable in equation.invars
    if isinstance(variable, core.Var)
  }
  leaves = jax.tree.leaves_with_path(params)
  parts = {
    path[0].key
    for (path, _), variable in zip(leaves, jaxpr.invars)
    if variable in read
  }
  return sum(math.prod(x.shape) for path, x in leaves if path[0].key in parts)


def _key(result: Mapping[str, Any], task: str) -> tuple:
  """What jobs of one row have in common."""
  return (
    task,
    result['source'],
    _readout(result['config'], task),
    result['finetune'],
    result['random_init'],
    result['checkpoint']['step'],
  )


def _pretraining(config: Mapping[str, Any]) -> str:
  """A run's config without what seeds and machines change."""
  kept = {key: x for key, x in config.items() if key not in _ASIDE}
  return json.dumps(kept | {'data': _data(config['data'])}, sort_keys=True)


def _readout(config: Mapping[str, Any], task: str) -> str:
  """How a task's head was trained and tested, whatever the backbone.

  Heads on a frozen backbone do not notice each other; those that train it
  together do.
  """
  aside = (*_ASIDE, 'model', 'backbone', 'init_from', 'tasks', 'feature_cache')
  kept = {key: x for key, x in config.items() if key not in aside}
  shape = ('frames', 'height', 'width')  # the backbone's
  kept['data'] = _data(config['data'], *shape)
  kept['test_sources'] = _sources(config['test_sources'], *shape)
  kept['task'] = config['tasks'][task]
  if config['finetune']:
    kept['together'] = sorted(config['tasks'])
  return json.dumps(kept, sort_keys=True)


def _data(data: Mapping[str, Any], *aside: str) -> dict[str, Any]:
  kept = {key: x for key, x in data.items() if key not in _DATA_ASIDE}
  return kept | {'sources': _sources(data['sources'], *aside)}


def _sources(sources: Mapping[str, Any], *aside: str) -> dict[str, Any]:
  """Sources without their seed, and without where they are cached."""
  aside = (*aside, 'seed', 'cache', 'cache_workers')
  found = {}
  for label, source in sources.items():
    if source['name'] == 'features':  # of `evals.features`
      source = source['source']
    found[label] = {key: x for key, x in source.items() if key not in aside}
  return found


def _distinct(jobs: Sequence[Job]) -> tuple[tuple[Job, ...], tuple[Job, ...]]:
  """The first job of each seed, and the others."""
  kept: dict[tuple[str, int], Job] = {}
  for job in jobs:
    kept.setdefault(job.seed, job)
  first = tuple(kept[seed] for seed in sorted(kept))
  return first, tuple(job for job in jobs if job not in first)
