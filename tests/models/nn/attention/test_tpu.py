"""The kernel for TPUs: interpreted here, and compiled for each generation."""

import functools

import jax
import numpy as np
import pytest
from jax.extend import core as jex
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from launch.plan import compiler, topology
from models.nn import attention
from train import mesh as mesh_lib

SLICES = ('v4:2x2x1', 'v5e:2x2', 'v5p:2x2x1', 'v6e:2x2')


def pulled(query, key, value, gradient, *, name):
  """The result, and the gradients of the three."""
  run = functools.partial(attention.attend, implementation=name)
  out, pull = jax.vjp(run, query, key, value)
  return out, *pull(gradient)


def inputs(b, q, n, k, e, dtype='float32'):
  keys = jax.random.split(jax.random.key(1), 4)
  counts = (q, n, n, q)
  return [
    jax.random.normal(key, (b, count, k, e), dtype)
    for key, count in zip(keys, counts)
  ]


# Large products of bfloat16 do not run on CPUs without XLA's optimisation.
@pytest.mark.parametrize(
  ('dtype', 'atol', 'q', 'n', 'e'),
  [
    ('float32', 1e-5, 78, 78, 80),
    ('float32', 1e-5, 131, 131, 104),
    ('float32', 1e-5, 257, 640, 88),
    ('float32', 1e-5, 640, 9, 64),
    ('bfloat16', 3e-2, 78, 78, 80),
    ('bfloat16', 3e-2, 9, 130, 16),
  ],
)
def test_equals_plain(dtype, atol, q, n, e):
  given = inputs(1, q, n, 2, e, dtype)
  run = jax.jit(pulled, static_argnames='name')
  for mine, plain in zip(run(*given, name='rows'), run(*given, name='plain')):
    assert mine.dtype == plain.dtype == dtype
    mine, plain = mine.astype('float32'), plain.astype('float32')
    # Sums of 640 in another order: by their size, on some CPUs.
    np.testing.assert_allclose(mine, plain, rtol=atol, atol=atol)


def test_logits_far_from_zero_stay_finite():
  query, key, value, gradient = inputs(1, 40, 130, 1, 16)
  # All so negative that a key which is not there would outweigh the others.
  given = query * 0 - 10, key * 0 + 10, value, gradient
  for mine, plain in zip(
    pulled(*given, name='rows'), pulled(*given, name='plain')
  ):
    np.testing.assert_allclose(mine, plain, rtol=1e-4, atol=1e-3)


def test_shards_are_the_whole():
  given = inputs(4, 70, 150, 4, 16)
  expected = pulled(*given, name='rows')
  mesh = mesh_lib.make(replica=2, fsdp=2, tensor=2)
  place = NamedSharding(mesh, P(mesh_lib.BATCH_AXES, None, 'tensor', None))
  given = [jax.device_put(x, place) for x in given]
  with mesh_lib.use(mesh):
    run = jax.jit(pulled, static_argnames='name', out_shardings=place)
    found = run(*given, name='rows')
    program = run.lower(*given, name='rows').compile().as_text()
  for mine, whole in zip(found, expected):
    np.testing.assert_allclose(mine, whole, atol=1e-6)
  assert 'all-' not in program  # each device does its own rows and heads


def calls(jaxpr):
  """Names of the kernels that it runs for a result that something reads."""
  read = {id(each) for equation in jaxpr.eqns for each in equation.invars}
  read |= {id(each) for each in jaxpr.outvars}
  for equation in jaxpr.eqns:
    if equation.primitive.name == 'pallas_call':
      if any(id(each) in read for each in equation.outvars):
        yield equation.params['name']
    else:
      for inner in jex.jaxprs_in_params(equation.params):
        yield from calls(inner)


def test_the_backward_pass_does_not_run_the_forward_kernel_again():
  given = inputs(1, 40, 130, 1, 16)
  names = jax.checkpoint_policies.save_only_these_names('attended', 'qkv')

  def loss(query, key, value):
    y = attention.attend(query, key, value, implementation='rows')
    return (y**2).sum()

  run = jax.grad(jax.checkpoint(loss, policy=names), argnums=(0, 1, 2))
  kernels = list(calls(jax.make_jaxpr(run)(*given[:3]).jaxpr))
  assert kernels == ['attention_rows', 'attention_rows_backward']


@pytest.mark.slow
@pytest.mark.parametrize('name', SLICES)
@pytest.mark.parametrize(
  ('q', 'n', 'e'),
  [
    # The tokens that MAE's last blocks see, in the heads of each size; all
    # tokens of a clip; MooG's tokens, which look at a frame's, and pixels.
    *((862, 862, e) for e in (64, 80, 88, 104, 112, 128)),
    *((1568, 1568, e) for e in (64, 128)),
    *((1024, 4096, 64), (256, 1024, 64)),
  ],
)
def test_compiles(name, q, n, e, tpu_compiler):
  devices = compiler.devices(topology.parse(name))
  mesh = mesh_lib.make(replica=2, devices=devices)
  place = mesh_lib.batch_sharding(mesh)
  query, key = (
    jax.ShapeDtypeStruct((4, count, 2, e), 'bfloat16', sharding=place)
    for count in (q, n)
  )
  with mesh_lib.use(mesh):
    run = jax.jit(functools.partial(pulled, name='rows'))
    compiled = run.lower(query, key, key, query).compile()
  assert compiled.as_text().count('"tpu_custom_call"') == 2
