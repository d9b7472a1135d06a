"""Turns of queries and keys, channel by channel."""

import jax.numpy as jnp
import numpy as np

from models.nn.rotary import Rotary


def test_each_channel_is_turned_as_it_was_trained():
  """Heads of 64: three runs of 20 channels, and 4 that are left."""
  grid = (2, 3, 4)
  x = np.random.default_rng(0).normal(size=(2, 24, 3, 64)).astype(np.float32)
  got = Rotary(grid)(jnp.asarray(x))
  expected = np.array(x, np.float64)
  for n, place in enumerate(np.ndindex(grid)):
    for c in range(60):
      run, at = divmod(c, 20)
      # Tiled, not interleaved: the two of a pair have different angles.
      angle = place[run] * 10000 ** (-(at % 10) / 10)
      other = x[:, n, :, c - 1] if c % 2 else -x[:, n, :, c + 1]
      expected[:, n, :, c] = x[:, n, :, c] * np.cos(angle)
      expected[:, n, :, c] += other * np.sin(angle)
  np.testing.assert_allclose(got, expected, atol=1e-5)
  np.testing.assert_array_equal(got[..., 60:], x[..., 60:])


def test_it_is_of_the_dtype_of_what_it_turns():
  x = jnp.ones((1, 4, 1, 16), jnp.bfloat16)
  assert Rotary((1, 2, 2))(x).dtype == jnp.bfloat16
