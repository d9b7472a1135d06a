"""A tiny masked autoencoder and its batch, t != h != w."""

import functools

import jax
import numpy as np
import pytest

from tests.models import recipes


def _make(**changes):
  options = {
    'dim': 16,
    'depth': 4,
    'mlp': 24,
    'heads': 2,
    'frames': 4,
    'height': 8,
    'width': 12,
    'patch': (2, 4, 2),  # a grid of 2 x 2 x 6
    'output_patch': (4, 4, 4),  # 1 x 2 x 3
    'mask_ratio': 0.75,  # 6 of 24 are seen
  }
  return recipes.mae(**(options | changes))


@pytest.fixture(scope='session')
def small():
  """A function of changed options: tests share what they do not change."""
  return _make


@pytest.fixture(scope='session')
def batch():
  """Three clips of bytes."""
  video = np.random.default_rng(0).integers(
    0, 256, (3, 4, 8, 12, 3), dtype=np.uint8
  )
  rows = np.arange(3, dtype=np.uint32)
  return {'video': jax.numpy.asarray(video), 'row': jax.numpy.asarray(rows)}


@pytest.fixture(scope='session')
def params(batch):
  """Parameters with no zeros among them, so that biases matter."""
  made = jax.eval_shape(_make().init, jax.random.key(0), batch)
  leaves, tree = jax.tree.flatten(made)
  rng = np.random.default_rng(1)
  values = [rng.normal(0, 0.3, leaf.shape) for leaf in leaves]
  return tree.unflatten([jax.numpy.asarray(v, 'float32') for v in values])


@functools.cache
def _grad(objective):
  return jax.jit(jax.value_and_grad(objective.loss, has_aux=True))


@pytest.fixture(scope='session')
def grad():
  """(objective, params, batch) -> loss and gradient, compiled once each."""

  def run(objective, params, batch, seed=2):
    (loss, _), gradient = _grad(objective)(params, batch, jax.random.key(seed))
    return loss, gradient

  return run
