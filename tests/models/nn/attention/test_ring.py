"""Keys that go round in a ring give what keys in one place give."""

import functools

import jax
import numpy as np
import pytest
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from models.nn import attention
from models.nn.attention import xla
from train import mesh as mesh_lib


def pulled(query, key, value, gradient, *, name):
  """The result, and the gradients of the three."""
  run = functools.partial(attention.attend, implementation=name, over='tokens')
  out, pull = jax.vjp(run, query, key, value)
  return out, *pull(gradient)


def inputs(b, q, n, k, e):
  keys = jax.random.split(jax.random.key(1), 4)
  counts = (q, n, n, q)
  return [
    jax.random.normal(key, (b, count, k, e)) for key, count in zip(keys, counts)
  ]


@pytest.mark.parametrize('name', attention.IMPLEMENTATIONS)
def test_equals_attention_in_one_place(name):
  given = inputs(2, 12, 20, 2, 8)
  expected = pulled(*given, name='plain')
  mesh = mesh_lib.make(fsdp=2, sequence=4)
  place = NamedSharding(mesh, P(mesh_lib.BATCH_AXES, 'sequence'))
  given = [jax.device_put(x, place) for x in given]
  with mesh_lib.use(mesh):
    run = jax.jit(functools.partial(pulled, name=name), out_shardings=place)
    compiled = run.lower(*given).compile()
    found = compiled(*given)
  for mine, whole in zip(found, expected):
    np.testing.assert_allclose(mine, whole, rtol=1e-4, atol=1e-5)
  program = compiled.as_text()
  assert 'collective-permute' in program
  assert 'all-' not in program  # no chip sees all keys at once


def test_queries_in_pieces_are_those_at_once():
  query, key, value, gradient = (
    x.swapaxes(1, 2) for x in inputs(2, 11, 7, 3, 4)
  )

  @functools.partial(jax.jit, static_argnums=(0, 1))
  def both(forward, backward):
    out, log_total = forward(query, key, value)
    saved = query, key, value, out, log_total, gradient
    return out, log_total, *backward(*saved)

  plain = xla.BLOCKWISE['plain']
  pieces = [
    functools.partial(function, chunk=4)
    for function in (xla._chunked_forward, xla._chunked_backward)
  ]
  for mine, theirs in zip(
    both(*pieces), both(plain.forward, plain.backward), strict=True
  ):
    np.testing.assert_allclose(mine, theirs, rtol=1e-4, atol=1e-5)


def test_parts_that_do_not_divide_the_tokens_are_refused():
  mesh = mesh_lib.make(fsdp=2, sequence=4)
  with (
    mesh_lib.use(mesh),
    pytest.raises(ValueError, match='18 keys must be divisible by 4'),
  ):
    pulled(*inputs(2, 12, 18, 2, 8), name='plain')
