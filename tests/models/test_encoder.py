"""Encoders of others are read out alone, of pixels that are what they say."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from models import objective
from tests.models import recipes

NAMES = sorted(recipes.ENCODERS)


def made(name, **changes):
  return objective.make(name, **recipes.ENCODERS[name] | changes)


def clips(encoder, count=2):
  rng = np.random.default_rng(0)
  shape = (count, *encoder.clip, 3)
  return jnp.asarray(rng.integers(0, 256, shape, np.uint8))


@pytest.fixture(scope='module', params=NAMES)
def started(request):
  encoder = made(request.param)
  batch = {'video': clips(encoder), 'row': np.arange(2, dtype=np.uint32)}
  return encoder, encoder.init(jax.random.key(0), batch), batch


def test_it_is_an_objective_that_is_not_pretrained(started):
  encoder, params, batch = started
  assert isinstance(encoder, objective.Objective)
  message = f"model.name='{encoder.name}' is an encoder that is read out"
  with pytest.raises(ValueError, match=message):
    encoder.loss(params, batch, jax.random.key(0))
  assert encoder.pictures(params, batch, jax.random.key(0)) == {}
  options = {'name': encoder.name, **recipes.ENCODERS[encoder.name]}
  assert objective.for_readouts(**options) == options


def test_channels_first_are_refused(started):
  encoder, _, batch = started
  for order in ((0, 1, 4, 2, 3), (0, 4, 1, 2, 3)):
    with pytest.raises(ValueError, match=r'\[b t h w 3\].*move its channels'):
      encoder.check(batch['video'].transpose(order))


def test_another_size_is_refused(started):
  encoder, params, batch = started
  with pytest.raises(ValueError, match=r'takes video .*resize it'):
    encoder.features(params, batch['video'][:, :, :, :-4])
  with pytest.raises(ValueError, match='takes video of uint8 or of floats'):
    encoder.features(params, batch['video'].astype(np.int32))


@pytest.mark.parametrize('scale', [255, -1])
def test_floats_beyond_0_to_1_are_refused_or_nan(scale, started):
  """0 to 255 as floats, or less a mean."""
  encoder, params, batch = started
  video = np.float32(scale) * (batch['video'] / np.float32(255))
  with pytest.raises(ValueError, match=r'takes floats in \[0, 1\], got'):
    encoder.features(params, video)
  video = video.at[0].set(0.5)  # of the first clip nothing is wrong
  tokens = jax.jit(encoder.features)(params, video).tokens
  assert np.isfinite(tokens[0]).all()
  assert np.isnan(tokens[1]).all()


def test_bytes_and_floats_are_the_same_pixels(started):
  encoder, params, batch = started
  one = encoder.features(params, batch['video'], depth=1.0).tokens
  other = encoder.features(params, batch['video'] / np.float32(255), depth=1.0)
  np.testing.assert_allclose(one, other.tokens, atol=1e-5)


def test_depth_names_a_hidden_state(started):
  encoder, params, batch = started
  # Of a list of 4, as many as there are blocks and one.
  assert [encoder.hidden_state(x) for x in (0.25, 0.5, 0.95, 1.0)] == [
    0,
    1,
    2,
    3,
  ]
  for depth in (0.2, 1.3):
    with pytest.raises(ValueError, match=f'depth={depth} names hidden state'):
      encoder.features(params, batch['video'], depth=depth)
  assert encoder.says(0.95) == (
    'hidden state 2 of 0 to 3, before block 2 and any last norm'
  )
  assert encoder.says(1.0) == 'hidden state 3 of 0 to 3, behind the last norm'


@pytest.mark.parametrize(
  'changes',
  [{'scan': False}, {'remat': 'full'}, {'attention': 'plain'}],
  ids=str,
)
def test_how_it_runs_changes_nothing(changes, started):
  encoder, params, batch = started

  def total(encoder):
    def run(params):
      tokens = encoder.features(params, batch['video'], depth=1.0).tokens
      return jnp.sum(jnp.sin(tokens))

    return jax.jit(jax.value_and_grad(run))(params)

  one, other = total(encoder), total(made(encoder.name, **changes))
  for x, y in zip(*map(jax.tree.leaves, (one, other))):
    np.testing.assert_allclose(x, y, atol=1e-4)


def test_flops_are_of_three_passes(started):
  encoder, _, batch = started
  counted = encoder.flops(batch)
  assert sorted(counted) == ['encoder', 'patchify']
  (t, h, w), size = encoder.grid, encoder.size
  d, m = size.width, size.mlp
  if encoder.name == 'dinov2':
    # Frames alone, each with a class token and two registers; gated MLPs.
    n = h * w + 3
    per_block = t * n * (4 * d * d + 3 * d * m + 2 * n * d)
  else:
    n = t * h * w
    per_block = n * (4 * d * d + 2 * d * m + 2 * n * d)
  assert counted['encoder'] == 2 * 3 * 2 * size.depth * per_block


def test_frames_of_a_dinov2_do_not_see_each_other():
  encoder = made('dinov2')
  video = clips(encoder)
  params = encoder.init(jax.random.key(0), {'video': video})
  one = encoder.features(params, video).tokens
  other = encoder.features(params, video.at[:, 1].set(0)).tokens
  np.testing.assert_array_equal(one[:, ::2], other[:, ::2])
  assert np.abs(one[:, 1] - other[:, 1]).max() > 0.01
