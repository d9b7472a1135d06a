"""The program of a recipe, without a run and without its data.

That of readouts too: their recipe with the backbone of a pretraining recipe.
"""

import functools
import json
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import AbstractMesh, Mesh
from ml_collections import config_dict

from evals import is_readout
from models import objective as objective_lib
from train import program as program_lib
from train.program import Program


def program(config: Mapping[str, Any], mesh: Mesh | AbstractMesh) -> Program:
  """What training runs: of a pretraining recipe, or of readouts.

  Args:
    config: plain values, as `train.loop.run` takes them. Of `data` only
      `batch_size` is read: clips are of the model's shape. Or what
      `of_readouts` made, whose labels have the shapes of the source's.
    mesh: see `train.program.make`.

  Raises:
    ValueError: the config cannot work on this mesh.
  """
  if is_readout(config):
    from evals import job  # Orbax comes with it, and takes a while to import

    objective = job.make_objective(config)
    examples = _labelled(json.dumps(config['data'], sort_keys=True))
  else:
    model = config['model']
    objective = objective_lib.make(**model)
    clip = (model['frames'], model['height'], model['width'], 3)
    examples = {'video': jax.ShapeDtypeStruct(clip, jnp.uint8)}
  return program_lib.make(config, objective, examples, mesh)


def pretraining(config: config_dict.ConfigDict) -> dict[str, Any]:
  """Plain values of what --config is, where it must be no recipe of readouts.

  Raises:
    ValueError: it is one.
  """
  plain = config.to_dict()
  if is_readout(plain):
    raise ValueError(
      '--config is a recipe of readouts, expected one of pretraining, such as '
      'configs/mae.py:size=S'
    )
  return plain


def of_readouts(
  config: Mapping[str, Any], backbone: Mapping[str, Any]
) -> dict[str, Any]:
  """A readout job's config, of a backbone that need not have been trained.

  Args:
    config: a readout recipe's values, on a source that can be read here, such
      as the built-in world.
    backbone: the values of a pretraining recipe.

  Raises:
    ValueError: they do not fit together.
  """
  from evals.resolve import completed

  # Of its data nothing is taken: clips are of the model's shape.
  pretraining = {'model': backbone['model'], 'data': {'sources': {}}}
  untrained = {'run': '', 'step': None, 'random_init': True}
  return completed(config, pretraining, untrained)


def as_flags(change: Mapping[str, Any], config: Mapping[str, Any]) -> str:
  """Overrides as they are given to a command.

  Args:
    change: 'section.name' -> value, or 'topology' -> its name.
    config: the recipe; readouts have their model from another one.
  """
  flags = {'model': 'backbone' if is_readout(config) else 'config'}
  return ' '.join(
    f'--{flags.get(key.split(".")[0], "config")}.{key}={value}'
    if '.' in key
    else f'--{key}={value}'
    for key, value in change.items()
  )


@functools.cache
def _labelled(data: str) -> dict[str, jax.ShapeDtypeStruct]:
  """Shapes of a clip and its labels, of a data section as JSON; reads one."""
  from data import pipeline

  example = pipeline.make(split='train', **json.loads(data)).example()
  return {
    key: jax.ShapeDtypeStruct(value.shape, value.dtype)
    for key, value in example.items()
  }
