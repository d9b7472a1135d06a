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


def _turn(x, positions):
  """A run of channels [b k n r], turned by where each token is."""
  run = x.shape[-1]
  out = np.empty_like(x)
  for c in range(run):
    omega = 10000 ** (-(c % (run // 2)) / (run / 2))
    angle = positions * omega
    other = -x[..., c + 1] if c % 2 == 0 else x[..., c - 1]
    out[..., c] = x[..., c] * np.cos(angle) + other * np.sin(angle)
  return out


def _vjepa2(w, config, pixels):
  heads, epsilon = config['num_attention_heads'], config['layer_norm_eps']
  side = config['crop_size'] // config['patch_size']
  x = _patches(w, 'encoder.embeddings.patch_embeddings.proj', pixels)
  number = np.arange(x.shape[1])
  t, rest = number // side**2, number % side**2
  places = (t, rest // side, rest % side)
  run = 2 * (config['hidden_size'] // heads // 3 // 2)

  def turn(x):
    parts = [
      _turn(x[..., i * run : (i + 1) * run], place)
      for i, place in enumerate(places)
    ]
    return np.concatenate([*parts, x[..., 3 * run :]], -1)

  states = [x]
  for i in range(config['num_hidden_layers']):
    layer = f'encoder.layer.{i}'
    y = _norm(w, f'{layer}.norm1', x, epsilon)
    query, key, value = (
      _affine(w, f'{layer}.attention.{name}', y)
      for name in ('query', 'key', 'value')
    )
    y = _attend(query, key, value, heads, turn)
    x = x + _affine(w, f'{layer}.attention.proj', y)
    y = _norm(w, f'{layer}.norm2', x, epsilon)
    y = _gelu(_affine(w, f'{layer}.mlp.fc1', y))
    x = x + _affine(w, f'{layer}.mlp.fc2', y)
    states.append(x)
  states[-1] = _norm(w, 'encoder.layernorm', x, epsilon)
  return states


def _cubic(x, a):
  x = abs(x)
  if x <= 1:
    return (a + 2) * x**3 - (a + 3) * x**2 + 1
  return a * x**3 - 5 * a * x**2 + 8 * a * x - 4 * a if x < 2 else 0.0


def _resize(table, size, antialias):
  """PyTorch's bicubic resize of the first axis."""
  count, out = len(table), []
  for i in range(size):
    centre = (i + 0.5) * count / size
    if antialias:
      wide = max(count / size, 1)
      taps = [_cubic((j + 0.5 - centre) / wide, -0.5) for j in range(count)]
      out.append(sum(w * x for w, x in zip(taps, table)) / sum(taps))
    else:
      first = int(np.floor(centre - 0.5))
      out.append(
        sum(
          _cubic(centre - 0.5 - j, -0.75) * table[min(max(j, 0), count - 1)]
          for j in range(first - 1, first + 3)
        )
      )
  return np.stack(out)


def _dinov2(w, config, pixels):
  """Each frame is a picture of its own."""
  heads, epsilon = config['num_attention_heads'], config['layer_norm_eps']
  b, t, h, width, _ = pixels.shape
  p, d = config['patch_size'], config['hidden_size']
  name = 'embeddings.patch_embeddings.projection'
  flat = {**w, f'{name}.weight': w[f'{name}.weight'][:, :, None]}
  x = _patches(flat, name, pixels.reshape(b * t, 1, h, width, 3))
  table = w['embeddings.position_embeddings'][0]
  side = config['image_size'] // p
  places = table[1:].reshape(side, side, d)
  registers = w.get('embeddings.register_tokens')
  antialias = registers is not None
  places = _resize(places, h // p, antialias)
  places = _resize(places.swapaxes(0, 1), width // p, antialias)
  x = x + places.swapaxes(0, 1).reshape(-1, d)
  first = [w['embeddings.cls_token'][0] + table[:1]]
  first = np.concatenate(first + ([registers[0]] if antialias else []))
  x = np.concatenate([np.broadcast_to(first, (b * t, *first.shape)), x], 1)
  states = [x]
  for i in range(config['num_hidden_layers']):
    layer = f'encoder.layer.{i}'
    y = _norm(w, f'{layer}.norm1', x, epsilon)
    y = _attend(
      *(
        _affine(w, f'{layer}.attention.attention.{name}', y)
        for name in ('query', 'key', 'value')
      ),
      heads,
    )
    y = _affine(w, f'{layer}.attention.output.dense', y)
    x = x + w[f'{layer}.layer_scale1.lambda1'] * y
    y = _norm(w, f'{layer}.norm2', x, epsilon)
    if config['use_swiglu_ffn']:
      gate, value = np.split(_affine(w, f'{layer}.mlp.weights_in', y), 2, -1)
      y = gate / (1 + np.exp(-gate)) * value
      y = _affine(w, f'{layer}.mlp.weights_out', y)
    else:
      y = _gelu(_affine(w, f'{layer}.mlp.fc1', y))
      y = _affine(w, f'{layer}.mlp.fc2', y)
    x = x + w[f'{layer}.layer_scale2.lambda1'] * y
    states.append(x)
  states[-1] = _norm(w, 'layernorm', x, epsilon)
  return [x[:, len(first) :].reshape(b, -1, d) for x in states]


_FORWARD = {
  **{'videomae': _videomae, 'vjepa2': _vjepa2},
  **{'dinov2': _dinov2, 'dinov2_with_registers': _dinov2},
}
