"""The published MooG graph, written out plainly in NumPy for tests."""

import functools

import jax
import numpy as np


def norm(x, scale, epsilon=1e-6):
  x = x - x.mean(-1, keepdims=True)
  return x / np.sqrt((x**2).mean(-1, keepdims=True) + epsilon) * scale


def gelu(x):
  return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


def linear(x, p):
  return x @ p['kernel'] + p.get('bias', 0)


def attention(x, kv, p):
  """One example: [n d], [m e] -> [n d]."""

  def rms(x, scale):
    return x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-6) * scale

  heads = p['query']['kernel'].shape[1]
  y = p['out']['bias']
  for k in range(heads):
    query = rms(x @ p['query']['kernel'][:, k], p['query_norm']['scale'])
    key = rms(kv @ p['key']['kernel'][:, k], p['key_norm']['scale'])
    logits = query @ key.T / np.sqrt(query.shape[-1])
    weights = np.exp(logits - logits.max(-1, keepdims=True))
    weights /= weights.sum(-1, keepdims=True)
    value = kv @ p['value']['kernel'][:, k]
    y = y + weights @ value @ p['out']['kernel'][k]
  return y


def transformer(x, p, kv=None):
  if 'project' in p:
    x = linear(x, p['project'])
  for i in range(sum(name.startswith('layer_') for name in p)):
    layer = p[f'layer_{i}']
    hidden = norm(x, layer['norm']['scale'])
    if 'self_attention' in layer:
      x = x + attention(hidden, hidden, layer['self_attention'])
    if 'cross_attention' in layer:
      x = x + attention(hidden, kv, layer['cross_attention'])
    hidden = norm(x, layer['mlp_norm']['scale'])
    hidden = gelu(linear(hidden, layer['mlp']['dense_in']))
    x = x + linear(hidden, layer['mlp']['dense_out'])
  x = norm(x, p['norm']['scale'])
  return linear(x, p['output']) if 'output' in p else x


def conv(x, p, stride):
  """[h w c], zeros around: one pixel more behind than before where odd."""
  h, w = (-(-size // stride) for size in x.shape[:2])
  pads = []
  for size, out in zip(x.shape[:2], (h, w)):
    total = max((out - 1) * stride + 3 - size, 0)
    pads.append((total // 2, total - total // 2))
  x = np.pad(x, (*pads, (0, 0)))
  out = np.zeros((h, w, p['kernel'].shape[-1]))
  for i in range(h):
    for j in range(w):
      patch = x[i * stride : i * stride + 3, j * stride : j * stride + 3]
      out[i, j] = np.tensordot(patch, p['kernel'], 3) + p['bias']
  return out


def fourier(place, bases):
  """Of places [... 2], (y, x) from -1 to 1."""
  angle = np.concatenate([2.0**i * np.pi * place for i in range(bases)], -1)
  return np.concatenate([np.sin(angle), np.cos(angle)], -1)


def places(h, w):
  y, x = np.meshgrid(
    np.linspace(-1, 1, h), np.linspace(-1, 1, w), indexing='ij'
  )
  return np.stack([y, x], -1)


def encode(frame, p, strides, bases):
  x = frame
  for i, stride in enumerate(strides):
    x = conv(gelu(x) if i else x, p[f'conv_{i}'], stride)
  x = norm(x, p['conv_norm']['scale'])
  place = fourier(places(*x.shape[:2]), bases)
  if 'positions' in p:
    x = x + linear(place, p['positions'])
  else:
    x = np.concatenate([x, place], -1)
  return transformer(x.reshape(-1, x.shape[-1]), p)


def decode(tokens, p, place, bases):
  """Pixels at places [q 2], from the tokens of one frame."""
  blank = np.zeros((len(place), tokens.shape[-1]))
  query = np.concatenate([blank, fourier(place, bases)], -1)
  return linear(transformer(query, p['transformer'], tokens), p['output'])


def run(objective, params, clip, state, slope=None):
  """Per frame: the state decoded from, and what readouts see; and the last.

  `slope` gives the gradient of a frame's error by a state.
  """
  variant, encoder = objective.cell.variant, objective.cell.encoder
  params = jax.tree.map(lambda x: np.asarray(x, np.float64), params)
  state, decoded, read = np.asarray(state, np.float64), [], []
  for frame in np.asarray(clip):
    seen = encode(frame, params['encoder'], encoder.strides, encoder.bases)
    before, scale = state, params['state_norm']['scale']
    if variant.norm == 'incoming':
      state = norm(state, scale, 1e-4)
    ahead = state + transformer(state, params['predictor'])
    query = ahead
    if slope is not None:
      pair = np.concatenate([ahead, slope(ahead)], -1)
      query = linear(pair, params['gradient'])
    state = ahead + transformer(query, params['corrector'], seen)
    if variant.norm == 'corrected':
      state = norm(state, scale, 1e-4)
    decoded.append(ahead if variant.decode == 'predicted' else before)
    read.append(
      np.concatenate([ahead, state]) if variant.read == 'both' else state
    )
  return np.stack(decoded), np.stack(read), state


def errors(objective, params, clip, state, true, place):
  """Mean square error of the pixels at `place` of every frame, in float64."""
  numbers = jax.tree.map(lambda x: np.asarray(x, np.float64), params)
  bases, found = objective.cell.decoder.bases, []

  def error(state, t):
    guess = decode(state, numbers['decoder'], place[t].reshape(-1, 2), bases)
    return np.mean((guess - true[t].reshape(-1, 3)) ** 2)

  for t in range(len(clip)):
    slope = None
    if objective.cell.loss_gradient:
      slope = functools.partial(numeric_gradient, lambda x, t=t: error(x, t))
    decoded, _, state = run(objective, params, clip[t : t + 1], state, slope)
    found.append(error(decoded[0], t))
  return found


def numeric_gradient(function, x, size=1e-6):
  slope = np.zeros_like(x)
  for place in np.ndindex(x.shape):
    step = np.zeros_like(x)
    step[place] = size
    slope[place] = (function(x + step) - function(x - step)) / (2 * size)
  return slope
