"""Layouts that were found for recipes on slices, kept beside the recipes."""

import json
from collections.abc import Mapping
from typing import Any

from base import files
from configs import common
from evals import is_readout
from launch.plan.search.candidates import Candidate


def recipe_of(config: Mapping[str, Any]) -> str:
  """The name that a recipe's layouts go by: 'mae.j', 'moog.movi_e'.

  Raises:
    ValueError: a recipe that takes no layout by name.
  """
  kind = 'readouts' if is_readout(config) else config['model']['name']
  if kind == 'mae':
    return f'mae.{config["model"]["size"]}'
  if kind == 'moog':
    (source,) = config['data']['sources']
    return f'moog.{source}'
  raise ValueError(
    'only configs/mae.py and configs/moog.py have layouts by topology, got a '
    f'recipe of {kind}: leave out --save or --layouts, and lay it out with '
    '--config.mesh'
  )


def save(recipe: str, topology: str, candidate: Candidate) -> None:
  """Puts a layout into `configs/layouts.json`.

  Raises:
    ValueError: the file is damaged.

  Args:
    recipe: as `recipe_of` names it.
    topology: as 'v5p:8x8x8'.
    candidate: whose changes are the layout; its batch goes with it, and its
      options of the compiler, if it has any.
  """
  path = common.LAYOUTS
  known = common.layouts()
  config, changes = candidate.config, dict(candidate.changes)
  changes['data.batch_size'] = config['data']['batch_size']
  if config['compile']['options']:
    changes['compile.options'] = config['compile']['options']
  known.setdefault(recipe, {})[topology] = changes
  text = json.dumps(known, indent=2, sort_keys=True) + '\n'
  files.write(path, text)
