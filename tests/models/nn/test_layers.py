"""The leaves of the transformer, against NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from models.nn import layers


def test_layer_norm_is_population_variance_and_1e_6():
  x = np.random.default_rng(0).normal(2, 3, (2, 3, 8)).astype(np.float32)
  x = jnp.asarray(x)
  scale, bias = np.arange(8.0), np.arange(8.0) / 3
  params = {'scale': jnp.asarray(scale), 'bias': jnp.asarray(bias)}
  out = layers.LayerNorm().apply({'params': params}, x)
  centred = x - x.mean(-1, keepdims=True)
  deviation = np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-6)
  np.testing.assert_allclose(out, centred / deviation * scale + bias, atol=1e-5)


def test_layer_norm_counts_in_float32():
  x = 100 + jnp.linspace(-1, 1, 64, dtype=jnp.bfloat16)[None]
  norm = layers.LayerNorm('bfloat16')
  out = norm.apply(norm.init(jax.random.key(0), x), x)
  assert out.dtype == jnp.bfloat16
  expected = np.asarray(x, np.float64)
  expected = (expected - expected.mean()) / expected.std()
  np.testing.assert_allclose(out.astype('float32'), expected, atol=0.02)


def test_mlp_has_the_tanh_gelu():
  x = np.random.default_rng(0).normal(size=(2, 3, 4)).astype(np.float32)
  x = jnp.asarray(x)
  mlp = layers.MLP(6)
  params = jax.jit(mlp.init)(jax.random.key(0), x)
  p = jax.tree.map(lambda a: a + 0.1, params['params'])
  y = x @ p['dense_in']['kernel'] + p['dense_in']['bias']
  cubic = np.sqrt(2 / np.pi) * (y + 0.044715 * y**3)
  y = y / 2 * (1 + np.tanh(cubic))
  expected = y @ p['dense_out']['kernel'] + p['dense_out']['bias']
  out = mlp.apply({'params': p}, x)
  np.testing.assert_allclose(out, expected, rtol=2e-5, atol=1e-5)


def test_self_attention_permutes_with_its_tokens():
  x = jax.random.normal(jax.random.key(0), (2, 5, 8))
  module = layers.SelfAttention(heads=2)
  params = jax.jit(module.init)(jax.random.key(1), x)
  order = jnp.asarray([3, 0, 4, 1, 2])
  apply = jax.jit(module.apply)
  shuffled, out = apply(params, x[:, order]), apply(params, x)
  np.testing.assert_allclose(shuffled, out[:, order], atol=1e-6)


def test_initial_parameters_are_the_published_distributions():
  x = jnp.zeros((1, 1, 64))
  block = layers.Block(heads=4, mlp=256)
  params = jax.jit(block.init)(jax.random.key(0), x)['params']
  for name in ('query', 'key', 'value', 'out'):
    kernel = params['attention'][name]['kernel']
    # LeCun: variance 1 / inputs, and the inputs are 64 for `out` as well.
    assert kernel.std() == pytest.approx(1 / 8, rel=0.1), name
  bound = np.sqrt(6 / (64 + 256))
  for name in ('dense_in', 'dense_out'):
    kernel = params['mlp'][name]['kernel']
    assert abs(kernel).max() <= bound
    assert kernel.std() == pytest.approx(bound / np.sqrt(3), rel=0.05), name
  biases = [
    leaf
    for path, leaf in jax.tree_util.tree_leaves_with_path(params)
    if path[-1].key == 'bias'
  ]
  assert len(biases) == 8
  assert not any(leaf.any() for leaf in biases)


@pytest.mark.parametrize(
  ('inputs', 'outputs'), [((6,), (2, 3)), ((2, 3), (5,)), ((6,), (128,))]
)
def test_product_is_the_same_on_every_platform(monkeypatch, inputs, outputs):
  x = jax.random.normal(jax.random.key(0), (2, 3, *inputs))
  kernel = jax.random.normal(jax.random.key(1), (*inputs, *outputs))

  def on(platform):
    monkeypatch.setattr(layers, 'platform', lambda: platform)

    def loss(x, kernel):
      return jnp.sum(jnp.sin(layers.product(x, kernel, len(inputs))))

    return jax.value_and_grad(loss, (0, 1))(x, kernel)

  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5),
    on('cpu'),
    on('tpu'),
  )


def test_gradients_of_a_product_have_the_precision_of_what_they_are_of(
  monkeypatch,
):
  monkeypatch.setattr(layers, 'platform', lambda: 'tpu')
  x, kernel = jnp.ones((2, 3, 4)), jnp.ones((4, 2, 3), jnp.bfloat16)

  def loss(x, kernel):
    return jnp.sum(layers.product(x, kernel))

  to_x, to_kernel = jax.grad(loss, (0, 1))(x, kernel)
  assert (to_x.dtype, to_kernel.dtype) == (jnp.float32, jnp.bfloat16)
