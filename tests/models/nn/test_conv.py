"""The convolution whose gradient is written by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from models.nn.conv import _conv, conv3x3


@pytest.mark.parametrize('stride', [1, 2, 3])
@pytest.mark.parametrize('size', [(6, 8), (7, 5)])
def test_value_and_gradient_are_those_of_xla(stride, size):
  rng = np.random.default_rng(0)
  x = jnp.asarray(rng.normal(size=(2, *size, 3)), jnp.float32)
  kernel = jnp.asarray(rng.normal(size=(3, 3, 3, 4)), jnp.float32)

  def loss(run):
    return lambda x, kernel: jnp.sum(jnp.sin(run(x, kernel, stride)))

  got = jax.jit(jax.value_and_grad(loss(conv3x3), (0, 1)))(x, kernel)
  want = jax.jit(jax.value_and_grad(loss(_conv), (0, 1)))(x, kernel)
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4),
    got,
    want,
  )
