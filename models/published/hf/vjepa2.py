"""V-JEPA 2 as transformers saves it (model_type vjepa2)."""

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

# It takes any even number; of its own 64 there are four times as many tokens.
FRAMES = 16
_LAYER, _OURS = 'encoder.layer.{l}', 'processor/layers'
# Of pretraining and of classifiers.
_IGNORED = r'(vjepa2\.)?predictor\..*|pooler\..*|classifier\.(weight|bias)'


def known(found: Folder) -> Known:
  """What config.json tells.

  Raises:
    ValueError: it lacks something, or tells of what is not known here.
  """
  found.expect(hidden_act='gelu', qkv_bias=True, in_chans=3)
  width, heads = (
    found.number('hidden_size'),
    found.number('num_attention_heads'),
  )
  check_heads(found, width, heads)
  patch, tube = found.number('patch_size'), found.number('tubelet_size')
  depth = found.number('num_hidden_layers')
  # As there: 48/11 of 1408 is 6144.
  hidden = int(width * found.number('mlp_ratio', float))
  model = {
    **{'name': 'vjepa2', 'dim': width, 'depth': depth, 'mlp': hidden},
    **{'heads': heads, 'patch': (tube, patch, patch)},
    **{'epsilon': found.number('layer_norm_eps', float), **RUN_AS},
  }
  sizes = {'d': width, 'k': heads, 'e': width // heads, 'm': hidden}
  sizes |= {'l': depth, 'c': 3, 't': tube, 'y': patch, 'x': patch}
  rows = (
    *linear(
      'encoder/patch_embedding',
      ['encoder.embeddings.patch_embeddings.proj'],
      *('d c t y x', 't y x c d'),
    ),
    *norm(f'{_OURS}/attention_norm', f'{_LAYER}.norm1'),
    *(
      row
      for name in ('query', 'key', 'value')
      for row in linear(
        f'{_OURS}/attention/{name}',
        [f'{_LAYER}.attention.{name}'],
        *('(k e) d', 'd k e'),
      )
    ),
    *linear(
      f'{_OURS}/attention/out',
      [f'{_LAYER}.attention.proj'],
      *('d (k e)', 'k e d'),
    ),
    *norm(f'{_OURS}/mlp_norm', f'{_LAYER}.norm2'),
    *linear(f'{_OURS}/mlp/dense_in', [f'{_LAYER}.mlp.fc1'], 'm d', 'd m'),
    *linear(f'{_OURS}/mlp/dense_out', [f'{_LAYER}.mlp.fc2'], 'd m', 'm d'),
    *norm('processor/norm', 'encoder.layernorm'),
  )
  return Known(model, sizes, rows, 'vjepa2.', _IGNORED)


def clip(found: Folder, given: Mapping[str, int]) -> dict[str, Any]:
  """Frames, height and width: any even number of frames, of its own size.

  Raises:
    ValueError: another size, since rows and columns are numbered by it, or
      frames that tubes do not divide.
  """
  side, tube = found.number('crop_size'), found.number('tubelet_size')
  own = {'frames': FRAMES, 'height': side, 'width': side, **given}
  if (own['height'], own['width']) != (side, side):
    raise ValueError(
      f'{found.path}: height={own["height"]}, width={own["width"]}, and this '
      f'V-JEPA 2 sees {side} x {side}: leave them out'
    )
  if own['frames'] % tube:
    raise ValueError(
      f'{found.path}: frames={own["frames"]} must be a multiple of '
      f'tubelet_size={tube}'
    )
  return own


def finished(leaves: Leaves) -> Leaves:
  """As they are."""
  return leaves
