"""VideoMAE as transformers saves it (model_type videomae)."""

from collections.abc import Mapping
from typing import Any

from models.published.hf.arrays import (
  RUN_AS,
  Known,
  Leaves,
  check_heads,
  linear,
  norm,
)
from models.published.hf.folder import Folder

_LAYER, _OURS = 'encoder.layer.{l}', 'processor/layers'
_SELF = f'{_LAYER}.attention.attention'
# Of pretraining and of classifiers.
_IGNORED = (
  r'decoder\..*|encoder_to_decoder\.weight|mask_token|'
  r'fc_norm\.(weight|bias)|classifier\.(weight|bias)'
)
_HEADS = '(k e) d', 'd k e'


def known(found: Folder) -> Known:
  """What config.json tells.

  Raises:
    ValueError: it lacks something, or tells of what is not known here.
  """
  # The same in old and new versions: keys have none.
  biases = 'qv_bias' if 'qv_bias' in found.config else 'qkv_bias'
  found.expect(hidden_act='gelu', num_channels=3, **{biases: True})
  width, heads = (
    found.number('hidden_size'),
    found.number('num_attention_heads'),
  )
  check_heads(found, width, heads)
  patch, tube = found.number('patch_size'), found.number('tubelet_size')
  depth = found.number('num_hidden_layers')
  hidden = found.number('intermediate_size')
  # Where tokens are averaged, for a class, the norm comes after that.
  has_norm = found.flag('use_mean_pooling') is False
  model = {
    **{'name': 'videomae', 'dim': width, 'depth': depth, 'mlp': hidden},
    **{'heads': heads, 'patch': (tube, patch, patch), 'norm': has_norm},
    **{'epsilon': found.number('layer_norm_eps', float), **RUN_AS},
  }
  sizes = {'d': width, 'k': heads, 'e': width // heads, 'm': hidden}
  sizes |= {'l': depth, 'c': 3, 't': tube, 'y': patch, 'x': patch}
  rows = (
    *linear(
      'encoder/patch_embedding',
      ['embeddings.patch_embeddings.projection'],
      *('d c t y x', 't y x c d'),
    ),
    *norm(f'{_OURS}/attention_norm', f'{_LAYER}.layernorm_before'),
    *linear(
      *(f'{_OURS}/attention/query', [f'{_SELF}.query'], *_HEADS),
      bias=[f'{_SELF}.q_bias', f'{_SELF}.query.bias'],
    ),
    *linear(f'{_OURS}/attention/key', [f'{_SELF}.key'], *_HEADS, bias=[]),
    *linear(
      *(f'{_OURS}/attention/value', [f'{_SELF}.value'], *_HEADS),
      bias=[f'{_SELF}.v_bias', f'{_SELF}.value.bias'],
    ),
    *linear(
      f'{_OURS}/attention/out',
      [f'{_LAYER}.attention.output.dense'],
      *('d (k e)', 'k e d'),
    ),
    *norm(f'{_OURS}/mlp_norm', f'{_LAYER}.layernorm_after'),
    *linear(
      f'{_OURS}/mlp/dense_in', [f'{_LAYER}.intermediate.dense'], 'm d', 'd m'
    ),
    *linear(f'{_OURS}/mlp/dense_out', [f'{_LAYER}.output.dense'], 'd m', 'm d'),
    *(norm('processor/norm', 'layernorm') if has_norm else ()),
  )
  return Known(model, sizes, rows, 'videomae.', _IGNORED)


def clip(found: Folder, given: Mapping[str, int]) -> dict[str, Any]:
  """Frames, height and width: those that it was trained with alone.

  Raises:
    ValueError: others are asked for.
  """
  side = found.number('image_size')
  own = {'frames': found.number('num_frames'), 'height': side, 'width': side}
  for key, value in given.items():
    if value != own[key]:
      raise ValueError(
        f'{found.path}: {key}={value}, and this VideoMAE sees {own[key]} '
        f'alone: its positions are of {tuple(own.values())}'
      )
  return own


def finished(leaves: Leaves) -> Leaves:
  """As they are."""
  return leaves
