"""MooG: both published graphs, time, causality, draws and what it costs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from models import moog
from tests.models import moog_reference as reference


def make(**changes):
  """A tiny model, t != h != w, with few wavelengths: no rounding matters."""
  options = {
    'frames': 5,
    'height': 8,
    'width': 12,
    'tokens': 7,
    'dim': 10,
    'channels': (4, 6),
    'strides': (2, 1),
    'predictor_layers': 2,
    'predictor_heads': 1,
    'corrector_layers': 2,
    'corrector_heads': 2,
    'decoder_layers': 2,
    'decoder_heads': 2,
    'head_dim': 6,
    'mlp': 14,
    'encoder_bases': 3,
    'decoder_bases': 2,
    'start_std': 0.5,
  }
  return moog.make(**(options | changes))


@pytest.fixture(scope='module')
def batch():
  video = np.random.default_rng(0).integers(
    0, 256, (3, 5, 8, 12, 3), dtype=np.uint8
  )
  rows = np.arange(3, dtype=np.uint32)
  return {'video': jnp.asarray(video), 'row': jnp.asarray(rows)}


def params_of(objective, batch):
  """Parameters with no zeros among them, so that biases matter."""
  made = jax.eval_shape(objective.init, jax.random.key(0), batch)
  leaves, tree = jax.tree.flatten(made)
  rng = np.random.default_rng(1)
  values = [rng.normal(0, 0.3, leaf.shape) for leaf in leaves]
  return tree.unflatten([jnp.asarray(v, jnp.float32) for v in values])


def reference_run(objective, params, clip, state):
  """Per frame: the state decoded from, and what readouts see; and the last."""
  variant, encoder = objective.variant, objective.encoder
  params = jax.tree.map(lambda x: np.asarray(x, np.float64), params)
  state, decoded, read = np.asarray(state, np.float64), [], []
  for frame in np.asarray(clip) / 255:
    seen = reference.encode(
      frame, params['encoder'], encoder.strides, encoder.bases
    )
    before, scale = state, params['state_norm']['scale']
    if variant.norm == 'incoming':
      state = reference.norm(state, scale, 1e-4)
    ahead = state + reference.transformer(state, params['predictor'])
    state = ahead + reference.transformer(ahead, params['corrector'], seen)
    if variant.norm == 'corrected':
      state = reference.norm(state, scale, 1e-4)
    decoded.append(ahead if variant.decode == 'predicted' else before)
    read.append(
      np.concatenate([ahead, state]) if variant.read == 'both' else state
    )
  return np.stack(decoded), np.stack(read), state


@pytest.mark.parametrize('variant', ['A', 'B'])
def test_features_are_the_published_graph(variant, batch):
  objective = make(variant=variant)
  params = params_of(objective, batch)
  state = np.random.default_rng(2).normal(size=(3, 7, 10)).astype(np.float32)
  got = jax.jit(objective.features)(params, batch['video'], state=state)
  for clip, start, tokens, end in zip(batch['video'], state, *got):
    _, want, last = reference_run(objective, params, clip, start)
    np.testing.assert_allclose(tokens, want, rtol=1e-4, atol=2e-4)
    np.testing.assert_allclose(end, last, rtol=1e-4, atol=2e-4)


@pytest.mark.parametrize(
  ('options', 'count'),
  [
    ({'variant': 'A'}, 34_726_787),
    ({'variant': 'B'}, 35_193_811),
  ],
  ids=str,
)
def test_parameter_counts_are_the_published_ones(options, count):
  objective = moog.make(**options)
  clips = {'video': jax.ShapeDtypeStruct((1, 8, 128, 128, 3), np.uint8)}
  params = jax.eval_shape(objective.init, jax.random.key(0), clips)
  assert sum(leaf.size for leaf in jax.tree.leaves(params)) == count
  if options['variant'] == 'B':
    # What the published weights hold without their decoder.
    del params['decoder']
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) == 19_337_680


def test_the_places_of_pixels_are_those_of_a_compiled_linspace():
  """At the shortest wavelengths a rounding of the place is a tenth."""
  from models.moog_layers import grid_fourier

  @jax.jit
  def published():
    grid = [jnp.linspace(-1.0, 1.0, n) for n in (12, 20)]
    grid = jnp.stack(jnp.meshgrid(*grid, indexing='ij'), -1) * jnp.pi
    angle = jnp.concatenate([2**i * grid for i in range(20)], -1)
    return jnp.sin(jnp.concatenate([angle, angle + jnp.pi / 2], -1))

  np.testing.assert_allclose(published(), grid_fourier(12, 20, 20), atol=1e-6)
