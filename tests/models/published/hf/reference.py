"""Forward passes of the encoders in NumPy, float64, in PyTorch's layout.

Written from what is known of each, beside and not from `models/`: a machine
without PyTorch notices a wrong adapter too.
"""

import numpy as np
from scipy.special import erf


def hidden_states(family, weights, config, pixels):
  """All hidden states, [b n d] each, and last what is behind the last norm.

  Args:
    family: a name of `folders.CONFIGS`.
    weights: by name.
    config: as config.json has it.
    pixels: [b t h w 3], less their mean, over their deviation.
  """
  weights = {k: np.asarray(x, np.float64) for k, x in weights.items()}
  return _FORWARD[family](weights, config, pixels)


def _affine(w, name, x):
  y = x @ w[f'{name}.weight'].T
  return y + w[f'{name}.bias'] if f'{name}.bias' in w else y


def _norm(w, name, x, epsilon):
  mean = x.mean(-1, keepdims=True)
  deviation = np.sqrt(((x - mean) ** 2).mean(-1, keepdims=True) + epsilon)
  return (x - mean) / deviation * w[f'{name}.weight'] + w[f'{name}.bias']


def _gelu(x):
  return x * (1 + erf(x / np.sqrt(2))) / 2


def _patches(w, name, pixels):
  """Tubes through a convolution whose stride is its kernel: [b n d]."""
  kernel = w[f'{name}.weight']  # [d c t y x]
  b, t, h, width, c = pixels.shape
  p, y, x = kernel.shape[2:]
  cut = pixels.reshape(b, t // p, p, h // y, y, width // x, x, c)
  out = np.einsum('btphywxc,dcpyx->bthwd', cut, kernel)
  return out.reshape(b, -1, len(kernel)) + w[f'{name}.bias']


def _attend(query, key, value, heads, turn=lambda x: x):
  """[b n d] each; heads are blocks of columns."""
  b, n, d = query.shape
  split = [
    x.reshape(b, n, heads, d // heads).swapaxes(1, 2)
    for x in (query, key, value)
  ]
  query, key, value = turn(split[0]), turn(split[1]), split[2]
  logits = query @ key.swapaxes(2, 3) / np.sqrt(d // heads)
  weight = np.exp(logits - logits.max(-1, keepdims=True))
  weight /= weight.sum(-1, keepdims=True)
  return (weight @ value).swapaxes(1, 2).reshape(b, n, d)


def _videomae(w, config, pixels):
  heads, epsilon = config['num_attention_heads'], config['layer_norm_eps']
  x = _patches(w, 'embeddings.patch_embeddings.projection', pixels)
  n, d = x.shape[1:]
  table = np.zeros((n, d))
  for p in range(n):
    for j in range(d):
      angle = p / 10000 ** (2 * (j // 2) / d)
      table[p, j] = np.cos(angle) if j % 2 else np.sin(angle)
  x = x + table
  states = [x]
  for i in range(config['num_hidden_layers']):
    layer = f'encoder.layer.{i}'
    own = f'{layer}.attention.attention'
    y = _norm(w, f'{layer}.layernorm_before', x, epsilon)
    query, key, value = (
      y @ w[f'{own}.{name}.weight'].T for name in ('query', 'key', 'value')
    )
    y = _attend(
      query + w[f'{own}.q_bias'], key, value + w[f'{own}.v_bias'], heads
    )
    x = x + _affine(w, f'{layer}.attention.output.dense', y)
    y = _norm(w, f'{layer}.layernorm_after', x, epsilon)
    y = _gelu(_affine(w, f'{layer}.intermediate.dense', y))
    x = x + _affine(w, f'{layer}.output.dense', y)
    states.append(x)
  if not config['use_mean_pooling']:
    states[-1] = _norm(w, 'layernorm', x, epsilon)
  return states


_FORWARD = {'videomae': _videomae}
