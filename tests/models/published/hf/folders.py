"""Small folders as transformers saves them, written from its names, not ours.

No two sizes that could be confused are equal; weights are far from zero.
"""

import json
import struct
import zlib

import jax.numpy as jnp
import numpy as np

DTYPES = {'F32': np.float32, 'F16': np.float16, 'BF16': jnp.bfloat16}
# Of pixels; unlike ImageNet's, so that it matters who tells.
PREPROCESSOR = {
  **{'do_rescale': True, 'rescale_factor': 1 / 255, 'do_normalize': True},
  **{'image_mean': [0.4, 0.5, 0.6], 'image_std': [0.2, 0.25, 0.4]},
}
CONFIGS = {
  'videomae': {
    **{'model_type': 'videomae', 'image_size': 12, 'patch_size': 4},
    **{'num_channels': 3, 'num_frames': 4, 'tubelet_size': 2},
    **{'hidden_size': 24, 'num_hidden_layers': 3, 'num_attention_heads': 3},
    **{'intermediate_size': 40, 'hidden_act': 'gelu', 'qkv_bias': True},
    **{'layer_norm_eps': 1e-12, 'use_mean_pooling': False},
  },
  # Heads of 16 channels: 3 runs of 4, and 4 that are left.
  'vjepa2': {
    **{'model_type': 'vjepa2', 'crop_size': 12, 'patch_size': 4},
    **{'in_chans': 3, 'tubelet_size': 2, 'layer_norm_eps': 1e-6},
    **{'hidden_size': 48, 'num_hidden_layers': 3, 'num_attention_heads': 3},
    **{'mlp_ratio': 40 / 48, 'hidden_act': 'gelu', 'qkv_bias': True},
  },
}
_PICTURES = {
  **{'model_type': 'dinov2', 'image_size': 20, 'patch_size': 4},
  **{'num_channels': 3, 'layer_norm_eps': 1e-6, 'use_swiglu_ffn': False},
  **{'hidden_size': 24, 'num_hidden_layers': 3, 'num_attention_heads': 3},
  **{'mlp_ratio': 2, 'hidden_act': 'gelu', 'qkv_bias': True},
}
CONFIGS['dinov2'] = _PICTURES
CONFIGS['dinov2_with_registers'] = _PICTURES | {
  **{'model_type': 'dinov2_with_registers', 'num_register_tokens': 2},
}
# Frames, height and width of a clip. A table of 5 x 5 shrinks down, and grows
# across.
CLIPS = {
  **{'videomae': (4, 12, 12), 'vjepa2': (16, 12, 12)},
  **{'dinov2': (3, 12, 24), 'dinov2_with_registers': (3, 12, 24)},
}


def _affine(name, *shape):
  return {f'{name}.weight': shape, f'{name}.bias': shape[:1]}


def _videomae(config):
  d, m = config['hidden_size'], config['intermediate_size']
  t, p = config['tubelet_size'], config['patch_size']
  found = _affine('embeddings.patch_embeddings.projection', d, 3, t, p, p)
  for i in range(config['num_hidden_layers']):
    layer = f'encoder.layer.{i}'
    own = f'{layer}.attention.attention'
    found |= _affine(f'{layer}.layernorm_before', d)
    found |= _affine(f'{layer}.layernorm_after', d)
    found |= {f'{own}.{x}.weight': (d, d) for x in ('query', 'key', 'value')}
    found |= {f'{own}.{x}_bias': (d,) for x in 'qv'}
    found |= _affine(f'{layer}.attention.output.dense', d, d)
    found |= _affine(f'{layer}.intermediate.dense', m, d)
    found |= _affine(f'{layer}.output.dense', d, m)
  if not config['use_mean_pooling']:
    found |= _affine('layernorm', d)
  return found


def _vjepa2(config):
  d, t, p = config['hidden_size'], config['tubelet_size'], config['patch_size']
  m = int(d * config['mlp_ratio'])
  found = _affine('encoder.embeddings.patch_embeddings.proj', d, 3, t, p, p)
  for i in range(config['num_hidden_layers']):
    layer = f'encoder.layer.{i}'
    for name in ('norm1', 'norm2'):
      found |= _affine(f'{layer}.{name}', d)
    for name in ('query', 'key', 'value', 'proj'):
      found |= _affine(f'{layer}.attention.{name}', d, d)
    found |= _affine(f'{layer}.mlp.fc1', m, d)
    found |= _affine(f'{layer}.mlp.fc2', d, m)
  return found | _affine('encoder.layernorm', d)


def _dinov2(config):
  d, p = config['hidden_size'], config['patch_size']
  m = d * config['mlp_ratio']
  found = _affine('embeddings.patch_embeddings.projection', d, 3, p, p)
  found['embeddings.cls_token'] = (1, 1, d)
  places = (config['image_size'] // p) ** 2
  found['embeddings.position_embeddings'] = (1, 1 + places, d)
  if 'num_register_tokens' in config:
    count = config['num_register_tokens']
    found['embeddings.register_tokens'] = (1, count, d)
  for i in range(config['num_hidden_layers']):
    layer = f'encoder.layer.{i}'
    for name in ('norm1', 'norm2'):
      found |= _affine(f'{layer}.{name}', d)
    for name in ('query', 'key', 'value'):
      found |= _affine(f'{layer}.attention.attention.{name}', d, d)
    found |= _affine(f'{layer}.attention.output.dense', d, d)
    found |= {f'{layer}.layer_scale{j}.lambda1': (d,) for j in (1, 2)}
    if config['use_swiglu_ffn']:
      # Two thirds of 48, which 8 divides.
      found |= _affine(f'{layer}.mlp.weights_in', 2 * 32, d)
      found |= _affine(f'{layer}.mlp.weights_out', d, 32)
    else:
      found |= _affine(f'{layer}.mlp.fc1', m, d)
      found |= _affine(f'{layer}.mlp.fc2', d, m)
  return found | _affine('layernorm', d)


SHAPES = {
  **{'videomae': _videomae, 'vjepa2': _vjepa2},
  **{'dinov2': _dinov2, 'dinov2_with_registers': _dinov2},
}


def weights(shapes, seed=0):
  """Seeded by name, [out in ...]: what goes through a layer keeps its size."""
  made = {}
  for name, shape in shapes.items():
    rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
    inputs = np.prod(shape[1:]) if shape[1:] else 9
    if name.endswith(('_token', '_tokens', 'position_embeddings')):
      inputs = 1
    made[name] = rng.normal(0, inputs**-0.5, shape).astype(np.float32)
    if 'norm' in name and name.endswith('weight'):
      made[name] += np.float32(1)
  return made


def arrays(family, seed=0, **changes):
  """The arrays of a small encoder, by name; `changes` are of its config."""
  return weights(SHAPES[family](CONFIGS[family] | changes), seed)


def write(path, given, dtype='F32'):
  """A file of safetensors, of any of its dtypes."""
  header, blocks, end = {}, [], 0
  for name, array in given.items():
    block = np.asarray(array).astype(DTYPES[dtype]).tobytes()
    start, end = end, end + len(block)
    header[name] = {
      **{'dtype': dtype, 'shape': list(array.shape)},
      'data_offsets': [start, end],
    }
    blocks.append(block)
  text = json.dumps({'__metadata__': {'format': 'pt'}, **header}).encode()
  path.write_bytes(struct.pack('<Q', len(text)) + text + b''.join(blocks))


def save(
  folder,
  family,
  given=None,
  *,
  pieces=1,
  dtype='F32',
  preprocessor=PREPROCESSOR,
  **changes,
):
  """A folder of an encoder.

  Args:
    folder: a path.
    family: a name of CONFIGS.
    given: its arrays; None: those of `arrays`.
    pieces: how many files they are in.
    dtype: of them.
    preprocessor: its config; None: it has none.
    **changes: of the config.

  Returns:
    The path as text.
  """
  folder.mkdir(parents=True, exist_ok=True)
  config = {**CONFIGS[family], **changes}
  (folder / 'config.json').write_text(json.dumps(config))
  if preprocessor is not None:
    text = json.dumps(preprocessor)
    (folder / 'preprocessor_config.json').write_text(text)
  given = arrays(family, **changes) if given is None else given
  if pieces == 1:
    write(folder / 'model.safetensors', given, dtype)
    return str(folder)
  index = {}
  for i in range(pieces):
    name = f'model-{i + 1:05}-of-{pieces:05}.safetensors'
    part = {key: given[key] for key in sorted(given)[i::pieces]}
    write(folder / name, part, dtype)
    index |= dict.fromkeys(part, name)
  text = json.dumps({'metadata': {}, 'weight_map': index})
  (folder / 'model.safetensors.index.json').write_text(text)
  return str(folder)


def clip(family):
  """What is to be asked of an encoder that leaves a choice."""
  return dict(zip(('frames', 'height', 'width'), CLIPS[family]))


def video(family, clips=2, seed=3):
  """Clips of bytes that a small encoder sees."""
  shape = (clips, *CLIPS[family], 3)
  return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def normalised(clips):
  """What the encoder sees of them, by PREPROCESSOR, in float64."""
  mean, std = PREPROCESSOR['image_mean'], PREPROCESSOR['image_std']
  return (clips / 255 - np.asarray(mean)) / np.asarray(std)
