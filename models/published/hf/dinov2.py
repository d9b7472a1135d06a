"""DINOv2 as transformers saves it (dinov2, and dinov2_with_registers)."""

from collections.abc import Mapping
from typing import Any

from models.published.hf.arrays import (
  RUN_AS,
  Known,
  Leaves,
  Row,
  check_heads,
  linear,
  norm,
)
from models.published.hf.folder import CONFIG, Folder

FRAMES = 16  # it sees each alone, and takes any number
PATCHES = 16  # along a side of 224, as it is used; its table has 37 of 518
_LAYER, _OURS = 'encoder.layer.{l}', 'processor/layers'
# Of pretraining and of classifiers.
_IGNORED = (
  r'((dinov2|dinov2_with_registers)\.)?embeddings\.mask_token|'
  r'classifier\.(weight|bias)'
)
# What becomes part of others: see `finished`.
_CLASS, _TABLE = 'encoder/class', 'encoder/table'
_SCALES = {
  f'{_OURS}/scale_1': f'{_OURS}/attention/out',
  f'{_OURS}/scale_2': f'{_OURS}/mlp/dense_out',
}


def known(found: Folder) -> Known:
  """What config.json tells.

  Raises:
    ValueError: it lacks something, or tells of what is not known here.
  """
  found.expect(hidden_act='gelu', qkv_bias=True, num_channels=3)
  width, heads = (
    found.number('hidden_size'),
    found.number('num_attention_heads'),
  )
  check_heads(found, width, heads)
  depth, patch = found.number('num_hidden_layers'), found.number('patch_size')
  side, gated = found.number('image_size'), found.flag('use_swiglu_ffn')
  if side % patch:
    raise ValueError(
      f'{found.path}/{CONFIG}: patch_size={patch} does not divide '
      f'image_size={side}'
    )
  hidden = int(width * found.number('mlp_ratio', float))
  if gated:
    # Two thirds of them, up to a multiple of 8: as many weights.
    hidden = -(-int(hidden * 2 / 3) // 8) * 8
  has_registers = found.model_type == 'dinov2_with_registers'
  registers = found.number('num_register_tokens') if has_registers else 0
  places = side // patch
  model = {
    **{'name': 'dinov2', 'dim': width, 'depth': depth, 'mlp': hidden},
    **{'heads': heads, 'gated': gated, 'patch': (1, patch, patch)},
    **{'table': (places, places), 'smooth': has_registers},
    **{'registers': registers},
    **{'epsilon': found.number('layer_norm_eps', float), **RUN_AS},
  }
  sizes = {'d': width, 'k': heads, 'e': width // heads, 'm': hidden, 'l': depth}
  sizes |= {'c': 3, 'y': patch, 'x': patch, 'r': registers}
  sizes |= {'one': 1, 'also': 1, 'n': 1 + places**2}
  tables = [
    Row(_CLASS, ['embeddings.cls_token'], 'one also d', '(one also) d'),
    Row(_TABLE, ['embeddings.position_embeddings'], 'one n d', '(one n) d'),
  ]
  if has_registers:
    name, key = 'encoder/registers/embeddings', 'embeddings.register_tokens'
    tables.append(Row(name, [key], 'one r d', '(one r) d'))
  rows = (
    *linear(
      'encoder/patch_embedding',
      ['embeddings.patch_embeddings.projection'],
      *('d c y x', '1 y x c d'),
    ),
    *tables,
    *norm(f'{_OURS}/attention_norm', f'{_LAYER}.norm1'),
    *(
      row
      for name in ('query', 'key', 'value')
      for row in linear(
        f'{_OURS}/attention/{name}',
        [
          f'{_LAYER}.attention.attention.{name}',
          f'{_LAYER}.attention.{name[0]}_proj',
        ],
        *('(k e) d', 'd k e'),
      )
    ),
    *linear(
      f'{_OURS}/attention/out',
      [f'{_LAYER}.attention.output.dense', f'{_LAYER}.attention.o_proj'],
      *('d (k e)', 'k e d'),
    ),
    *norm(f'{_OURS}/mlp_norm', f'{_LAYER}.norm2'),
    *(_gated() if gated else _plain()),
    *(
      Row(f'{_OURS}/scale_{i}', [f'{_LAYER}.layer_scale{i}.lambda1'], 'd')
      for i in (1, 2)
    ),
    *norm('processor/norm', 'layernorm'),
  )
  return Known(model, sizes, rows, f'{found.model_type}.', _IGNORED)


def _plain() -> tuple[Row, ...]:
  return (
    *linear(f'{_OURS}/mlp/dense_in', [f'{_LAYER}.mlp.fc1'], 'm d', 'd m'),
    *linear(f'{_OURS}/mlp/dense_out', [f'{_LAYER}.mlp.fc2'], 'd m', 'm d'),
  )


def _gated() -> tuple[Row, ...]:
  """SwiGLU: gates and values, one array in older versions."""
  both, out = f'{_LAYER}.mlp.weights_in', f'{_LAYER}.mlp.weights_out'
  return (
    *linear(
      f'{_OURS}/mlp/dense_gate',
      [f'{both}:0', f'{_LAYER}.mlp.gate_proj'],
      *('m d', 'd m'),
    ),
    *linear(
      f'{_OURS}/mlp/dense_in',
      [f'{both}:1', f'{_LAYER}.mlp.up_proj'],
      *('m d', 'd m'),
    ),
    *linear(
      f'{_OURS}/mlp/dense_out',
      [out, f'{_LAYER}.mlp.down_proj'],
      *('d m', 'm d'),
    ),
  )


def clip(found: Folder, given: Mapping[str, int]) -> dict[str, Any]:
  """Frames, height and width: any, if patches divide it; of 16 x 16 patches.

  Raises:
    ValueError: they do not.
  """
  patch = found.number('patch_size')
  side = PATCHES * patch
  own = {'frames': FRAMES, 'height': side, 'width': side, **given}
  for key in ('height', 'width'):
    if own[key] % patch:
      raise ValueError(
        f'{found.path}: {key}={own[key]} must be a multiple of '
        f'patch_size={patch}'
      )
  return own


def finished(leaves: Leaves) -> Leaves:
  """Scales of layers and the class's own position, in what they belong to.

  y = s (W x + b) is (s W) x + s b. Works for arrays of NumPy and of JAX.
  """
  done = {
    name: leaf
    for name, leaf in leaves.items()
    if name not in (_CLASS, _TABLE, *_SCALES)
  }
  for scale, layer in _SCALES.items():
    by = leaves[scale]
    kernel = done[f'{layer}/kernel']
    wide = by.reshape(len(by), *(1,) * (kernel.ndim - 2), -1)
    done[f'{layer}/kernel'] = kernel * wide
    done[f'{layer}/bias'] = done[f'{layer}/bias'] * by
  table = leaves[_TABLE]
  side = round((len(table) - 1) ** 0.5)
  done['encoder/class_token/embeddings'] = leaves[_CLASS] + table[:1]
  done['encoder/posenc/embeddings'] = table[1:].reshape(1, side, side, -1)
  return done
