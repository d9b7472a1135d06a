"""All implementations of attention are one function."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from models.nn import attention

SHAPES = [(2, 5, 7, 3, 4), (1, 300, 130, 2, 8)]  # b q n k e


def inputs(shape, dtype='float32'):
  b, q, n, k, e = shape
  keys = jax.random.split(jax.random.key(0), 4)
  make = jax.random.normal
  query, out = (make(key, (b, q, k, e), dtype) for key in keys[:2])
  key, value = (make(key, (b, n, k, e), dtype) for key in keys[2:])
  return query, key, value, out


def reference(query, key, value):
  """One query, one head at a time, in float64."""
  query, key, value = (np.asarray(x, np.float64) for x in (query, key, value))
  out = np.zeros((*query.shape[:3], value.shape[-1]))
  for b, q, k in np.ndindex(query.shape[:3]):
    logits = key[b, :, k] @ query[b, q, k] / np.sqrt(query.shape[-1])
    weights = np.exp(logits - logits.max())
    out[b, q, k] = weights @ value[b, :, k] / weights.sum()
  return out


@pytest.mark.parametrize('implementation', attention.IMPLEMENTATIONS)
@pytest.mark.parametrize('shape', SHAPES)
def test_value(implementation, shape):
  query, key, value, _ = inputs(shape)
  out = attention.attend(query, key, value, implementation=implementation)
  expected = reference(query, key, value)
  np.testing.assert_allclose(out, expected, atol=2e-6)


@pytest.mark.parametrize('implementation', ['per_head', 'chunked', 'rows'])
@pytest.mark.parametrize('shape', SHAPES)
def test_gradient(implementation, shape):
  query, key, value, out = inputs(shape)

  def pulled(name):
    def run(*x):
      return attention.attend(*x, implementation=name)

    return jax.jit(lambda *x: jax.vjp(run, *x)[1](out))(query, key, value)

  for mine, plain in zip(pulled(implementation), pulled('plain')):
    np.testing.assert_allclose(mine, plain, atol=1e-5)


@pytest.mark.parametrize('implementation', attention.IMPLEMENTATIONS)
def test_bfloat16_in_and_out_but_a_float32_softmax(implementation):
  query, key, value, _ = inputs((1, 6, 260, 2, 16), 'bfloat16')
  # A bfloat16 softmax would lose the mean of nearly equal logits.
  out = attention.attend(
    query * 1e-2, key, value * 0 + 1, implementation=implementation
  )
  assert out.dtype == jnp.bfloat16
  np.testing.assert_allclose(out.astype('float32'), 1, atol=4e-3)


def test_unknown_implementation_lists_the_known():
  with pytest.raises(ValueError, match='expected one of auto, plain, per_head'):
    attention.resolve('flash', 10)


@pytest.mark.parametrize(
  ('platform', 'tokens', 'expected'),
  [
    *(('cpu', 78, 'plain'), ('cpu', 862, 'per_head')),
    *(('tpu', 78, 'plain'), ('tpu', 862, 'rows'), ('tpu', 6272, 'chunked')),
    *(('gpu', 78, 'plain'), ('gpu', 862, 'plain')),
  ],
)
def test_auto(monkeypatch, platform, tokens, expected):
  monkeypatch.setattr(attention, 'platform', lambda: platform)
  assert attention.resolve('auto', tokens) == expected
