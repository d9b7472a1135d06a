"""Scaled dot-product attention: one function, several implementations.

All are equal in value and gradient; they differ in what they keep in memory
and in the order of the work. `resolve` is the one place that chooses.
"""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
from einops import rearrange
from jax.ad_checkpoint import checkpoint_name
from jaxtyping import Array, Float

from models.nn.attention import ring
from models.sharding import platform, shards

# Keys that the kernel of TPUs is made for: fewer do not fill a vector, the rows
# of more do not fit the fast memory.
_SHORT, _LONG = 128, 4096


def attend(
  query: Float[Array, 'b q k e'],
  key: Float[Array, 'b n k e'],
  value: Float[Array, 'b n k e'],
  *,
  implementation: str = 'auto',
  over: str | None = None,
) -> Float[Array, 'b q k e']:
  """softmax(query key' / sqrt(e)) value, in every head k.

  The softmax is in float32 whatever the inputs are. For `jax.checkpoint` the
  result is named 'attended'.

  Args:
    query: of q tokens.
    key: of n tokens.
    value: of the same n tokens.
    implementation: a name of IMPLEMENTATIONS, or 'auto'.
    over: the logical axis that queries and keys are split over; if it is split
      here, the implementation is that of one of the parts.

  Raises:
    ValueError: no such implementation, or parts that do not divide the tokens.
  """
  parts = shards(over) if over else 1
  name = resolve(implementation, key.shape[1] // parts)
  if name != 'rows':  # it scales by itself
    query = query * query.shape[-1] ** -0.5
  if parts > 1:
    return ring.attend(query, key, value, over=over, blockwise=_blockwise(name))
  if name == 'rows':  # and names what it saves
    return _rows(query, key, value)
  return checkpoint_name(IMPLEMENTATIONS[name](query, key, value), 'attended')


def resolve(implementation: str, tokens: int) -> str:
  """The implementation behind a name: 'auto' is chosen by platform.

  Args:
    implementation: a name of IMPLEMENTATIONS, or 'auto'.
    tokens: number of keys.

  Raises:
    ValueError: no such implementation.
  """
  if implementation == 'auto':
    if tokens <= _SHORT:
      return 'plain'
    kernel = 'rows' if tokens <= _LONG else 'chunked'
    return {'cpu': 'per_head', 'tpu': kernel}.get(platform(), 'plain')
  if implementation not in IMPLEMENTATIONS:
    raise ValueError(
      f'model.attention={implementation!r} does not exist: expected auto, '
      f'{", ".join(IMPLEMENTATIONS)}.'
    )
  return implementation


def _plain(query, key, value):
  """Two einsums around a softmax; XLA sees all of it."""
  logits = jnp.einsum(
    'bqke,bnke->bkqn', query, key, preferred_element_type=jnp.float32
  )
  weights = jax.nn.softmax(logits).astype(value.dtype)
  return jnp.einsum('bkqn,bnke->bqke', weights, value)


@jax.custom_vjp
def _head(query, key, value):
  """Attention of one head of one example: [q e], [n e], [n e] -> [q e]."""
  return _head_forward(query, key, value)[0]


def _head_forward(query, key, value):
  """The output, and what the backward pass reads: no q x n matrix."""
  logits = jnp.matmul(query, key.T, preferred_element_type=jnp.float32)
  largest = logits.max(-1, keepdims=True)
  weights = jnp.exp(logits - largest)
  total = weights.sum(-1, keepdims=True)
  out = jnp.matmul(
    weights.astype(value.dtype), value, preferred_element_type=jnp.float32
  )
  out = (out / total).astype(value.dtype)
  return out, (query, key, value, out, largest + jnp.log(total))


def _head_backward(saved, gradient):
  """Recomputes the weights from the logarithm of their sum.

  Transposed, [n q]: so two of the three products with a q x n matrix need no
  transposed copy of it.
  """
  query, key, value, out, log_total = saved
  logits = jnp.matmul(key, query.T, preferred_element_type=jnp.float32)
  weights = jnp.exp(logits - log_total.T)
  mean = jnp.sum(gradient * out, axis=-1, dtype=jnp.float32)
  slope = jnp.matmul(value, gradient.T, preferred_element_type=jnp.float32)
  slope = (weights * (slope - mean)).astype(key.dtype)
  return (
    (key.T @ slope).T,
    slope @ query,
    weights.astype(gradient.dtype) @ gradient,
  )


_head.defvjp(_head_forward, _head_backward)


def _per_head(query, key, value):
  """One head of one example at a time, recomputed in the backward pass.

  On a CPU a head's logits then stay in cache.
  """
  heads = query.shape[2]
  split = functools.partial(rearrange, pattern='b n k e -> (b k) n e')
  qkv = split(query), split(key), split(value)
  out = jax.lax.map(lambda x: _head(*x), qkv)
  return rearrange(out, '(b k) n e -> b n k e', k=heads)


def _chunked(query, key, value, chunk=256):
  """A few queries at a time, recomputed in the backward pass.

  Memory grows with the number of tokens, not with its square.
  """
  tokens = query.shape[1]
  pieces = -(-tokens // chunk)
  padded = jnp.pad(
    query, ((0, 0), (0, pieces * chunk - tokens), (0, 0), (0, 0))
  )
  body = jax.checkpoint(lambda piece: _plain(piece, key, value))
  out = jax.lax.map(
    body, rearrange(padded, 'b (p c) k e -> p b c k e', c=chunk)
  )
  return rearrange(out, 'p b c k e -> b (p c) k e')[:, :tokens]


def _rows(query, key, value):
  """The kernel for TPUs; elsewhere interpreted, for tests."""
  from models.nn.attention import tpu

  return tpu.attend(query, key, value)


def _block_forward(query, key, value):
  """Of one head of one example; see `attention_ring.Blockwise`."""
  out, saved = _head_forward(query, key, value)
  return out, saved[-1]


def _block_backward(*saved):
  *saved, gradient = saved
  return _head_backward(saved, gradient)


def _all_heads(function):
  """Of all heads of all examples at once."""
  return jax.vmap(jax.vmap(function))


def _each_head(function):
  """Of one head of one example after another."""
  return lambda *arrays: jax.lax.map(
    lambda head: jax.lax.map(lambda x: function(*x), head), arrays
  )


def _chunked_forward(query, key, value, chunk=256):
  """Of all heads, for a few queries at a time."""
  run = _all_heads(_block_forward)
  pieces = jax.lax.map(lambda piece: run(piece, key, value), _cut(query, chunk))
  return tuple(_joined(x, query.shape[2]) for x in pieces)


def _chunked_backward(query, key, value, *others, chunk=256):
  run = _all_heads(_block_backward)
  zeros = [jnp.zeros(x.shape, jnp.float32) for x in (key, value)]

  def add(sums, piece):
    to_query, *more = run(piece[0], key, value, *piece[1:])
    return [total + x for total, x in zip(sums, more)], to_query

  # Queries that fill up the last piece have no gradient, and add nothing.
  pieces = [_cut(x, chunk) for x in (query, *others)]
  sums, to_query = jax.lax.scan(add, zeros, pieces)
  return _joined(to_query, query.shape[2]), *sums


def _cut(x, chunk):
  """[b k n e] -> [pieces b k chunk e], filled up with zeros."""
  pieces = -(-x.shape[2] // chunk)
  missing = pieces * chunk - x.shape[2]
  x = jnp.pad(x, ((0, 0), (0, 0), (0, missing), (0, 0)))
  return rearrange(x, 'b k (p c) e -> p b k c e', c=chunk)


def _joined(pieces, tokens):
  return rearrange(pieces, 'p b k c e -> b k (p c) e')[:, :, :tokens]


def _blockwise(name):
  """The implementation of that name, for one block of the keys."""
  if name == 'rows':
    from models.nn.attention import tpu

    return tpu.BLOCKWISE
  return _BLOCKWISE[name]


_BLOCKWISE = {
  name: ring.Blockwise('b k n e', forward, backward)
  for name, forward, backward in (
    ('plain', _all_heads(_block_forward), _all_heads(_block_backward)),
    ('per_head', _each_head(_block_forward), _each_head(_block_backward)),
    ('chunked', _chunked_forward, _chunked_backward),
  )
}

IMPLEMENTATIONS: dict[str, Callable] = {
  'plain': _plain,
  'per_head': _per_head,
  'chunked': _chunked,
  'rows': _rows,
}
