"""Small files laid out as the published ones are: {name: shape}.

Written from the published code and its checkpoints' names, not from ours, with
sizes of which no two that could be confused are equal.
"""

import zlib

import numpy as np

T, H, W = 6, 8, 20  # of a clip; patches of 2 x 4 x 5: a grid of 3 x 2 x 4
OUTPUT_PATCH = (3, 4, 2)


def _affine(kernel, bias):
  return {'kernel': kernel, 'bias': bias}


def _flat(tree, prefix=''):
  found = {}
  for key, value in tree.items():
    if isinstance(value, dict):
      found |= _flat(value, f'{prefix}{key}/')
    else:
      found[f'{prefix}{key}'] = value
  return found


def _look(d, k):
  e = d // k
  return {
    **{x: _affine((d, k, e), (k, e)) for x in ('query', 'key', 'value')},
    'out': _affine((k, e, d), (d,)),
  }


def _block(d, k, m):
  norm = {'scale': (d,), 'bias': (d,)}
  return {
    'attention_norm': norm,
    'mlp_norm': norm,
    'attention': _look(d, k),
    'mlp': {
      'dense_in': _affine((d, m), (m,)),
      'dense_out': _affine((m, d), (d,)),
    },
  }


def _vit(layers, d=12, k=3, m=20):
  block = _block(d, k, m)
  return {
    'encoder': {
      'patch_embedding': {'Conv_0': _affine((2, 4, 5, 3, d), (d,))},
      'posenc': {'embeddings': (3, 2, 4, d)},
    },
    'processor': {f'layers_{i}': block for i in range(layers)},
  }


def backbone(layers=4):
  return _flat({'params': _vit(layers)})


def _head(d, frames, k, e, outputs, projected):
  """Denses are numbered in the order of their use."""
  width = k * e
  first = int(projected)
  return {
    'LayerNorm_0': {'scale': (d,), 'bias': (d,)},
    'LayerNorm_1': {'scale': (width,), 'bias': (width,)},
    'temporal_posenc': {'embeddings': (frames, 1, d)},
    'key_embedding': _affine((d, k, e), (k, e)),
    'value_embedding': _affine((d, k, e), (k, e)),
    f'Dense_{first}': _affine((width, width), (width,)),
    f'Dense_{first + 1}': _affine((width, outputs), (outputs,)),
    'MLP_0': {
      'Dense_0': _affine((width, 4 * width), (4 * width,)),
      'Dense_1': _affine((4 * width, width), (width,)),
    },
  }


def depth(layers=4):
  head = _head(12, T, 2, 5, outputs=24, projected=False)
  head['query'] = (T * H * W // 24, 2, 5)
  return _flat({'params': {'layers_0': _vit(layers), 'layers_2': head}})


def _attention(d, kv, k, e):
  return {
    'dense_query': {'kernel': (d, k, e)},
    'dense_key': {'kernel': (kv, k, e)},
    'dense_value': {'kernel': (kv, k, e)},
    'dense_out': _affine((k, e, d), (d,)),
    'norm_query': {'scale': (e,)},
    'norm_key': {'scale': (e,)},
  }


def _transformer(layers, d, m, **attention):
  block = {
    'norm_q': {'scale': (d,)},
    'norm_attn': {'scale': (d,)},
    'MLP_in': _affine((d, m), (m,)),
    'MLP_out': _affine((m, d), (d,)),
    **{name: _attention(d, *sizes) for name, sizes in attention.items()},
  }
  return {
    'norm_encoder': {'scale': (d,)},
    **{f'layer_{i}': block for i in range(layers)},
  }


def moog(decoder=False, d=10):
  """Three convolutions of 4, 5 and 7 channels, 3 wavelengths: 7 + 12 = 19."""
  parts = {
    'encoder': {
      'backbone': {
        **{
          f'Conv_{i}': _affine((3, 3, before, after), (after,))
          for i, (before, after) in enumerate([(3, 4), (4, 5), (5, 7)])
        },
        'LayerNorm_0': {'scale': (7,)},
      },
      'transformer': {
        'Dense_0': _affine((19, d), (d,)),
        'norm_encoder': {'scale': (d,)},
        'Dense_1': _affine((d, 19), (19,)),
      },
    },
    'predictor_sa': _transformer(2, d, 14, self_att=(d, 2, 6)),
    'predictor_ca': _transformer(
      *(1, d, 14), self_att=(d, 3, 6), cross_att=(19, 3, 6)
    ),
    'state_layer_norm': {'scale': (d,)},
  }
  if decoder:
    parts['decoder'] = {
      'transformer': _transformer(2, d + 8, 14, cross_att=(d, 4, 6)),
      'recon': _affine((d + 8, 3), (3,)),
    }
  return _flat({'pretrained_model': parts})


def rvm(decoder=False, d=12):
  """Three blocks in the encoder; two in the core, with other heads and MLPs."""
  norm = {'scale': (d,), 'bias': (d,)}
  core = {
    **_block(d, 2, 14),
    'ca_attention_norm': norm,
    'ca_attention': _look(d, 2),
  }
  gates = ('input_update', 'input_reset', 'state_update', 'state_reset')
  parts = {
    'tokenizer': {
      'patch_embedding': {'Conv_0': _affine((1, 4, 5, 3, d), (d,))}
    },
    'cls_token': (1, d),
    'encoder': {
      **{f'layers_{i}': _block(d, 3, 20) for i in range(3)},
      'LayerNorm_0': norm,
    },
    'rnn_core': {
      **{gate: {'kernel': (d, d)} for gate in gates},
      'state_layer_norm': {'scale': (d,)},
      'transformer': {
        **{f'xa_blocks_{i}': core for i in range(2)},
        'output_norm': norm,
      },
    },
  }
  if decoder:
    # What begins so is known of it, not what follows.
    parts |= {'decoder_x': {'y': {'kernel': (d, 7)}}, 'mask_token': (1, 7)}
    parts |= {'delta_embedder': {'z': (3, 7)}, 'latent_posenc': (8, 7)}
    parts |= {'detokenizer': {'kernel': (7, 60)}}
  return _flat(parts)


def _tracks(numbers, outputs, d=10, bases=3):
  return {
    'attention_readout': {
      **_head(d, T, 2, 5, outputs=outputs, projected=True),
      'Dense_0': _affine((9, 10), (10,)),
    },
    'query_initializer': {
      'layers_1': {
        'Dense_0': _affine((2 * numbers * bases, 11), (11,)),
        'Dense_1': _affine((11, 9), (9,)),
      }
    },
  }


def points():
  """Three copies of a query, of two frames each."""
  tree = _tracks(2, outputs=8)
  return _flat({**tree, 'temporal_tile_posenc': {'embeddings': (3, 9)}})


def boxes():
  return _flat(_tracks(4, outputs=4 * T))


def weights(shapes):
  """Seeded by name: far from zero where the model starts at zero or one."""
  made = {}
  for name, shape in shapes.items():
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    inputs = np.prod(shape[: -1 if len(shape) < 5 else 4]) if shape[1:] else 9
    made[name] = rng.normal(0, inputs**-0.5, shape).astype(np.float32)
    if name.endswith('scale'):
      made[name] += np.float32(1)
  return made


def save(path, shapes):
  np.savez(path, **weights(shapes))
  return str(path)
