"""Attention that XLA compiles: whole, head by head, or in chunks of queries.

Three implementations of one function, each for all keys (`plain`, `per_head`,
`chunked`) and for one block of them, as `ring.py` needs it (BLOCKWISE). Queries
come scaled.
"""

import functools

import jax
import jax.numpy as jnp
from einops import rearrange

from models.nn.attention.ring import Blockwise


def plain(query, key, value):
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
  # Less the largest, so that none overflows.
  weights = jnp.exp(logits - largest)
  total = weights.sum(-1, keepdims=True)
  out = jnp.matmul(
    weights.astype(value.dtype), value, preferred_element_type=jnp.float32
  )
  # Divided after the product: [q e] are fewer than [q n].
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
  # What a weight's slope loses since all weights sum to 1, as FlashAttention
  # finds it (arXiv 2205.14135).
  mean = jnp.sum(gradient * out, axis=-1, dtype=jnp.float32)
  slope = jnp.matmul(value, gradient.T, preferred_element_type=jnp.float32)
  slope = (weights * (slope - mean)).astype(key.dtype)
  return (
    (key.T @ slope).T,
    slope @ query,
    weights.astype(gradient.dtype) @ gradient,
  )


_head.defvjp(_head_forward, _head_backward)


def per_head(query, key, value):
  """One head of one example at a time, recomputed in the backward pass.

  On a CPU a head's logits then stay in cache.
  """
  heads = query.shape[2]
  split = functools.partial(rearrange, pattern='b n k e -> (b k) n e')
  qkv = split(query), split(key), split(value)
  # A loop, not a batched product, which would hold logits of all heads.
  out = jax.lax.map(lambda x: _head(*x), qkv)
  return rearrange(out, '(b k) n e -> b n k e', k=heads)


# 256 queries (ours): their logits with the 25,088 keys of docs/long_clips.md
# are 26 MB a head.
def chunked(query, key, value, chunk=256):
  """A few queries at a time, recomputed in the backward pass.

  Memory grows with the number of tokens, not with its square.
  """
  tokens = query.shape[1]
  pieces = -(-tokens // chunk)
  # What fills up the last chunk attends too, and is cut off below.
  padded = jnp.pad(
    query, ((0, 0), (0, pieces * chunk - tokens), (0, 0), (0, 0))
  )
  # Or the loop would keep the logits of every chunk for the backward pass.
  body = jax.checkpoint(lambda piece: plain(piece, key, value))
  out = jax.lax.map(
    body, rearrange(padded, 'b (p c) k e -> p b c k e', c=chunk)
  )
  return rearrange(out, 'p b c k e -> b (p c) k e')[:, :tokens]


def _block_forward(query, key, value):
  """Of one head of one example; see `ring.Blockwise`."""
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


BLOCKWISE = {
  name: Blockwise('b k n e', forward, backward)
  for name, forward, backward in (
    ('plain', _all_heads(_block_forward), _all_heads(_block_backward)),
    ('per_head', _each_head(_block_forward), _each_head(_block_backward)),
    ('chunked', _chunked_forward, _chunked_backward),
  )
}
