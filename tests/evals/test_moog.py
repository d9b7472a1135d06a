"""Readouts of a recurrent backbone, frozen and fine-tuned."""

import jax
import numpy as np
import pytest

from tests.evals import recipes as readouts
from tests.models import recipes

# The readout of 4DS, and MooG's own of pixels.
HEADS = {
  'attention': {'width': 16, 'heads': 2},
  'dense': {
    **{'readout': 'dense', 'layers': 1, 'heads': 2, 'head_dim': 4, 'mlp': 8},
    **{'subsample': 4, 'eval_subsample': 4},
  },
}


@pytest.fixture(scope='module')
def pretraining(pretraining):
  """That of a tiny MooG."""
  sizes = ('frames', 'height', 'width')
  model = {key: pretraining['model'][key] for key in sizes}
  model = recipes.MOOG | model
  model |= {'name': 'moog', 'variant': 'B', 'tokens': 6, 'dim': 16}
  model |= {'channels': (8, 16), 'strides': (2, 2), 'head_dim': 8, 'mlp': 32}
  for part in ('predictor', 'corrector', 'decoder'):
    model |= {f'{part}_layers': 1, f'{part}_heads': 2}
  model |= {'encoder_bases': 2, 'decoder_bases': 2, 'start_std': 0.3}
  return pretraining | {'model': model | {'subsample': 4}}


@pytest.fixture(
  scope='module',
  params=['dense', pytest.param('attention', marks=pytest.mark.slow)],
)
def train_with(request, train):
  """Trains a readout of depth with one kind of head."""
  options = readouts.options('depth', start=3.0, **HEADS[request.param])
  return lambda **changes: train(tasks={'depth': options}, **changes)


@pytest.fixture(scope='module')
def frozen(train_with):
  return train_with()


@pytest.fixture(scope='module')
def tuned(train_with):
  return train_with(finetune=0.5)


def moved(params, pretrained):
  return jax.tree.map(
    lambda x, y: np.abs(x - y).max(), params['backbone'], pretrained
  )


def test_a_frozen_backbone_stays_bitwise(frozen, pretrained):
  result, params = frozen
  assert max(jax.tree.leaves(moved(params, pretrained))) == 0
  assert result['tasks']['depth']['clips'] == 13


@pytest.mark.slow
def test_fine_tuning_moves_what_tokens_are_made_of(tuned, pretrained):
  _, params = tuned
  parts = moved(params, pretrained)
  for part in ('encoder', 'predictor', 'corrector'):
    assert max(jax.tree.leaves(parts[part])) > 1e-4, part
  # Three steps at half of 1e-2, about, and the decay of weights.
  assert max(jax.tree.leaves(parts)) < 0.5 * 3 * 1.5e-2
