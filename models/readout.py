"""The published attention readout: learned queries look at frozen features.

The graph is what the published depth head (18 arrays, 17,587,840 numbers over
768 channels) and the parameter counts of the published classifiers fix. How
the queries and embeddings start is not public, and is ours.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
from einops import rearrange, repeat
from jaxtyping import Array, Float

from models.attention import attend
from models.layers import MLP, Affine, LayerNorm, lecun
from models.positions import Learned
from models.sharding import constrain


class AttentionReadout(nn.Module):
  """One cross-attention from learned queries to the features of a clip.

  LayerNorm, a learned embedding of each time step, keys and values with
  biases; queries are used as they are, without a projection, and are shared
  by all clips; then one MLP and one linear layer, both on every query.

  Parameters: norm/{scale,bias}, posenc/embeddings [t d], query/embeddings
  [q width], attention/{key,value,out}/{kernel,bias}, mlp_norm/{scale,bias},
  mlp/{dense_in,dense_out}/{kernel,bias}, output/{kernel,bias}.

  Attributes:
    queries: learned queries.
    outputs: numbers that each query predicts.
    frames: time steps the features are resized to.
    width: of the queries.
    heads: attention heads, each width / heads wide.
    query_std: of the queries at the start.
    output_bias: of the last layer at the start: the first prediction.
    dtype: of the arithmetic; norms, softmax and outputs are float32.
    attention: see `models.attention.attend`.
  """

  queries: int
  outputs: int
  frames: int
  width: int = 1024
  heads: int = 16
  query_std: float = 0.02
  output_bias: float = 0.0
  dtype: str = 'float32'
  attention: str = 'auto'

  @nn.compact
  def __call__(
    self, features: Float[Array, 'b s n d']
  ) -> Float[Array, 'b q outputs']:
    """What each query predicts of each clip, float32.

    Args:
      features: s time steps of n tokens.

    Raises:
      ValueError: the heads do not divide the width.
    """
    if self.width % self.heads:
      raise ValueError(
        f'head.width={self.width} must be divisible by head.heads={self.heads}'
      )
    x = LayerNorm(name='norm')(resize_time(features, self.frames))
    x = x + Learned((self.frames,), x.shape[-1], name='posenc')()[:, None]
    x = rearrange(x, 'b t n d -> b (t n) d').astype(self.dtype)
    start = nn.initializers.normal(self.query_std)
    query = Learned((self.queries,), self.width, start, name='query')()
    y = query + CrossAttention(
      self.heads, self.dtype, self.attention, name='attention'
    )(query, x)
    hidden = LayerNorm(self.dtype, name='mlp_norm')(y)
    y = y + MLP(4 * self.width, self.dtype, name='mlp')(hidden)
    kernel, bias = Affine(
      (self.width,), (self.outputs,), lecun(1, 1), name='output'
    )()
    # The constant is kept out of the bias, so that weight decay does not pull
    # the prediction towards zero and a published bias is loaded as it is.
    return y @ kernel + bias + self.output_bias


class CrossAttention(nn.Module):
  """Multi-head attention from queries that all clips share.

  Attributes:
    heads: attention heads.
    dtype: of the arithmetic.
    implementation: see `models.attention.attend`.
  """

  heads: int
  dtype: str = 'float32'
  implementation: str = 'auto'

  @nn.compact
  def __call__(
    self, query: Float[Array, 'q width'], x: Float[Array, 'b n d']
  ) -> Float[Array, 'b q width']:
    """Every query attends to all tokens of every clip; float32."""
    width = query.shape[-1]
    split = (self.heads, width // self.heads)
    projected = []
    for name in ('key', 'value'):
      kernel, bias = Affine(
        x.shape[-1:], split, lecun(1, 2), self.dtype, name=name
      )()
      y = jnp.einsum('bnd,dke->bnke', x, kernel) + bias
      projected.append(constrain(y, 'batch', None, 'heads', None))
    query = repeat(
      query, 'q (k e) -> b q k e', b=x.shape[0], k=self.heads
    ).astype(self.dtype)
    query = constrain(query, 'batch', None, 'heads', None)
    y = attend(query, *projected, implementation=self.implementation)
    kernel, bias = Affine(
      split, (width,), lecun(2, 1), self.dtype, name='out'
    )()
    return (jnp.einsum('bqke,ked->bqd', y, kernel) + bias).astype(jnp.float32)


def resize_time(
  features: Float[Array, 'b s n d'], frames: int
) -> Float[Array, 'b t n d']:
  """Features at `frames` time steps, by cubic interpolation, float32.

  Keys' cubic (a = -0.5), half-pixel centres; taps outside the clip are
  dropped and the rest renormalised, as in `jax.image.resize`.
  """
  b, _, n, d = features.shape
  return jax.image.resize(
    features.astype(jnp.float32), (b, frames, n, d), 'cubic'
  )
