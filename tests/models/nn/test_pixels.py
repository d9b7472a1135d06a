"""Which pixels are asked for, and where they are."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from models.moog.frames import grid_fourier
from models.nn import pixels


@pytest.mark.parametrize('factor', [1, 2, 4, 3])
def test_pixels_are_those_of_roll_and_resize(factor):
  rng = np.random.default_rng(0)
  frames = jnp.asarray(rng.normal(size=(2, 12, 24, 3)), jnp.float32)
  shifts = jnp.asarray(rng.integers(0, factor, (2, 2)))
  rows, columns = pixels.places(shifts, (12, 24), factor)
  got = pixels.pick(frames, rows, columns)
  for frame, shift, part in zip(frames, shifts, got):
    rolled = jnp.roll(frame, shift, (0, 1))
    shape = (12 // factor, 24 // factor, 3)
    want = jax.image.resize(rolled, shape, 'nearest')
    np.testing.assert_array_equal(part, want)


def test_shifts_differ_between_clips_and_frames():
  keys = jax.random.split(jax.random.key(2), 40)
  shifts = np.asarray(pixels.draw(keys, 4, 4))
  assert set(np.unique(shifts)) == {0, 1, 2, 3}
  assert (shifts[:, 0] != shifts[:, 1]).any()
  assert (shifts[0] != shifts[1]).any()


def test_the_places_of_pixels_are_those_of_a_compiled_linspace():
  """At the shortest wavelengths a rounding of the place is a tenth."""

  @jax.jit
  def published():
    grid = [jnp.linspace(-1.0, 1.0, n) for n in (12, 20)]
    grid = jnp.stack(jnp.meshgrid(*grid, indexing='ij'), -1) * jnp.pi
    angle = jnp.concatenate([2**i * grid for i in range(20)], -1)
    return jnp.sin(jnp.concatenate([angle, angle + jnp.pi / 2], -1))

  np.testing.assert_allclose(published(), grid_fourier(12, 20, 20), atol=1e-6)
