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

from models.sharding import platform

# Keys that the kernel of TPUs is made for: fewer do not fill a vector, the rows
# of more do not fit the fast memory.
_SHORT, _LONG = 128, 4096


def attend(
  query: Float[Array, 'b q k e'],
  key: Float[Array, 'b n k e'],
  value: Float[Array, 'b n k e'],
  *,
  implementation: str = 'auto',
) -> Float[Array, 'b q k e']:
  """softmax(query key' / sqrt(e)) value, in every head k.

  The softmax is in float32 whatever the inputs are. For `jax.checkpoint` the
  result is named 'attended'.

  Args:
    query: of q tokens.
    key: of n tokens.
    value: of the same n tokens.
    implementation: a name of IMPLEMENTATIONS, or 'auto'.

  Raises:
    ValueError: no such implementation.
  """
  name = resolve(implementation, key.shape[1])
  if name == 'rows':  # it scales by itself, and names what it saves
    return _rows(query, key, value)
  query = query * query.shape[-1] ** -0.5
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
    kernel = 'rows' if tokens <= _LONG else 'plain'
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
  from models import attention_tpu  # Pallas takes a while to import

  return attention_tpu.attend(query, key, value)


IMPLEMENTATIONS: dict[str, Callable] = {
  'plain': _plain,
  'per_head': _per_head,
  'chunked': _chunked,
  'rows': _rows,
}
