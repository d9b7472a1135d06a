"""How fast heads and the backbone's blocks learn: options of the optimizer."""

import itertools
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from models import objective as objective_lib
from train import optim

# Of an objective's parameters: blocks stacked along the first axis, and what
# comes before them.
_BLOCKS = 'processor/layers/.*'
_BEFORE = 'encoder/.*'


def heads(config: Mapping[str, Any]) -> list[dict[str, float]]:
  """{'lr', 'weight_decay', 'depth'} of each head of a task.

  All of one with all of the others.

  Args:
    config: a readout recipe's values, or a completed config.
  """
  # A job of before there was a choice has none.
  decays = config.get('weight_decays') or [config['optim']['weight_decay']]
  depths = config['features']['depth']
  depths = depths if isinstance(depths, (tuple, list)) else [depths]
  return [
    {'lr': lr, 'weight_decay': decay, 'depth': depth}
    for lr, decay, depth in itertools.product(config['lrs'], decays, depths)
  ]


def set_heads(config: dict[str, Any]) -> None:
  """Optimizer options from `lrs`, `weight_decays` and `finetune`.

  Args:
    config: a readout recipe's values, which get them.

  Raises:
    ValueError: they cannot be trained together, or a depth is there twice.
  """
  lrs, finetune = config['lrs'], config['finetune']
  decays = config['weight_decays']
  if not lrs or min(lrs) <= 0 or len(set(lrs)) != len(lrs):
    raise ValueError(
      f'config.lrs={lrs} must be learning rates above 0, each once'
    )
  if decays and (min(decays) < 0 or len(set(decays)) != len(decays)):
    raise ValueError(
      f'config.weight_decays={decays} must be decays of 0 or more, each once'
    )
  if finetune < 0:
    raise ValueError(
      f'config.finetune={finetune} must be 0 (frozen) or the multiplier of '
      "the backbone's learning rate"
    )
  multipliers = []
  sides = heads(config)
  depths = config['features']['depth']
  if isinstance(depths, list) and (
    not depths or len(set(depths)) < len(depths)
  ):
    raise ValueError(
      f'config.features.depth={depths} must be one depth, or several, each once'
    )
  if len(sides) > 1:
    norm = config['optim']['clip_norm'] or config['step']['outlier']
    if finetune or norm:
      raise ValueError(
        f'config.lrs={lrs}, config.weight_decays={decays} and '
        f'config.features.depth={depths} are trained side by side, which the '
        'heads must not notice: with config.finetune, config.optim.clip_norm '
        'or config.step.outlier they share a backbone or a norm. Give one of '
        'each per job'
      )
    factors = [head['lr'] / max(lrs) for head in sides]
    multipliers.append(['heads/.*', factors])
  if finetune:
    multipliers.append(['backbone/.*', finetune])
    config['step'] |= {'freeze': []}
  config['optim'] |= {'lr': max(lrs), 'multipliers': multipliers}
  if decays:
    most = max(decays)
    factors = [head['weight_decay'] / (most or 1.0) for head in sides]
    # A single head has its number as it is.
    shared = [['heads/.*', factors]] if len(sides) > 1 else []
    config['optim'] |= {'weight_decay': most, 'decay_multipliers': shared}


def set_layers(config: dict[str, Any]) -> None:
  """Optimizer options from `layer_decay`: earlier blocks learn more slowly.

  The last block has the backbone's rate, each one before it `layer_decay` times
  that of the next, and the embedding once more so (as BEiT, arXiv 2106.08254,
  and MAE are fine-tuned).

  Args:
    config: a readout recipe's values with the backbone's model; gets them.

  Raises:
    ValueError: nothing of the backbone is trained, or it has no such blocks.
  """
  decay = config['layer_decay']
  if decay == 1:
    return
  if not 0 < decay < 1 or not config['finetune']:
    raise ValueError(
      f'config.layer_decay={decay} must be above 0 and at most 1, and of a '
      f'backbone that is trained too; config.finetune={config["finetune"]}'
    )
  model = config['model']
  objective = objective_lib.make(**model)
  clip = (1, *(model[key] for key in ('frames', 'height', 'width')), 3)
  batch = {'video': np.zeros(clip, np.uint8)}
  shapes = jax.eval_shape(lambda: objective.init(jax.random.key(0), batch))
  try:
    leaves = zip(
      *map(jax.tree.leaves, (optim.matches([_BLOCKS], shapes), shapes))
    )
  except ValueError as error:
    raise ValueError(
      f'config.layer_decay={decay}: model.name={model["name"]} has no '
      f'{_BLOCKS!r} to tell apart: leave it 1'
    ) from error
  (blocks,) = {leaf.shape[0] for is_block, leaf in leaves if is_block}
  last = config['finetune']
  factors = [last * decay ** (blocks - 1 - block) for block in range(blocks)]
  # The first that matches holds.
  config['optim']['multipliers'] = [
    [f'backbone/{_BLOCKS}', factors],
    [f'backbone/{_BEFORE}', last * decay**blocks],
    *config['optim']['multipliers'],
  ]
