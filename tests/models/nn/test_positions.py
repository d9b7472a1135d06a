"""Learned positions."""

import jax
import numpy as np
import pytest

from models.nn import positions


def test_one_embedding_per_place_in_reading_order():
  module = positions.Learned((2, 3, 5), 64)
  params = module.init(jax.random.key(0))
  table = params['params']['embeddings']
  assert table.shape == (2, 3, 5, 64)
  assert table.std() == pytest.approx(0.02, rel=0.05)
  flat = module.apply(params)
  assert flat.shape == (30, 64)
  np.testing.assert_array_equal(flat[1 * 15 + 2 * 5 + 4], table[1, 2, 4])
