"""The published encoder and core of RVM, written out plainly in NumPy."""

import numpy as np


def norm(x, p, epsilon=1e-6):
  x = x - x.mean(-1, keepdims=True)
  x = x / np.sqrt((x**2).mean(-1, keepdims=True) + epsilon) * p['scale']
  return x + p.get('bias', 0)


def linear(x, p):
  return x @ p['kernel'] + p.get('bias', 0)


def sigmoid(x):
  return 1 / (1 + np.exp(-x))


def mlp(x, p):
  x = linear(x, p['dense_in'])
  x = 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))
  return linear(x, p['dense_out'])


def attention(x, kv, p):
  """One example: [n d], [m e] -> [n d]."""
  y = p['out']['bias']
  for k in range(p['query']['kernel'].shape[1]):
    query, key, value = (
      tokens @ p[name]['kernel'][:, k] + p[name]['bias'][k]
      for name, tokens in (('query', x), ('key', kv), ('value', kv))
    )
    logits = query @ key.T / np.sqrt(query.shape[-1])
    weights = np.exp(logits - logits.max(-1, keepdims=True))
    weights /= weights.sum(-1, keepdims=True)
    y = y + weights @ value @ p['out']['kernel'][k]
  return y


def sines(count, width):
  """Of a number, entry by entry."""
  table = np.zeros((count, width))
  for place in range(count):
    for column in range(width):
      angle = place / 10_000 ** (2 * (column // 2) / width)
      table[place, column] = np.cos(angle) if column % 2 else np.sin(angle)
  return table


def layer(p, i):
  return {
    key: layer(x, i) if isinstance(x, dict) else x[i] for key, x in p.items()
  }


def encode(params, frame, place):
  """Tokens of a frame [h w 3] in [0, 1], the class token first.

  Args:
    params: float64.
    frame: one frame.
    place: table of positions [n d].
  """
  kernel = params['encoder']['patch_embedding']['kernel'][0]
  ph, pw = kernel.shape[:2]
  h, w, _ = frame.shape
  x = [params['encoder']['class_token']['embeddings'][0]]
  for i in range(h // ph):
    for j in range(w // pw):
      patch = frame[i * ph : (i + 1) * ph, j * pw : (j + 1) * pw]
      token = np.einsum('hwc,hwcd->d', patch, kernel)
      token = token + params['encoder']['patch_embedding']['bias']
      x.append(token + place[len(x) - 1])
  x = np.stack(x)
  layers = params['processor']['layers']
  for i in range(len(layers['mlp_norm']['scale'])):
    p = layer(layers, i)
    y = norm(x, p['attention_norm'])
    x = x + attention(y, y, p['attention'])
    x = x + mlp(norm(x, p['mlp_norm']), p['mlp'])
  return norm(x, params['processor']['norm'])


def step(p, state, x):
  """The state after a frame of tokens x."""
  update = sigmoid(
    linear(x, p['input_update']) + linear(state, p['state_update'])
  )
  reset = sigmoid(linear(x, p['input_reset']) + linear(state, p['state_reset']))
  kv = reset * norm(state, p['state_norm'], 1e-4)
  for i in range(len(p['layers']['mlp_norm']['scale'])):
    own = layer(p['layers'], i)
    x = x + attention(norm(x, own['cross_norm']), kv, own['cross_attention'])
    x = x + mlp(norm(x, own['mlp_norm']), own['mlp'])
    y = norm(x, own['attention_norm'])
    x = x + attention(y, y, own['attention'])
  return (1 - update) * state + update * norm(x, p['norm'])


def run(params, video, place, state=None):
  """States after each frame of a clip [t h w 3], [t n d]."""
  states = []
  for frame in video:
    x = encode(params, frame, place)
    state = np.zeros_like(x) if state is None else state
    state = step(params['core'], state, x)
    states.append(state)
  return np.stack(states)
