"""What a published file is in the words of our configs."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from models.published.names import Layout
from models.sizes import SIZES, Size


def model_options(
  path: str, layout: Layout, recipe: Mapping[str, Any]
) -> dict[str, Any]:
  """A config's section `model` for the backbone of a file.

  What its arrays tell, over what a recipe says of all else: how it would be
  pretrained further. In float32, as published.

  Args:
    path: of the file, for messages.
    layout: of it.
    recipe: the section `model` of `configs/mae.py`, or for a MooG of
      `configs/moog.py`, for an RVM of `configs/rvm.py`.

  Raises:
    ValueError: the file has no backbone, or the recipe is another method's.
  """
  if 'backbone' not in layout.sizes:
    raise ValueError(
      f'{path} holds a head of kind {layout.kind!r} and no backbone: convert '
      "the backbone's file, and name this one in --heads"
    )
  name = layout.kind if layout.kind in ('moog', 'rvm') else 'mae'
  if recipe['name'] != name:
    raise ValueError(
      f'{path} holds a file of kind {layout.kind!r}: expected a recipe of '
      f'configs/{name}.py, got one of {recipe["name"]!r}'
    )
  if name == 'moog':
    told = _moog(path, layout)
  else:
    told = rvm_sizes(layout) if name == 'rvm' else _mae(layout, recipe)
  # What the arrays tell goes over what the recipe says of all models.
  return {**recipe, **told, 'dtype': 'float32'}


def moog_encoder(layout: Layout) -> dict[str, Any]:
  """Options of the encoder of a MooG.

  Strides cannot be read off weights: the published 2 1 1 2 1 1, and for another
  number of convolutions the same pattern (ours).
  """
  sizes = layout.sizes['backbone']
  convs = layout.layers('backbone/encoder/conv')
  channels = [sizes[f'channels_{i}'] for i in range(convs)]
  return {
    'channels': channels,
    'strides': [1 if i % 3 else 2 for i in range(convs)],
    'encoder_bases': (sizes['seen'] - channels[-1]) // 4,
  }


def _moog(path: str, layout: Layout) -> dict[str, Any]:
  sizes = layout.sizes['backbone']
  has = [
    p for p in ('predictor', 'corrector', 'decoder') if f'{p}_mlp' in sizes
  ]
  shared = {}
  # One option of ours stands for several sizes of theirs.
  for option, words in (
    ('head_dim', [f'{part}_head_dim' for part in has]),
    ('mlp', [f'{part}_mlp' for part in has]),
    ('dim', ['d', 'hidden']),
  ):
    found = {sizes[word] for word in words}
    if len(found) > 1:
      told = ', '.join(f'{word}={sizes[word]}' for word in words)
      raise ValueError(
        f'{path}: {told}, which model.{option} of a MooG cannot tell apart'
      )
    (shared[option],) = found
  decoder = {}
  if 'decoder' in has:
    layers = layout.layers('backbone/decoder/transformer/layer')
    decoder = {
      'decoder_layers': layers,
      'decoder_heads': sizes['decoder_heads'],
      'decoder_bases': (sizes['pixel'] - sizes['d']) // 4,
    }
  return {
    'variant': 'B',
    'frames': 16,  # that its published heads see; it takes any number
    **shared,
    **moog_encoder(layout),
    'predictor_layers': layout.layers('backbone/predictor/layer'),
    'predictor_heads': sizes['predictor_heads'],
    'corrector_layers': layout.layers('backbone/corrector/layer'),
    'corrector_heads': sizes['corrector_heads'],
    **decoder,
  }


def _mae(layout: Layout, recipe: Mapping[str, Any]) -> dict[str, Any]:
  sizes = layout.sizes['backbone']
  t, h, w = sizes['t'], sizes['h'], sizes['w']
  patch = (sizes['pt'], sizes['ph'], sizes['pw'])
  # 95% of a small grid could leave nothing, and half of a single patch.
  few = {} if t * h * w >= 20 else {'mask_ratio': 0.5 * (t * h * w > 1)}
  return {
    **_size(sizes, recipe['size']),
    **few,
    'frames': t * patch[0],
    'height': h * patch[1],
    'width': w * patch[2],
    'patch': patch,
    # Coarser in time, as published, where the grid can be halved.
    'output_patch': ((1 if t % 2 else 2) * patch[0], *patch[1:]),
    'decoder_blocks': min(recipe['decoder_blocks'], sizes['l']),
  }


def _size(sizes: Mapping[str, int], size: str) -> dict[str, Any]:
  """Options of a backbone's size: by name, or by its dimensions over `size`."""
  own = Size(sizes['d'], sizes['l'], sizes['m'], sizes['k'])
  free = {'dim': own.width, 'depth': own.depth, 'mlp': own.mlp}
  free |= {'heads': own.heads}
  for name, known in SIZES.items():
    if dataclasses.replace(known, parameters=None) == own:
      return {'size': name, **dict.fromkeys(free)}
  return {'size': size, **free}


def rvm_sizes(layout: Layout) -> dict[str, Any]:
  """Options of an RVM that its encoder and core tell."""
  sizes = layout.sizes['backbone']
  return {
    **_size(sizes, 'B'),
    'patch': (sizes['ph'], sizes['pw']),
    'core_layers': sizes['core_l'],
    'core_heads': sizes['core_k'],
    'core_mlp': sizes['core_m'],
  }


def head_options(path: str, layout: Layout) -> dict[str, Any]:
  """Options of the task that a head answers.

  Args:
    path: of the file, for messages.
    layout: of it.

  Raises:
    ValueError: a head of points that no task asks for.
  """
  sizes = layout.sizes['head']
  options = {'width': sizes['k'] * sizes['e'], 'heads': sizes['k']}
  if layout.kind == 'depth':
    return options
  if layout.kind == 'points' and sizes['frames'] != 2 * sizes['copies']:
    raise ValueError(
      f'{path}: {sizes["copies"]} copies of a point for {sizes["frames"]} '
      'frames; readouts of points have a copy for every 2'
    )
  numbers = 2 if layout.kind == 'points' else 4
  return options | {
    'query_bases': sizes['waves'] // (2 * numbers),
    'query_hidden': sizes['hidden'],
    'query_width': sizes['features'],
  }
