"""How MooG may start so that it learns in minutes: tokens at places (ours).

A token that starts as noise must learn at each clip anew what it stands for,
by an attention that starts blind, behind a decoder that starts blind: neither
has a gradient worth following before the other sees. That takes more steps than
a laptop has. Here both see from the first step. Tokens start as the embeddings
of places spread over the picture; the corrector starts by comparing tokens with
those of the frame, and by copying what is alike; the decoder starts by looking
at the tokens that are where its pixel is. From there on everything is learned.
"""

import math
from typing import Any

import jax.numpy as jnp
from einops import rearrange
from jaxtyping import Array, Float

from models.moog.frames import Encoder, pixel_fourier
from models.objective import Params

# Logits are this squared times as large: of the order of 10, not of 5.
# All three are ours; a test holds that a pixel then gives most of its attention
# to the nearest token, before any training.
_SHARPNESS = 1.5
# Of places in the tokens of a frame.
_LOUDNESS = 2.0
# What the predictor adds at first, beside a state of deviation 1.
_CHANGE = 0.3


def start_at_places(
  params: Params,
  *,
  encoder: Encoder,
  size: tuple[int, int],
  bases: int,
) -> dict[str, Any]:
  """New parameters, changed so that tokens and attention start at places.

  Args:
    params: as `Cell.init` draws them, `start/embeddings` among them.
    encoder: of frames.
    size: height and width of a frame, pixels.
    bases: wavelengths of a pixel's place, along each axis.
  """
  params = {**params, 'encoder': _with_places(params['encoder'], encoder)}
  count = len(params['start']['embeddings'])
  # Wavelengths that both a pixel and so few tokens can tell apart.
  used = min(bases, _bases_for(_grid_of(count, size)))
  frame_token = _places_to_tokens(params['encoder'], encoder, used)
  # From a token of the state to one of a frame, which may be wider.
  widen = jnp.eye(frame_token.shape[1])
  if 'output' in params['encoder']:
    widen = params['encoder']['output']['kernel']
  place = frame_token
  if 'fuse' in params:
    place = frame_token @ widen @ params['fuse']['kernel'][-widen.shape[1] :]
  tokens = spread(count, size, used) @ place
  predictor, decoder = params['predictor'], params['decoder']
  blocks = decoder['transformer']
  blocks = _with_attention(blocks, lambda it: _looking(it, place, bases))
  blocks = {name: _leaving(block, bases) for name, block in blocks.items()}
  scale = _CHANGE * predictor['norm']['scale']
  return {
    **params,
    # Of deviation 1, as the state that is carried.
    'start': {'embeddings': tokens / tokens.std()},
    'predictor': {**predictor, 'norm': {'scale': scale}},
    'corrector': _with_attention(
      params['corrector'], lambda it: _comparing(it, widen)
    ),
    'decoder': {**decoder, 'transformer': blocks},
  }


def _comparing(attention: Params, widen: Float[Array, 'd e']) -> Params:
  """Attention of tokens that finds what is like them, and copies it.

  Args:
    attention: of the corrector.
    widen: from a token of the state to one of the frame.
  """
  key, value = (attention[name]['kernel'] for name in ('key', 'value'))
  # Values turned back into what they were made of: so it copies.
  back = rearrange(value, 'e h c -> h c e') @ jnp.linalg.pinv(widen)
  return {
    **attention,
    'query': {'kernel': jnp.einsum('de,ehc->dhc', widen, key)},
    'out': {**attention['out'], 'kernel': back},
  }


def _looking(
  attention: Params, place: Float[Array, 'p d'], bases: int
) -> Params:
  """Attention of pixels that finds the tokens where they are.

  Args:
    attention: of the decoder.
    place: what the longest wavelengths of a place are in a token.
    bases: wavelengths of a pixel's place, at the end of its query.
  """
  query, key = (attention[name]['kernel'] for name in ('query', 'key'))
  matched = jnp.einsum('pd,dhc->phc', place, key)
  matched = rearrange(matched, '(s i c) ... -> s i c ...', s=2, c=2)
  used = matched.shape[1]
  longer = jnp.zeros((2, bases, 2, *query.shape[1:])).at[:, :used].set(matched)
  longer = longer.reshape(4 * bases, *query.shape[1:])
  out = attention['out']['kernel'].at[..., -4 * bases :].set(0)
  return {
    **attention,
    'query': {'kernel': jnp.zeros_like(query).at[-4 * bases :].set(longer)},
    'out': {**attention['out'], 'kernel': out},
  }


def _leaving(block: Params, bases: int) -> Params:
  """The block, whose MLP leaves a query's place to the next as it is."""
  if 'mlp' not in block:
    return block
  out = block['mlp']['dense_out']
  out = {**out, 'kernel': out['kernel'].at[:, -4 * bases :].set(0)}
  return {**block, 'mlp': {**block['mlp'], 'dense_out': out}}


def _grid_of(tokens: int, size: tuple[int, int]) -> tuple[int, int]:
  """Rows and columns of as many places, spread over a frame of that size."""
  rows = min(
    (i for i in range(1, tokens + 1) if tokens % i == 0),
    key=lambda i: abs(i * i / tokens - size[0] / size[1]),
  )
  return rows, tokens // rows


def spread(
  tokens: int, size: tuple[int, int], bases: int
) -> Float[Array, '{tokens} {4*bases}']:
  """Fourier features of the places, row by row.

  Args:
    tokens: how many places.
    size: height and width of a frame, pixels.
    bases: wavelengths along each axis.
  """
  middles = (
    (jnp.arange(count) * 2 + 1) * length // (2 * count)
    for count, length in zip(_grid_of(tokens, size), size)
  )
  return pixel_fourier(*middles, size, bases).reshape(tokens, -1)


def _bases_for(grid: tuple[int, int]) -> int:
  """Wavelengths that tell places apart: the shortest is two of them.

  Shorter ones would take some places for others; and pixels and the tokens of a
  frame, both measured from corner to corner, disagree in them.
  """
  return max(1, int(math.log2(max(grid))))


def _with_places(params: Params, encoder: Encoder) -> dict[str, Any]:
  """The encoder; its tokens tell places more loudly than what is there."""
  name = 'positions' if encoder.positions == 'add' else 'project'
  kernel = params[name]['kernel'].at[-4 * encoder.bases :].multiply(_LOUDNESS)
  return {**params, name: {**params[name], 'kernel': kernel}}


def _places_to_tokens(
  params: Params, encoder: Encoder, bases: int
) -> Float[Array, '{4*bases} d']:
  """What the encoder makes of a place's longest wavelengths, norms aside."""
  kernel = params['project']['kernel']
  if encoder.positions == 'add':
    kernel = params['positions']['kernel'] @ kernel
  kernel = kernel[-4 * encoder.bases :]
  waves = rearrange(kernel, '(s i c) d -> s i c d', s=2, c=2)
  return rearrange(waves[:, :bases], 's i c d -> (s i c) d')


def _with_attention(transformer: Params, change) -> dict[str, Any]:
  """The transformer, its cross-attention changed and made sharper."""
  changed = dict(transformer)
  for name, block in transformer.items():
    if 'cross_attention' not in block:
      continue
    attention = change(block['cross_attention'])
    for norm in ('query_norm', 'key_norm'):
      scale = _SHARPNESS * attention[norm]['scale']
      attention[norm] = {'scale': scale}
    changed[name] = {**block, 'cross_attention': attention}
  return changed
