"""Activations of wide models move as those of narrow ones do, with muP."""

import numpy as np
import pytest

from launch.scaling.coordinates import check


@pytest.fixture(scope='module')
def config(tiny_config):
  return tiny_config(
    **{'model.dim': 16, 'model.heads': 1, 'model.mlp': 32, 'model.depth': 3},
    # So few steps tell more of a rate that is not small.
    **{'optim.lr': 1e-2},
  )


@pytest.fixture(scope='module')
def clips(config):
  shape = 8, *(config['model'][key] for key in ('frames', 'height', 'width')), 3
  made = np.random.default_rng(0).integers(0, 256, (3, *shape), np.uint8)
  return [[{'video': video} for video in made]]


@pytest.fixture(scope='module')
def grown(config, clips):
  """By what power of the width each place moves, from 16 to 128."""
  walks = {
    key: check.moved(check.at_width(config, *key), clips)
    for key in ((16, 16, 'mup'), (128, 16, 'mup'), (128, 16, 'standard'))
  }
  narrow = walks[16, 16, 'mup']  # at the base both are one
  return {
    name: {
      place: check.growth(
        {16: narrow[place][0], 128: walks[128, 16, name][place][0]}
      )
      for place in check.PLACES
    }
    for name in check.PARAMETRISATIONS
  }


@pytest.mark.slow
def test_activations_move_alike_at_any_width(grown):
  assert all(abs(power) < 0.25 for power in grown['mup'].values()), grown


@pytest.mark.slow
def test_without_they_move_further_where_it_is_wider(grown):
  assert grown['standard']['features'] > 0.3
  assert grown['standard']['pixels'] > 0.7


def test_heads_stay_as_wide(config):
  found = check.at_width(config, 64, 16, 'mup')
  assert (found['model']['heads'], found['model']['mlp']) == (4, 128)
  with pytest.raises(ValueError, match='multiple of 16'):
    check.at_width(config, 40, 16, 'mup')


def test_a_power_of_the_width():
  found = {32: [1.0, 3.0], 64: [1.0, 6.0], 128: [1.0, 12.0]}
  assert check.growth(found) == pytest.approx(1.0)
