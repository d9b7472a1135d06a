"""Tokens as colours: their first three principal components."""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float


class Basis(NamedTuple):
  """Where colours come from, for each clip."""

  mean: Float[Array, 'b 1 d']
  vectors: Float[Array, 'b d 3']  # over the deviation along each


def basis(tokens: Float[Array, 'b n d']) -> Basis:
  """Of each clip's tokens."""
  mean = tokens.mean(1, keepdims=True)
  x = tokens - mean
  covariance = jnp.einsum('bnd,bne->bde', x, x) / x.shape[1]
  # The largest last.
  values, vectors = jnp.linalg.eigh(covariance)
  # Tokens that are all alike have no components: grey, not NaN.
  deviation = jnp.sqrt(jnp.maximum(values[:, None, -3:], 1e-12))
  return Basis(mean, (vectors[..., -3:] / deviation)[..., ::-1])


def colours(tokens: Float[Array, 'b n d'], of: Basis) -> Float[Array, 'b n 3']:
  """In [0, 1]: a component runs over two standard deviations either way."""
  scores = jnp.einsum('bnd,bdc->bnc', tokens - of.mean, of.vectors)
  return jnp.clip(0.5 + scores / 4, 0, 1)
