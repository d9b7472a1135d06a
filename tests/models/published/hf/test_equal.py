"""Encoders are the published ones: beside forward passes in NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.models.published.hf import folders, reference
from tests.models.published.hf.conftest import loaded

CASES = [
  ('videomae', ()),
  # Fine-tuned: no norm behind the last block.
  ('videomae', (('use_mean_pooling', True),)),
  ('vjepa2', ()),
  ('dinov2', ()),
  ('dinov2', (('use_swiglu_ffn', True),)),
  ('dinov2_with_registers', ()),
]


def depth_of(index, blocks):
  return (index + 1.5) / (blocks + 1) if index < blocks else 1.0


def difference(got, expected):
  """The largest, over the root mean square of what is expected."""
  expected = np.asarray(expected, np.float64)
  return np.abs(got - expected).max() / np.sqrt(np.mean(expected**2))


@pytest.mark.parametrize(('family', 'changes'), CASES, ids=str)
def test_every_hidden_state(family, changes, encoder):
  made, params, config = encoder(family, **dict(changes))
  clips = folders.video(family)
  weights = folders.arrays(family, **dict(changes))
  states = reference.hidden_states(
    family, weights, config, folders.normalised(clips)
  )
  blocks = config['num_hidden_layers']
  assert len(states) == blocks + 1
  for index, expected in enumerate(states):
    depth = depth_of(index, blocks)
    assert made.hidden_state(depth) == index
    got = made.features(params, jnp.asarray(clips), depth=depth).tokens
    b, t, n, d = got.shape
    assert (b, t) == (len(clips), made.grid[0])
    assert difference(got.reshape(b, t * n, d), expected) < 1e-5
  # Floats in [0, 1] are the same pixels.
  same = made.features(params, jnp.asarray(clips / 255, 'float32'), depth=1.0)
  assert difference(same.tokens.reshape(expected.shape), expected) < 1e-5


@pytest.mark.parametrize('family', folders.CONFIGS)
def test_the_gradient_along_any_direction(family, encoder, tmp_path):
  """Of all weights at once: ours, and differences of NumPy's forward pass."""
  made, params, config = encoder(family)
  clips = folders.video(family)
  pixels = folders.normalised(clips)
  weights, moved = folders.arrays(family), folders.arrays(family, seed=1)
  # These are multiplied with others, of which ours are not affine.
  moved |= {name: x for name, x in weights.items() if 'lambda' in name}
  direction = np.random.default_rng(5).normal(size=made.size.width)

  def there(step):
    at = {k: x + step * (moved[k] - x.astype('f8')) for k, x in weights.items()}
    states = reference.hidden_states(family, at, config, pixels)
    return np.tanh(states[-1] @ direction / 5).mean()

  def here(params):
    tokens = made.features(params, jnp.asarray(clips), depth=1.0).tokens
    return jnp.tanh(tokens @ jnp.asarray(direction, 'float32') / 5).mean()

  # Ours are affine in theirs, along which they lie as far.
  path = folders.save(tmp_path / 'x', family, moved)
  _, other = loaded(path, **folders.clip(family))
  gradient = jax.grad(here)(params)
  along = sum(
    np.vdot(np.asarray(g, 'f8'), np.asarray(y, 'f8') - np.asarray(x, 'f8'))
    for g, x, y in zip(*map(jax.tree.leaves, (gradient, params, other)))
  )
  expected = (there(1e-5) - there(-1e-5)) / 2e-5
  assert abs(expected) > 1e-3
  np.testing.assert_allclose(along, expected, rtol=1e-4)
