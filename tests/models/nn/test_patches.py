"""Patches keep their order and come back."""

import jax.numpy as jnp
import numpy as np
import pytest

from models.nn import patches


def clip():
  shape = (2, 4, 6, 10, 3)
  return np.arange(np.prod(shape)).reshape(shape).astype(np.int32)


def test_patches_run_over_time_then_height_then_width():
  video, patch = clip(), (2, 3, 5)
  cut = np.asarray(patches.patchify(jnp.asarray(video), patch))
  assert cut.shape == (2, 8, 90)
  # Number 6 of the grid (2, 2, 2) is t=1, h=1, w=0.
  expected = video[1, 2:4, 3:6, 0:5].reshape(-1)
  np.testing.assert_array_equal(cut[1, 6], expected)


def test_unpatchify_is_the_inverse():
  video, patch = clip(), (2, 3, 5)
  cut = patches.patchify(jnp.asarray(video), patch)
  back = patches.unpatchify(cut, (2, 2, 2), patch)
  np.testing.assert_array_equal(back, video)


def test_bytes_become_unit_floats_and_floats_stay():
  unit = patches.to_unit(jnp.asarray([0, 51, 255], jnp.uint8), 'float32')
  np.testing.assert_allclose(unit, [0, 0.2, 1], rtol=1e-6)
  same = patches.to_unit(jnp.asarray([0.25, 1]), 'bfloat16')
  assert same.dtype == jnp.bfloat16
  np.testing.assert_array_equal(same.astype('float32'), [0.25, 1])


def test_take_picks_rows_of_every_example():
  items = jnp.arange(24).reshape(2, 4, 3)
  index = jnp.asarray([[3, 0], [1, 2]])
  taken = patches.take(items, index)
  np.testing.assert_array_equal(taken[0], items[0, jnp.asarray([3, 0])])
  np.testing.assert_array_equal(taken[1], items[1, jnp.asarray([1, 2])])


@pytest.mark.parametrize(
  ('size', 'patch', 'message'),
  [
    ((16, 225, 224), (2, 16, 16), 'height=225 is not a multiple of 16'),
    ((15, 224, 224), (2, 16, 16), 'frames=15 is not a multiple of 2'),
    ((16, 224, 224), (2, 16, 0), 'width=224 is not a multiple of 0'),
  ],
)
def test_a_patch_that_does_not_divide_is_refused(size, patch, message):
  with pytest.raises(ValueError, match=message):
    patches.grid(size, patch)
