"""Scaled dot-product attention: one function, several implementations.

All are equal in value and gradient; they differ in what they keep in memory
and in the order of the work. `resolve` is the one place that chooses.
"""

from collections.abc import Callable

from jax.ad_checkpoint import checkpoint_name
from jaxtyping import Array, Float

from base.names import choose
from models.nn.attention import ring, xla
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
    # Before the product, as published: queries are fewer than logits.
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
  # By platform, since what is fast on one is slow on another: CPUs want a
  # head's logits in cache, TPUs no logits in HBM.
  if implementation == 'auto':
    # Their logits are small, whatever makes them.
    if tokens <= _SHORT:
      return 'plain'
    kernel = 'rows' if tokens <= _LONG else 'chunked'
    return {'cpu': 'per_head', 'tpu': kernel}.get(platform(), 'plain')
  return choose('model.attention', implementation, ('auto', *IMPLEMENTATIONS))


def _rows(query, key, value):
  """The kernel for TPUs; elsewhere interpreted, for tests."""
  from models.nn.attention import tpu

  return tpu.attend(query, key, value)


def _blockwise(name):
  """The implementation of that name, for one block of the keys."""
  if name == 'rows':
    from models.nn.attention import tpu

    return tpu.BLOCKWISE
  return xla.BLOCKWISE[name]


IMPLEMENTATIONS: dict[str, Callable] = {
  'plain': xla.plain,
  'per_head': xla.per_head,
  'chunked': xla.chunked,
  'rows': _rows,
}
