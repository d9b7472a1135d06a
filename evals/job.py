"""A readout job as the config that `evals.resolve` completes describes it."""

import dataclasses
import os
from collections.abc import Mapping
from typing import Any

from base import jsons
from evals import rates, readout
from evals.features import cache as cache_lib
from models import objective as objective_lib
from train import workdir

Config = Mapping[str, Any]
# What is read of a job's config.json, see `jsons.read`.
_KIND = {
  **{'seed': int, 'steps': int, 'lrs': [float], 'finetune': float},
  **{'optim': {'weight_decay': float}},
  **{'tasks': dict, 'features': dict, 'model': {'name': str}, 'mesh': dict},
  **{'data': {'keys': [str], 'sources': dict}, 'test_sources': dict},
  **{'feature_cache': str, 'step': {'ema': float, 'freeze': [str]}},
  'backbone': {'run': str, 'random_init': bool},
}


@dataclasses.dataclass(frozen=True)
class Job:
  """All that a job does. Nothing after `evals.resolve` reads its recipe.

  Of the pipelines there are the options, without the split.
  """

  objective: readout.Readout
  train: Config  # of `train.loop.run`, as config.json and result.json keep it
  backbone: Config  # 'run' and 'step' of its checkpoint, or 'random_init'
  source: str  # name of what it is tested on
  # Pipelines. The first one is of videos, also where features stand for them
  # in training; those of `looked_at` are too, by split, before training.
  clips: Config
  looked_at: Mapping[str, Config]
  labels: Config  # of the training split, shuffled, without its video
  validation: Config | None  # which chooses a head; None: there is one
  tests: Config
  cache: str  # folder of cached features; '': the backbone runs in training

  @property
  def clip(self) -> tuple[int, int, int]:
    """(frames, height, width) that the backbone sees."""
    (source,) = self.clips['sources'].values()
    known = {**source, **self.train['model']}
    return known['frames'], known['height'], known['width']

  @property
  def heads(self) -> list[dict[str, float]]:
    """Of heads side by side: {'lr', 'weight_decay', 'depth'} of each."""
    return rates.heads(self.train)


def make(config: Config) -> Job:
  """The job of a completed config, see `evals.resolve.completed`.

  Raises:
    ValueError: a task, or an option of one, that does not exist.
  """
  clips, cache = cache_lib.direct(config), ''
  if config['feature_cache']:
    (cached,) = config['data']['sources'].values()
    cache = cached['path']
  sources = config['test_sources'] or clips['sources']
  (tested_on,) = sources.values()
  # What cannot be read is dropped by `evals.score`, and listed in result.json.
  data = {**config['data'], 'max_bad': None}
  looked_at = {**clips, 'shuffle': False, 'max_bad': None}
  several = len(rates.heads(config)) > 1
  return Job(
    objective=make_objective(config),
    train=config,
    backbone=config['backbone'],
    source=tested_on['name'],
    clips=clips,
    looked_at={
      'test': {**looked_at, 'sources': sources},
      **({'validation': looked_at} if several else {}),
    },
    labels={
      **data,
      # Lists may be sorted.
      'shuffle': True,
      'keys': [key for key in data['keys'] if key not in ('video', 'features')],
    },
    validation=data if several else None,
    tests={
      **data,
      'sources': config['test_sources'] or data['sources'],
      # Pictures show the video, also where its features are cached.
      'keys': list(dict.fromkeys(('video', *data['keys']))),
    },
    cache=cache,
  )


def read(folder: str) -> Job:
  """The job of a folder, as its config.json has it.

  Raises:
    ValueError: the file is damaged.
  """
  return make(read_config(folder, _KIND))


def run_of(folder: str) -> str:
  """The pretraining run whose readout lies in a folder.

  Raises:
    ValueError: the job's config.json is damaged.
  """
  return read_config(folder, {'backbone': {'run': str}})['backbone']['run']


def read_config(folder: str, kind: Mapping[str, Any]) -> dict[str, Any]:
  """The config that a run's folder holds, of readouts or of pretraining.

  Args:
    folder: of the run.
    kind: of what is read of it, see `jsons.read`.

  Raises:
    ValueError: the file is damaged.
    FileNotFoundError: there is none.
  """
  return jsons.expect(
    workdir.read_config(folder),
    kind,
    os.path.join(folder, 'config.json'),
    'put a copy back; the command of the run, given another --workdir, writes '
    'one there',
  )


def make_objective(config: Config) -> readout.Readout:
  """The readout objective of a completed config."""
  names = ('',)
  heads = rates.heads(config)
  if len(heads) > 1:
    names = tuple(f'lr_{head["lr"]:g}' for head in heads)
  for key, short in (('weight_decay', 'wd'), ('depth', 'at')):
    if len({head[key] for head in heads}) > 1:
      names = tuple(
        f'{name}_{short}_{head[key]:g}' for name, head in zip(names, heads)
      )
  (source,) = config['data']['sources'].values()
  return readout.make(
    backbone=objective_lib.make(**config['model']),
    clip=[source[key] for key in ('frames', 'height', 'width')]
    if config['feature_cache']
    else (),
    tasks=config['tasks'],
    labels=names,
    finetune=config['finetune'] > 0,
    **config['features'] | {'depth': [head['depth'] for head in heads]},
  )
