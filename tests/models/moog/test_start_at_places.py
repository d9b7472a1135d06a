"""Tokens that start at places, and attention that looks there."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from models.moog import pictures
from models.moog.frames import pixel_fourier
from models.moog.start_at_places import spread
from tests.models import recipes


@pytest.mark.parametrize('variant', ['A', 'B'])
def test_what_starts_at_places_looks_where_it_is(variant):
  """A pixel's strongest token is the one it is next to, before any training."""
  objective = recipes.moog(
    **{'variant': variant, 'start': 'places', 'tokens': 16, 'dim': 64},
    **{'height': 16, 'width': 16, 'channels': (8, 64), 'head_dim': 32},
    **{'strides': (2, 2), 'encoder_bases': 3, 'decoder_bases': 3},
    **{'predictor_layers': 1, 'predictor_heads': 1, 'decoder_layers': 2},
    **{'corrector_layers': 1, 'corrector_heads': 2, 'mlp': 14, 'frames': 4},
    **{'subsample': 4, 'eval_subsample': 2},
  )
  video = jnp.full((1, objective.frames, 16, 16, 3), 128, jnp.uint8)
  params = jax.jit(objective.init)(jax.random.key(0), {'video': video})
  middles = jnp.arange(4)[None] * 4 + 2  # of 4 x 4 squares
  states = jax.jit(objective.decoded)(params, video)
  looks = jax.jit(functools.partial(pictures.looks, objective.cell))
  for state in states[:2]:
    _, weights = looks(params, state, middles, middles)
    np.testing.assert_array_equal(weights[0].argmax(-1), np.arange(16))
    assert jnp.diagonal(weights[0]).mean() > 0.5


def test_places_need_wavelengths_of_the_encoder():
  with pytest.raises(ValueError, match='decoder_bases=4 must not be above'):
    recipes.moog(start='places', encoder_bases=3, decoder_bases=4)


def test_places_are_spread_over_the_frame_as_evenly_as_may_be():
  """8 tokens for 2 x 4 squares of a frame that is twice as wide as high."""
  got = spread(8, (16, 32), 3)
  want = pixel_fourier(
    jnp.array([4, 12]), jnp.array([4, 12, 20, 28]), (16, 32), 3
  )
  np.testing.assert_array_equal(got, want.reshape(8, 12))
