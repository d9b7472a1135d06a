"""What MooG is built of: its attention and its transformer.

As published with the model (arXiv 2411.05927). The transformer block follows
ViT-22B: queries and keys are normalised, and self- and cross-attention run in
parallel on the same normalised tokens.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name
from jaxtyping import Array, Float

from models.nn.attention import attend
from models.nn.layers import MLP, ZEROS, LayerNorm, lecun, product
from models.sharding import constrain


class Linear(nn.Module):
  """x kernel [+ bias], over the last axes of x.

  Attributes:
    outputs: shape of the kernel's output axes.
    axes: number of its input axes.
    use_bias: whether there is a bias.
    dtype: of the arithmetic and the result.
  """

  outputs: tuple[int, ...]
  axes: int = 1
  use_bias: bool = True
  dtype: str = 'float32'

  @nn.compact
  def __call__(self, x: Float[Array, '...']) -> Float[Array, '...']:
    """[*batch *inputs] -> [*batch *outputs]."""
    inputs = x.shape[x.ndim - self.axes :]
    kernel = self.param(
      'kernel', lecun(self.axes, len(self.outputs)), (*inputs, *self.outputs)
    )
    y = product(x.astype(self.dtype), kernel.astype(self.dtype), self.axes)
    if self.use_bias:
      y = y + self.param('bias', ZEROS, self.outputs).astype(self.dtype)
    return y


class RMSNorm(nn.Module):
  """x over its root mean square, with scale; epsilon 1e-6.

  Attributes:
    dtype: of the result.
  """

  dtype: str = 'float32'

  @nn.compact
  def __call__(self, x: Float[Array, '... d']) -> Float[Array, '... d']:
    """Normalises over the last axis, in float32."""
    scale = self.param('scale', nn.initializers.ones, x.shape[-1:])
    x = x.astype(jnp.float32)
    square = jnp.square(x).mean(-1, keepdims=True)
    # The published epsilon, and flax's.
    return (x * jax.lax.rsqrt(square + 1e-6) * scale).astype(self.dtype)


class Attention(nn.Module):
  """Multi-head attention with normalised queries and keys.

  The norms' scales are shared by all heads; query, key and value have no
  bias.

  Attributes:
    heads: number of heads.
    head_dim: width of a head; heads x head_dim need not be the tokens' width.
    dtype: of the arithmetic and the result.
    implementation: see `models.nn.attention.attend`.
  """

  heads: int
  head_dim: int
  dtype: str = 'float32'
  implementation: str = 'auto'

  @nn.compact
  def __call__(
    self, x: Float[Array, 'b n d'], kv: Float[Array, 'b m e']
  ) -> Float[Array, 'b n d']:
    """Every token of x attends to all tokens of kv."""
    # Normalised after the projection, head by head, so that logits stay small.
    query = RMSNorm(self.dtype, name='query_norm')(self._split('query', x))
    key = RMSNorm(self.dtype, name='key_norm')(self._split('key', kv))
    value = self._split('value', kv)
    y = attend(query, key, value, implementation=self.implementation)
    return Linear((x.shape[-1],), 2, dtype=self.dtype, name='out')(y)

  def _split(self, name: str, x: Float[Array, 'b n d']):
    split = (self.heads, self.head_dim)
    y = Linear(split, use_bias=False, dtype=self.dtype, name=name)(x)
    return checkpoint_name(constrain(y, 'batch', None, 'heads', None), 'qkv')


class Block(nn.Module):
  """x += self(norm x) + cross(norm x, kv), then x += MLP(norm x).

  Attributes:
    heads: attention heads.
    head_dim: width of each.
    mlp: hidden width of the MLP.
    self_attention: whether tokens attend to each other.
    dtype: of the arithmetic and the result.
    attention: see `models.nn.attention.attend`.
  """

  heads: int
  head_dim: int
  mlp: int
  self_attention: bool = True
  dtype: str = 'float32'
  attention: str = 'auto'

  @nn.compact
  def __call__(
    self, x: Float[Array, 'b n d'], kv: Float[Array, 'b m e'] | None = None
  ) -> Float[Array, 'b n d']:
    """One layer; kv is not normalised here."""
    sizes = (self.heads, self.head_dim, self.dtype, self.attention)
    hidden = LayerNorm(self.dtype, use_bias=False, name='norm')(x)
    # Both read the same normalised tokens: in parallel, as in ViT-22B.
    if self.self_attention:
      x = x + Attention(*sizes, name='self_attention')(hidden, hidden)
    if kv is not None:
      # kv as it comes: the encoder has normalised it.
      x = x + Attention(*sizes, name='cross_attention')(hidden, kv)
    x = checkpoint_name(x, 'projected')
    hidden = LayerNorm(self.dtype, use_bias=False, name='mlp_norm')(x)
    x = x + MLP(self.mlp, self.dtype, lecun(1, 1), name='mlp')(hidden)
    # No scan over blocks carries it, as that over a ViT's does.
    return checkpoint_name(x, 'projected')


class Transformer(nn.Module):
  """[projection], blocks, LayerNorm, [projection].

  Parameters: project/{kernel,bias}, layer_<i>/..., norm/scale,
  output/{kernel,bias}.

  Attributes:
    layers: number of blocks.
    heads: attention heads.
    head_dim: width of each.
    mlp: hidden width of the MLPs.
    self_attention: whether tokens attend to each other.
    hidden: width inside; 0: the input's, without a projection.
    outputs: width of the result; 0: that inside, without a projection.
    dtype: of the arithmetic; the result is float32.
    attention: see `models.nn.attention.attend`.
  """

  layers: int
  heads: int
  head_dim: int
  mlp: int
  self_attention: bool = True
  hidden: int = 0
  outputs: int = 0
  dtype: str = 'float32'
  attention: str = 'auto'

  def flops(self, n: int, d: int, m: int = 0, e: int = 0) -> float:
    """Of one example's forward pass: n tokens of width d, m and e of kv.

    A multiply-add is 2 operations.
    """
    width, inner = self.hidden or d, self.heads * self.head_dim
    per_layer = 2 * n * width * self.mlp
    if self.self_attention:
      per_layer += 4 * n * width * inner + 2 * n * n * inner
    # Queries and outputs, keys and values, logits and weighted sums.
    if m:
      per_layer += 2 * n * width * inner + 2 * m * e * inner + 2 * n * m * inner
    ends = n * d * self.hidden + n * width * self.outputs
    return 2.0 * (self.layers * per_layer + ends)

  @nn.compact
  def __call__(
    self, x: Float[Array, 'b n d'], kv: Float[Array, 'b m e'] | None = None
  ) -> Float[Array, 'b n f']:
    """Tokens x, which may attend to each other and to tokens kv."""
    x = constrain(x.astype(self.dtype), 'batch', None, None)
    kv = None if kv is None else kv.astype(self.dtype)
    if self.hidden:
      x = Linear((self.hidden,), dtype=self.dtype, name='project')(x)
    # Unrolled: a scan over blocks cost more in copies than it saved
    # (docs/pods_attempts.md).
    for i in range(self.layers):
      x = Block(
        heads=self.heads,
        head_dim=self.head_dim,
        mlp=self.mlp,
        self_attention=self.self_attention,
        dtype=self.dtype,
        attention=self.attention,
        name=f'layer_{i}',
      )(x, kv)
    # In float32: a state is added to what comes out.
    x = LayerNorm(use_bias=False, name='norm')(x)
    if self.outputs:
      x = Linear((self.outputs,), dtype=self.dtype, name='output')(x)
    return x.astype(jnp.float32)
