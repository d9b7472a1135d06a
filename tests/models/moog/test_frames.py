"""Places of pixels, as the published weights know them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from models.moog import frames


# Of 48 alone the last place would round to something below 1.
@pytest.mark.parametrize('size', [1, 2, 41, 48, 256])
def test_places_are_rounded_as_they_were_for_published_weights(size):
  bases = 20
  place = np.asarray(jax.jit(lambda: jnp.linspace(-1, 1, size))())
  angle = (place * np.float32(np.pi))[:, None] * np.float32(2) ** np.arange(
    bases, dtype=np.float32
  )
  found = frames.waves(size, bases)
  assert found.shape == (size, 2, bases)
  np.testing.assert_allclose(found[:, 0], np.sin(np.float64(angle)), atol=1e-6)
