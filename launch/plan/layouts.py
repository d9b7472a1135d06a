"""Layouts that were found for recipes on slices, kept beside the recipes."""

import json
from collections.abc import Mapping
from typing import Any

from configs import common
from launch.plan.search import Candidate
from train import output


def recipe_of(config: Mapping[str, Any]) -> str:
  """The name that a recipe's layouts go by: 'mae.j'.

  Raises:
    ValueError: a recipe that takes no layout by name.
  """
  model = config['model']
  if model['name'] != 'mae':
    raise ValueError(
      f'--save: configs/{model["name"]}.py takes no topology; give what was '
      'found with --config.mesh'
    )
  return f'mae.{model["size"]}'


def save(recipe: str, topology: str, candidate: Candidate) -> None:
  """Puts a layout into `configs/layouts.json`.

  Args:
    recipe: as `recipe_of` names it.
    topology: as 'v5p:8x8x8'.
    candidate: whose changes are the layout; its batch goes with it.
  """
  path = common.LAYOUTS
  known = json.loads(path.read_text())
  batch_size = candidate.config['data']['batch_size']
  changes = {'data.batch_size': batch_size, **candidate.changes}
  known.setdefault(recipe, {})[topology] = changes
  text = json.dumps(known, indent=2, sort_keys=True) + '\n'
  output.replace(str(path), text)
