"""Attention over tokens that are split over chips: keys go round in a ring.

Ring Attention (arXiv 2310.01889). Every chip keeps its queries. Keys and
values are passed from neighbour to neighbour until each chip has seen those of
all; what a chip finds for one block of keys is put together with what it has
by the logarithms of the sums, which gives the softmax over all keys. In the
backward pass the gradients of keys and values travel with them, and arrive
where they belong.

Llama 3 collects all keys instead (arXiv 2407.21783). In a ring a chip holds
the keys of two blocks, not of the whole clip, and a block is passed on while
the one before is attended to; blocks are short enough for the kernel of TPUs
where the clip is not. docs/long_clips.md has both, compiled: they are near.

The ring is unrolled: a program grows with its length.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from einops import rearrange
from jax.ad_checkpoint import checkpoint_name
from jaxtyping import Array, Float

from models.sharding import mesh_axis, per_shard, shards


class Blockwise(NamedTuple):
  """Attention of a chip's queries to one block of keys.

  Both functions work on arrays of the same layout. Statistics of queries are
  arrays with e = 1.

  Attributes:
    layout: the order of the axes b n k e.
    forward: (query, key, value) -> the result for these keys alone, and the
      logarithm of the sum of its weights.
    backward: (query, key, value, out, log_total, gradient) -> what these keys
      add to the gradient of the query, and the gradients of key and value. The
      result and the logarithm are those of all keys.
  """

  layout: str
  forward: Callable
  backward: Callable


def attend(
  query: Float[Array, 'b q k e'],
  key: Float[Array, 'b n k e'],
  value: Float[Array, 'b n k e'],
  *,
  over: str,
  blockwise: Blockwise,
) -> Float[Array, 'b q k e']:
  """Attention of all queries to all keys, both split over `over`.

  Args:
    query: of q tokens, scaled if `blockwise` does not do it.
    key: of n tokens.
    value: of the same n tokens.
    over: a logical axis that is split over one axis of the mesh.
    blockwise: how a chip attends to what it holds.

  Raises:
    ValueError: the parts do not divide the tokens.
  """
  parts = shards(over)
  for name, x in (('queries', query), ('keys', key)):
    if x.shape[1] % parts:
      raise ValueError(
        f'attention in a ring of {parts}: {x.shape[1]} {name} must be '
        f'divisible by {parts}; choose a divisor for config.mesh.sequence'
      )
  turn = functools.partial(rearrange, pattern=f'b n k e -> {blockwise.layout}')
  out = _ring(turn(query), turn(key), turn(value), over, blockwise)
  return rearrange(out, f'{blockwise.layout} -> b n k e')


@functools.partial(jax.custom_vjp, nondiff_argnums=(3, 4))
def _ring(query, key, value, over, blockwise):
  """All three, and the result, in the block's layout."""
  return _forward(query, key, value, over, blockwise)[0]


def _forward(query, key, value, over, blockwise):
  axes = _axes(over, blockwise)
  run = functools.partial(_run_forward, mesh_axis(over), blockwise)
  out, log_total = per_shard(run, [axes] * 3, [axes] * 2)(query, key, value)
  # The backward pass reads both, and must not go round again for them.
  out = checkpoint_name(out, 'attended')
  log_total = checkpoint_name(log_total, 'attended')
  return out, (query, key, value, out, log_total)


def _backward(over, blockwise, saved, gradient):
  axes = _axes(over, blockwise)
  run = functools.partial(_run_backward, mesh_axis(over), blockwise)
  return per_shard(run, [axes] * 6, [axes] * 3)(*saved, gradient)


_ring.defvjp(_forward, _backward)


def _axes(over, blockwise):
  names = {'b': 'batch', 'n': over, 'k': 'heads', 'e': None}
  return tuple(names[letter] for letter in blockwise.layout.split())


def _run_forward(axis, blockwise, query, key, value):
  out, log_total = blockwise.forward(query, key, value)
  # Rescaled once for each block: in bfloat16 each time would round.
  dtype, out = out.dtype, out.astype(jnp.float32)
  for _ in range(1, jax.lax.axis_size(axis)):
    key, value = _passed_on((key, value), axis)
    more, log_more = blockwise.forward(query, key, value)
    # Each is divided by its own sum: both are weighted by their share of the
    # sum of all.
    log_both = jnp.logaddexp(log_total, log_more)
    out *= jnp.exp(log_total - log_both)
    out += jnp.exp(log_more - log_both) * more
    log_total = log_both
  return out.astype(dtype), log_total


def _run_backward(axis, blockwise, query, key, value, *others):
  # Sums of as many terms as there are chips are kept in float32.
  sums = [
    x.astype(jnp.float32)
    for x in blockwise.backward(query, key, value, *others)
  ]
  for _ in range(1, jax.lax.axis_size(axis)):
    key, value, *sums[1:] = _passed_on((key, value, *sums[1:]), axis)
    more = blockwise.backward(query, key, value, *others)
    sums = [total + x for total, x in zip(sums, more)]
  to_query, to_key, to_value = sums
  # The last hop leads home.
  to_key, to_value = _passed_on((to_key, to_value), axis)
  return tuple(
    total.astype(x.dtype)
    for total, x in zip((to_query, to_key, to_value), (query, key, value))
  )


def _passed_on(arrays, axis):
  """What the neighbour before had."""
  count = jax.lax.axis_size(axis)
  ring = [(i, (i + 1) % count) for i in range(count)]
  return [jax.lax.ppermute(x, axis, ring) for x in arrays]
