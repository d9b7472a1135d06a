"""Kernels are those of the machine that a step is compiled for, not of ours."""

import functools

import jax
import jax.numpy as jnp
import pytest

from models.nn import attention, layers
from models.nn.attention import tpu
from models.nn.conv import conv3x3
from tests.models import recipes


def traced(function, *shapes):
  """The program that runs on this machine, and that of a TPU, as text.

  Traced anew each time: JAX remembers what it traced by its function.
  """
  given = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes]
  here = jax.make_jaxpr(lambda *x: function(*x))(*given)
  with jax.sharding.use_abstract_mesh(recipes.MESH_OF_TPUS):
    there = jax.make_jaxpr(lambda *x: function(*x))(*given)
  return str(here), str(there)


def test_attention_is_that_of_the_mesh():
  assert attention.resolve('auto', 1000) == 'per_head'
  with jax.sharding.use_abstract_mesh(recipes.MESH_OF_TPUS):
    assert attention.resolve('auto', 1000) == 'rows'


def test_the_kernel_of_tpus_is_interpreted_elsewhere():
  shape = 1, 256, 2, 64
  backward = jax.grad(lambda *x: tpu.attend(*x).sum(), argnums=(0, 1, 2))
  here, there = traced(backward, shape, shape, shape)
  assert 'attention_rows_backward' in there
  for program, interpreted in ((here, True), (there, False)):
    assert f'interpret={interpreted}' in program
    assert f'interpret={not interpreted}' not in program


@pytest.mark.parametrize(
  ('function', 'shapes'),
  [
    (functools.partial(conv3x3, stride=1), [(2, 4, 6, 3), (3, 3, 3, 5)]),
    (recipes.mae(size='tiny')._target, [(2, 784, 1536)]),
  ],
  ids=['conv3x3', 'target'],
)
def test_what_a_tpu_must_not_fuse_is_fenced_there(function, shapes):
  here, there = traced(function, *shapes)
  assert 'optimization_barrier' not in here
  assert 'optimization_barrier' in there


def test_tokens_are_merged_with_the_batch_on_cpus_alone():
  """On TPUs every token would move."""
  here, there = traced(layers.affine, (2, 6, 8), (8, 12), (12,))
  assert 'reshape' in here
  assert 'reshape' not in there
