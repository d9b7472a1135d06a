"""Runs a frozen backbone once over a source; readouts then read its features.

Possible where reading draws nothing at random: every epoch would show the
backbone the same clips.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from base import files
from base.console import progress
from data import pipeline
from data.sources import features
from evals.readout import Readout
from models.objective import Params
from train.feed import Feed
from train.watchdog import Watchdog

SPLITS = ('train', 'validation', 'test')


def redirect(config: dict[str, Any]) -> dict[str, Any]:
  """The job's config with the cached features in place of the video.

  Args:
    config: resolved, with a `feature_cache`.

  Raises:
    ValueError: features that training would change, or that differ from one
      reading to the next; or a folder that is not on a disk.
  """
  if config['finetune']:
    raise ValueError(
      f'config.feature_cache={config["feature_cache"]!r} holds features of a '
      f'frozen backbone, and config.finetune={config["finetune"]} trains it: '
      'set one of them to nothing'
    )
  if isinstance(config['features']['depth'], list):
    raise ValueError(
      'config.feature_cache keeps features of one depth, and '
      f'config.features.depth={config["features"]["depth"]}: give one, or do '
      'without the cache'
    )
  if config['test_sources']:
    raise ValueError(
      'config.feature_cache caches the source of training: leave '
      'config.test_sources empty, or do without the cache'
    )
  ((label, source),) = config['data']['sources'].items()
  made = pipeline.make(split='train', **config['data']).examples.sources[0]
  if not getattr(made, 'is_fixed', False):
    raise ValueError(
      f'config.feature_cache: reading source {source["name"]!r} draws at '
      'random (start, crop, flip), so its features differ each time. Do '
      'without the cache, or without draws, if its make() can '
      '(data.window=middle)'
    )
  if not files.is_local(config['feature_cache']):
    raise ValueError(
      f'config.feature_cache={config["feature_cache"]} is in an object store, '
      'and features are mapped into memory: choose a folder of a disk'
    )
  folder = Path(config['feature_cache']).expanduser().absolute()
  folder = folder / _fingerprint(config)
  keys = ['features', *(k for k in config['data']['keys'] if k != 'video')]
  cached = {
    **{key: source[key] for key in ('frames', 'height', 'width')},
    **{'name': 'features', 'weight': 1.0},
    **{'path': str(folder), 'source': source},
  }
  data = config['data'] | {'sources': {label: cached}, 'keys': keys}
  options = config['features'] | {'feature_dtype': 'bfloat16'}
  return config | {'data': data, 'features': options}


def direct(config: Mapping[str, Any]) -> dict[str, Any]:
  """The data section of a job that does not read cached features."""
  data = config['data']
  if not config['feature_cache']:
    return data
  ((label, cached),) = data['sources'].items()
  keys = ['video', *(key for key in data['keys'] if key != 'features')]
  return data | {'sources': {label: cached['source']}, 'keys': keys}


def _fingerprint(config: Mapping[str, Any]) -> str:
  """Names what features depend on: the weights, the clips, the depth.

  `backbone` says when they were saved: another run in the same folder is
  another.
  """
  identity = dict(config['backbone'])
  del identity['run']  # which may be moved
  # Its weights are the seed's; those of a run are the checkpoint's.
  if identity['random_init']:
    identity['seed'] = config['seed']
  text = json.dumps(
    [
      identity,
      *(config['model'], config['data']['sources'], config['features']),
    ],
    sort_keys=True,
  )
  return hashlib.sha256(text.encode()).hexdigest()[:16]


def fill(
  folder: str,
  clips: Mapping[str, Any],
  objective: Readout,
  backbone: Callable[[], Params],
  mesh: Mesh,
  watchdog: Watchdog,
) -> None:
  """Writes the features that are not there yet. Call it inside `mesh.use`.

  Args:
    folder: the cache, of these clips and this backbone.
    clips: options of the pipeline of their videos.
    objective: whose features they are.
    backbone: gives its parameters; called if there is something to write.
    mesh: where it runs.
    watchdog: that is entered.

  Raises:
    ValueError: several processes, of which each sees some of the clips.
  """
  if jax.process_count() > 1:
    raise ValueError(
      f'config.feature_cache is for one process, this is one of '
      f'{jax.process_count()}: leave it empty'
    )
  path = Path(folder)
  files.make_folder(path, 'config.feature_cache')
  missing = [s for s in SPLITS if features.is_missing(path, s)]
  if not missing:
    return
  params = backbone()
  whole = NamedSharding(mesh, PartitionSpec())
  forward = jax.jit(objective.tokens, out_shardings=whole)
  for split in missing:
    data = pipeline.once(split=split, **{**clips, 'keys': ['video']})
    batches = _batches(forward, params, data, mesh, watchdog, split)
    features.write(path, split, batches)


def _batches(forward, params, data, mesh, watchdog, split):
  """The features of every clip of a split, a batch at a time."""
  count, done = len(data), 0
  batches = -(-count // data.batch_size)
  with (
    progress(f'features of {split}', count, 'clip') as bar,
    Feed(data, mesh, start=0, end=batches, on_bad=_refuse) as feed,
  ):
    for batch in feed.all(watchdog, f'features of {split}'):
      # The last batch is filled up from the start of the split.
      values = np.asarray(forward(params, batch))[: count - done]
      done += len(values)
      yield values
      bar.update(len(values))


def _refuse(report: Mapping[str, Any]) -> None:
  raise ValueError(
    f'record {report["record"]} of {report["source"]} cannot be read '
    f'({report["reason"]}), so its features cannot be cached: repair the data, '
    'or do without config.feature_cache'
  )
