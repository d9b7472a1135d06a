"""FLOPs counted in the program."""

import jax
import jax.numpy as jnp

from evals.flops import forward_flops


def test_counts_products_in_scans_and_under_remat():
  @jax.checkpoint
  def layer(x, kernel):
    return jax.nn.gelu(x @ kernel), None

  def function(x, kernels):
    return jax.lax.scan(layer, x, kernels)[0].sum()

  x, kernels = jnp.zeros((3, 5, 7)), jnp.zeros((4, 7, 7))
  assert forward_flops(function, x, kernels) == 4 * 2 * 3 * 5 * 7 * 7


def test_contracts_the_right_axes():
  a = jax.ShapeDtypeStruct((2, 3, 5), jnp.float32)
  b = jax.ShapeDtypeStruct((2, 7, 5), jnp.float32)
  flops = forward_flops(lambda a, b: jnp.einsum('bqe,bne->bqn', a, b), a, b)
  assert flops == 2 * 2 * 3 * 7 * 5


def test_convolutions_count():
  def run(x, kernel):
    return jax.lax.conv_general_dilated(
      *(x, kernel, (2, 2), 'SAME'), dimension_numbers=('NHWC', 'HWIO', 'NHWC')
    )

  flops = forward_flops(run, jnp.zeros((5, 8, 12, 3)), jnp.zeros((3, 3, 3, 7)))
  assert flops == 2 * (5 * 4 * 6 * 7) * (3 * 3 * 3)
