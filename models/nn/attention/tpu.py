"""Attention on TPUs for short sequences: all keys of a head at once.

A Pallas kernel that holds the keys and values of a head in the fast memory and
goes through the queries in pieces. A piece's logits are whole rows, so the
softmax is the usual one, in float32, and no logit is written to HBM. The
backward pass recomputes the weights from the logarithm of their sum, as
FlashAttention does (arXiv 2205.14135).

Everything is transposed, tokens last: [e n] for a head. Tokens fill the lanes
of a vector where a head 64 wide would fill half of them, sums over keys are of
vectors and not within them, and statistics of queries are rows as they lie.
"""

import functools

import jax
import jax.numpy as jnp
from einops import rearrange
from jax.ad_checkpoint import checkpoint_name
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu
from jaxtyping import Array, Float

from models.nn.attention.ring import Blockwise
from models.sharding import per_shard, platform

# Entries of a vector register along its last axis; arrays are filled up to it.
LANES = 128
# 2 MiB of float32: keys, values and the sums of their gradients lie beside them
# in VMEM.
LOGITS = 2**19  # as many are there at once, or a few more
# Not -inf: what is subtracted from it stays a number.
HIDDEN = -1e30  # logit of a key that is not there
# More than the compiler gives a kernel by itself; all generations of the ladder
# compile with it (tests/models/nn/attention/test_tpu.py).
VMEM = 64 * 2**20


def attend(
  query: Float[Array, 'b q k e'],
  key: Float[Array, 'b n k e'],
  value: Float[Array, 'b n k e'],
) -> Float[Array, 'b q k e']:
  """softmax(query key' / sqrt(e)) value, in every head, shard by shard.

  Args:
    query: of q tokens.
    key: of n tokens.
    value: of the same n tokens.
  """
  turn = functools.partial(rearrange, pattern='b n k e -> b k e n')
  out = _heads(turn(query), turn(key), turn(value))
  return rearrange(out, 'b k e n -> b n k e')


_AXES = ('batch', 'heads', None, None)


@jax.custom_vjp
def _heads(query, key, value):
  """[b k e q], [b k e n], [b k e n] -> [b k e q]."""
  return _forward(query, key, value)[0]


def _forward(query, key, value):
  out, log_total = per_shard(_run_forward, [_AXES] * 3, [_AXES] * 2)(
    query, key, value
  )
  # The backward pass reads both, and must not run the kernel again for them.
  out = checkpoint_name(out, 'attended')
  log_total = checkpoint_name(log_total, 'attended')
  return out, (query, key, value, out, log_total)


def _backward(saved, gradient):
  return per_shard(_run_backward, [_AXES] * 6, [_AXES] * 3)(*saved, gradient)


_heads.defvjp(_forward, _backward)


def _run_forward(query, key, value):
  b, k, e, q = query.shape
  n = key.shape[-1]
  out = [
    jax.ShapeDtypeStruct((b, k, e, q), value.dtype),
    jax.ShapeDtypeStruct((b, k, 1, q), jnp.float32),
  ]
  return pl.pallas_call(
    functools.partial(_forward_kernel, q, n),
    grid=(b, k),
    in_specs=[_spec(x) for x in (query, key, value)],
    out_specs=[_spec(x) for x in out],
    out_shape=out,
    cost_estimate=_cost(2, query, key, value, *out),
    compiler_params=_PARAMS,
    # So that tests on a CPU compare the very kernel with `plain`.
    interpret=platform() != 'tpu',
    name='attention_rows',
  )(query, key, value)


def _run_backward(query, key, value, out, log_total, gradient):
  ins = query, key, value, out, log_total, gradient
  e, n = key.shape[2:]
  outs = [jax.ShapeDtypeStruct(x.shape, x.dtype) for x in ins[:3]]
  sums = pltpu.VMEM((_up(n), e), jnp.float32)
  return pl.pallas_call(
    functools.partial(_backward_kernel, query.shape[-1], n),
    grid=query.shape[:2],
    in_specs=[_spec(x) for x in ins],
    out_specs=[_spec(x) for x in outs],
    out_shape=outs,
    scratch_shapes=[sums, sums],
    cost_estimate=_cost(5, *ins, *outs),
    compiler_params=_PARAMS,
    interpret=platform() != 'tpu',
    name='attention_rows_backward',
  )(*ins)


# For a ring, which calls them inside `per_shard`.
BLOCKWISE = Blockwise('b k e n', _run_forward, _run_backward)


def _forward_kernel(q, n, query, key, value, out, log_total):
  keys = _seen(key[0, 0], n, 0).T
  values = _seen(value[0, 0], n, 0)

  def piece(start, size):
    at = pl.ds(start, size)
    logits = _logits(keys, _scaled(query[0, 0, :, at]), n)
    largest = logits.max(0, keepdims=True)
    weights = jnp.exp(logits - largest)
    # Keys are the rows: sums over them are of whole vectors.
    total = weights.sum(0, keepdims=True)
    y = _dot(values, weights.astype(values.dtype))
    out[0, 0, :, at] = (y / total).astype(out.dtype)
    log_total[0, 0, :, at] = largest + jnp.log(total)

  _pieces(q, n, piece)


def _backward_kernel(
  q, n, query, key, value, out, log_total, gradient, *results
):
  to_query, to_key, to_value, key_sum, value_sum = results
  transposed = _seen(key[0, 0], n, 0)
  keys = transposed.T
  values = _seen(value[0, 0], n, 0).T
  # Summed over the pieces in float32, and written once at the end.
  key_sum[...] = jnp.zeros_like(key_sum)
  value_sum[...] = jnp.zeros_like(value_sum)

  def piece(start, size):
    at = pl.ds(start, size)
    # Queries that are not there must add nothing to the sums.
    x, y, g, log = (
      _seen(each[0, 0, :, at], q, start)
      for each in (query, out, gradient, log_total)
    )
    x = _scaled(x)
    weights = jnp.exp(_logits(keys, x, n) - log)
    mean = jnp.sum(
      g.astype(jnp.float32) * y.astype(jnp.float32), 0, keepdims=True
    )
    # The softmax's own gradient, of weights that sum to 1; see xla.py.
    slope = (weights * (_dot(values, g) - mean)).astype(x.dtype)
    moved = _dot(transposed, slope) * x.shape[0] ** -0.5
    to_query[0, 0, :, at] = moved.astype(to_query.dtype)
    key_sum[...] += _dot(slope, x.T)
    value_sum[...] += _dot(weights.astype(g.dtype), g.T)

  _pieces(q, n, piece)
  to_key[0, 0] = key_sum[...].T.astype(to_key.dtype)
  to_value[0, 0] = value_sum[...].T.astype(to_value.dtype)


def _pieces(q, n, run):
  """Runs on all queries, some at a time; the last piece may be shorter."""
  # Two vectors of queries where their rows fit: fewer turns of the loop.
  size = LANES if 2 * LANES * n > LOGITS else 2 * LANES
  whole, rest = divmod(_up(q), size)

  if whole:

    @pl.loop(0, whole)
    def _(i):
      run(pl.multiple_of(i * size, size), size)

  if rest:
    run(whole * size, rest)


def _logits(keys, query, n):
  """[n q], out of sight where there is no key."""
  logits = _dot(keys, query)
  if logits.shape[0] == n:
    return logits
  row = jax.lax.broadcasted_iota(jnp.int32, logits.shape, 0)
  return jnp.where(row < n, logits, HIDDEN)


def _seen(x, count, start):
  """x [e n] with zeros for tokens from `count` on: memory there is garbage."""
  if isinstance(start, int) and start + x.shape[-1] <= count:
    return x
  token = start + jax.lax.broadcasted_iota(jnp.int32, x.shape, 1)
  return jnp.where(token < count, x, jnp.zeros_like(x))


def _scaled(query):
  """[e q] over sqrt(e): outside, it would be a copy of all queries."""
  wide = query.astype(jnp.float32) * query.shape[0] ** -0.5
  return wide.astype(query.dtype)


def _dot(a, b):
  # bfloat16 in, float32 out: what the matrix unit does without a loss.
  return jnp.matmul(a, b, preferred_element_type=jnp.float32)


def _spec(x):
  """One head of one example; tokens filled up to whole vectors."""
  block = (1, 1, x.shape[2], _up(x.shape[3]))
  return pl.BlockSpec(block, lambda b, k: (b, k, 0, 0))


def _cost(products, query, key, *others):
  """Work as the chip does it: lanes that padding fills count too."""
  b, k, e, q = query.shape
  pairs = b * k * _up(q) * _up(key.shape[3])
  arrays = (query, key, *others)
  return pl.CostEstimate(
    flops=2 * products * pairs * _up(e),
    transcendentals=pairs,
    bytes_accessed=sum(x.size * x.dtype.itemsize for x in arrays),
  )


def _up(size):
  return -(-size // LANES) * LANES


_PARAMS = pltpu.CompilerParams(
  # No head or example waits for another: a chip's two cores may share them.
  dimension_semantics=('parallel', 'parallel'),
  vmem_limit_bytes=VMEM,
)
