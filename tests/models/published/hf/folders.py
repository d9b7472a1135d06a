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


SHAPES = {'videomae': _videomae}


def weights(shapes, seed=0):
  """Seeded by name, [out in ...]: what goes through a layer keeps its size."""
  made = {}
  for name, shape in shapes.items():
    rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
    inputs = np.prod(shape[1:]) if shape[1:] else 9
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


def video(family, clips=2, seed=3):
  """Clips of bytes that a small encoder sees."""
  config = CONFIGS[family]
  side = config['image_size']
  shape = (clips, config['num_frames'], side, side, 3)
  return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def normalised(clips):
  """What the encoder sees of them, by PREPROCESSOR, in float64."""
  mean, std = PREPROCESSOR['image_mean'], PREPROCESSOR['image_std']
  return (clips / 255 - np.asarray(mean)) / np.asarray(std)
