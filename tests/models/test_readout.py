"""The attention readout: published counts, and a plain NumPy reference."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from models import sharding
from models.readout import AttentionReadout, fourier, resize_time


@pytest.fixture(scope='module', autouse=True)
def quick_to_compile():
  """These programs run once: compiling them well takes longer than they do."""
  jax.config.update('jax_disable_most_optimizations', True)
  yield
  jax.config.update('jax_disable_most_optimizations', False)


@pytest.mark.parametrize(
  ('width', 'heads', 'queries', 'outputs', 'channels', 'count'),
  [
    (768, 12, 1, 174, 1024, 7_041_966),  # the SSv2 classifier
    (1024, 16, 1, 700, 1024, 12_281_532),  # K700
    (1024, 16, 6272, 128, 768, 17_587_840),  # the published depth file's head
  ],
)
def test_parameter_counts_are_the_published_ones(
  width, heads, queries, outputs, channels, count
):
  head = AttentionReadout(
    frames=16, width=width, heads=heads, queries=queries, outputs=outputs
  )
  features = jax.ShapeDtypeStruct((1, 8, 6, channels), jnp.float32)
  params = jax.eval_shape(head.init, jax.random.key(0), features)['params']
  assert sum(leaf.size for leaf in jax.tree.leaves(params)) == count


@pytest.mark.parametrize(
  ('conditioning', 'copies', 'heads', 'outputs', 'count'),
  [
    (2, 8, 8, 8, 11_338_760),  # points of the MooG notebook
    (4, 1, 4, 64, 11_424_832),  # boxes
  ],
)
def test_tracking_heads_have_the_published_counts(
  conditioning, copies, heads, outputs, count
):
  head = AttentionReadout(
    frames=16,
    width=1024,
    heads=heads,
    outputs=outputs,
    conditioning=conditioning,
    copies=copies,
  )
  features = jax.ShapeDtypeStruct((1, 16, 6, 512), jnp.float32)
  asked = jax.ShapeDtypeStruct((1, 5, conditioning), jnp.float32)
  made = jax.eval_shape(head.init, jax.random.key(0), features, asked)
  assert sum(leaf.size for leaf in jax.tree.leaves(made['params'])) == count


def test_copies_of_a_query_are_neighbours_and_queries_are_independent():
  head = AttentionReadout(
    frames=6, outputs=5, width=12, heads=3, conditioning=2, copies=4
  )
  rng = np.random.default_rng(0)
  features = jnp.asarray(rng.normal(size=(2, 3, 4, 10)), jnp.float32)
  asked = jnp.asarray(rng.uniform(size=(2, 7, 2)), jnp.float32)
  params = jax.jit(head.init)(jax.random.key(1), features, asked)
  every = jax.jit(head.apply)(params, features, asked)
  alone = jax.jit(head.apply)(params, features, asked[:, 3:4])
  assert every.shape == (2, 28, 5)
  np.testing.assert_allclose(every[:, 12:16], alone, atol=1e-6)
  assert np.abs(np.diff(alone, axis=1)).max() > 1e-3


def test_fourier_features_are_the_same_compiled_to_the_last_wave():
  x = np.random.default_rng(0).random((5, 7, 2), dtype=np.float32)
  phase = (x * np.float32(np.pi))[..., None, :]
  phase = phase * np.float32(2) ** np.arange(16, dtype=np.float32)[:, None]
  phase = phase.reshape(5, 7, 32)
  phase = np.concatenate([phase, phase + np.float32(np.pi / 2)], axis=-1)
  want = np.sin(phase.astype(np.float64))
  np.testing.assert_allclose(fourier(jnp.asarray(x), 16), want, atol=1e-6)
  compiled = jax.jit(fourier, static_argnums=1)(x, 16)
  np.testing.assert_allclose(compiled, want, atol=1e-6)


def test_fourier_features_are_in_the_published_order():
  x = np.array([[0.3, -0.8]])
  scaled = np.concatenate([x * 2.0**i for i in range(3)], axis=1) * np.pi
  want = np.concatenate([np.sin(scaled), np.cos(scaled)], axis=1)
  np.testing.assert_allclose(fourier(jnp.asarray(x), 3), want, atol=1e-5)


def test_every_parameter_has_its_row_of_the_sharding_table():
  options = {'outputs': 5, 'frames': 6, 'width': 12, 'heads': 3}
  features = jax.ShapeDtypeStruct((1, 3, 4, 10), jnp.float32)
  asked = jax.ShapeDtypeStruct((1, 5, 2), jnp.float32)
  params = {
    'depth': AttentionReadout(queries=7, **options),
    'points': AttentionReadout(conditioning=2, copies=3, **options),
  }
  params = {
    task: jax.eval_shape(head.init, jax.random.key(0), features, asked)[
      'params'
    ]
    for task, head in params.items()
  }
  params = jax.tree.map(
    lambda x: jax.ShapeDtypeStruct((2, *x.shape), x.dtype), {'heads': params}
  )
  axes = sharding.logical_axes(params)['heads']['depth']
  assert axes['attention']['key']['kernel'] == (
    *(None, 'embed', 'heads', 'head_dim'),
  )
  rows = {
    sharding.row_of('/'.join(key.key for key in path))
    for path, _ in jax.tree_util.tree_leaves_with_path(params)
  }
  assert {sharding.TABLE[row] for row in rows} == set(sharding.READOUT)


@pytest.mark.parametrize('attention', ['plain', 'per_head'])
def test_equals_a_plain_numpy_reference(attention):
  head = AttentionReadout(
    queries=7,
    outputs=5,
    frames=6,
    width=12,
    heads=3,
    attention=attention,
    output_bias=2.5,
  )
  features = np.random.default_rng(0).normal(size=(2, 3, 4, 10))
  features = features.astype(np.float32)
  params = jax.jit(head.init)(jax.random.key(1), features)['params']
  # Biases and scales start at 0 and 1, which would hide a missing one.
  params = jax.tree.map(
    lambda p: p + 0.3 * np.random.default_rng(p.size).normal(size=p.shape),
    params,
  )
  got = jax.jit(head.apply)({'params': params}, jnp.asarray(features))
  want = _reference(jax.tree.map(np.asarray, params), features, 6, 3) + 2.5
  assert got.shape == (2, 7, 5)
  np.testing.assert_allclose(got, want, atol=2e-5)


def test_bfloat16_stays_close_and_answers_in_float32():
  options = {'queries': 7, 'outputs': 5, 'frames': 6, 'width': 12, 'heads': 3}
  features = jax.random.normal(jax.random.key(0), (2, 3, 4, 10))
  full = AttentionReadout(**options)
  params = jax.jit(full.init)(jax.random.key(1), features)
  half = AttentionReadout(dtype='bfloat16', **options)
  got = jax.jit(half.apply)(params, features.astype(jnp.bfloat16))
  assert got.dtype == jnp.float32
  np.testing.assert_allclose(
    got, jax.jit(full.apply)(params, features), atol=0.1
  )


def test_time_resize_drops_taps_outside_and_renormalises():
  ramp = jnp.arange(4, dtype=jnp.float32).reshape(1, 4, 1, 1)
  got = np.ravel(resize_time(ramp, 8))
  want = [_cubic(np.ravel(ramp), (i + 0.5) / 2 - 0.5) for i in range(8)]
  np.testing.assert_allclose(got, want, atol=1e-6)
  np.testing.assert_array_equal(resize_time(ramp, 4), ramp)


def test_refuses_heads_that_do_not_divide_the_width():
  head = AttentionReadout(queries=1, outputs=1, frames=2, width=10, heads=4)
  with pytest.raises(ValueError, match=r'head.width=10 .* head.heads=4'):
    jax.eval_shape(head.init, jax.random.key(0), jnp.zeros((1, 2, 3, 4)))


def _cubic(values, x):
  """Keys' cubic, a = -0.5, at position x among `values`."""
  d = np.abs(np.arange(len(values)) - x)
  near = 1.5 * d**3 - 2.5 * d**2 + 1
  far = -0.5 * d**3 + 2.5 * d**2 - 4 * d + 2
  weights = np.where(d < 1, near, np.where(d < 2, far, 0))
  return (weights * values).sum() / weights.sum()


def _layer_norm(x, p):
  x = x - x.mean(-1, keepdims=True)
  x = x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-6)
  return x * p['scale'] + p['bias']


def _reference(params, features, frames, heads):
  """The published formula, one clip and one head at a time."""
  steps = features.shape[1]
  positions = (np.arange(frames) + 0.5) * steps / frames - 0.5
  attention, mlp = params['attention'], params['mlp']
  outputs = []
  for clip in features:
    x = np.stack(
      [np.apply_along_axis(_cubic, 0, clip, position) for position in positions]
    )
    x = _layer_norm(x, params['norm'])
    x = x + params['posenc']['embeddings'][:, None]
    x = x.reshape(-1, x.shape[-1])
    query = params['query']['embeddings']
    y = query + attention['out']['bias']
    size = query.shape[-1] // heads
    for k in range(heads):
      keys, values = (
        x @ attention[name]['kernel'][:, k] + attention[name]['bias'][k]
        for name in ('key', 'value')
      )
      logits = query[:, k * size : (k + 1) * size] @ keys.T / np.sqrt(size)
      weights = np.exp(logits - logits.max(-1, keepdims=True))
      weights = weights / weights.sum(-1, keepdims=True)
      y = y + weights @ values @ attention['out']['kernel'][k]
    h = _layer_norm(y, params['mlp_norm'])
    h = h @ mlp['dense_in']['kernel'] + mlp['dense_in']['bias']
    h = 0.5 * h * (1 + np.tanh(np.sqrt(2 / np.pi) * (h + 0.044715 * h**3)))
    y = y + h @ mlp['dense_out']['kernel'] + mlp['dense_out']['bias']
    outputs.append(y @ params['output']['kernel'] + params['output']['bias'])
  return np.stack(outputs)
