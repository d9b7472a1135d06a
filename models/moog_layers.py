"""What MooG is built of: its transformer, and its convolutional encoder.

As published with the model (arXiv 2411.05927). The transformer block follows
ViT-22B: queries and keys are normalised, and self- and cross-attention run in
parallel on the same normalised tokens.
"""

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from einops import rearrange
from jax.ad_checkpoint import checkpoint_name
from jaxtyping import Array, Float, Int

from models.attention import attend
from models.layers import MLP, ZEROS, LayerNorm, lecun, product
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
    return (x * jax.lax.rsqrt(square + 1e-6) * scale).astype(self.dtype)


class Attention(nn.Module):
  """Multi-head attention with normalised queries and keys.

  The norms' scales are shared by all heads; query, key and value have no
  bias.

  Attributes:
    heads: number of heads.
    head_dim: width of a head; heads x head_dim need not be the tokens' width.
    dtype: of the arithmetic and the result.
    implementation: see `models.attention.attend`.
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
    query = RMSNorm(self.dtype, name='query_norm')(self._split('query', x))
    key = RMSNorm(self.dtype, name='key_norm')(self._split('key', kv))
    value = self._split('value', kv)
    y = attend(query, key, value, implementation=self.implementation)
    y = checkpoint_name(y, 'attended')
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
    attention: see `models.attention.attend`.
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
    if self.self_attention:
      x = x + Attention(*sizes, name='self_attention')(hidden, hidden)
    if kv is not None:
      x = x + Attention(*sizes, name='cross_attention')(hidden, kv)
    hidden = LayerNorm(self.dtype, use_bias=False, name='mlp_norm')(x)
    return x + MLP(self.mlp, self.dtype, lecun(1, 1), name='mlp')(hidden)


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
    attention: see `models.attention.attend`.
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

  @nn.compact
  def __call__(
    self, x: Float[Array, 'b n d'], kv: Float[Array, 'b m e'] | None = None
  ) -> Float[Array, 'b n f']:
    """Tokens x, which may attend to each other and to tokens kv."""
    x = constrain(x.astype(self.dtype), 'batch', None, None)
    kv = None if kv is None else kv.astype(self.dtype)
    if self.hidden:
      x = Linear((self.hidden,), dtype=self.dtype, name='project')(x)
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
    x = LayerNorm(use_bias=False, name='norm')(x)
    if self.outputs:
      x = Linear((self.outputs,), dtype=self.dtype, name='output')(x)
    return x.astype(jnp.float32)


class Encoder(nn.Module):
  """A frame to tokens on a grid: convolutions, positions, a projection.

  3 x 3 convolutions with GELU between them, LayerNorm, Fourier features of
  the place, a linear layer and LayerNorm.

  Parameters: conv_<i>/{kernel,bias}, conv_norm/scale, positions/{kernel,bias}
  where positions are added, and those of a `Transformer` without blocks.

  Attributes:
    channels: of each convolution.
    strides: of each convolution, the same along both axes.
    positions: 'add' a projection of the Fourier features to the channels, or
      'concat'enate the features.
    bases: wavelengths along each axis.
    dim: inner width of the projection; where the channels it follows are
      others, it leads back to those.
    dtype: of the arithmetic; the result is float32.
  """

  channels: tuple[int, ...]
  strides: tuple[int, ...]
  positions: str
  bases: int
  dim: int
  dtype: str = 'float32'

  @property
  def stride(self) -> int:
    """Pixels between tokens."""
    return int(np.prod(self.strides))

  @nn.compact
  def __call__(self, frame: Float[Array, 'b h w c']) -> Float[Array, 'b n d']:
    """Tokens of frames in [0, 1], rows of the grid one after another."""
    x = frame.astype(self.dtype)
    for i, (channels, stride) in enumerate(zip(self.channels, self.strides)):
      x = jax.nn.gelu(x, approximate=True) if i else x
      x = Conv(channels, stride, self.dtype, name=f'conv_{i}')(x)
    x = LayerNorm(self.dtype, use_bias=False, name='conv_norm')(x)
    place = grid_fourier(*x.shape[1:3], self.bases).astype(self.dtype)
    if self.positions == 'add':
      width = x.shape[-1:]
      x = x + Linear(width, dtype=self.dtype, name='positions')(place)
    else:
      place = jnp.broadcast_to(place, (*x.shape[:3], place.shape[-1]))
      x = jnp.concatenate([x, place], axis=-1)
    x = rearrange(x, 'b h w d -> b (h w) d')
    width = x.shape[-1]
    x = Linear((self.dim,), dtype=self.dtype, name='project')(x)
    x = LayerNorm(self.dtype, use_bias=False, name='norm')(x)
    if self.dim != width:
      x = Linear((width,), dtype=self.dtype, name='output')(x)
    return x.astype(jnp.float32)


class Conv(nn.Module):
  """3 x 3 convolution with bias, padded as XLA's SAME.

  Attributes:
    channels: of the result.
    stride: along both axes.
    dtype: of the arithmetic and the result.
  """

  channels: int
  stride: int
  dtype: str = 'float32'

  @nn.compact
  def __call__(self, x: Float[Array, 'b h w c']) -> Float[Array, 'b i j d']:
    """[b h w c] -> [b h/stride w/stride channels]."""
    shape = (3, 3, x.shape[-1], self.channels)
    kernel = self.param('kernel', lecun(3, 1), shape)
    bias = self.param('bias', ZEROS, (self.channels,))
    y = jax.lax.conv_general_dilated(
      x,
      kernel.astype(self.dtype),
      window_strides=(self.stride, self.stride),
      padding='SAME',
      dimension_numbers=('NHWC', 'HWIO', 'NHWC'),
    )
    return y + bias.astype(self.dtype)


class Decoder(nn.Module):
  """Pixels from tokens: a query for each, which knows its place only.

  Parameters: transformer/..., output/{kernel,bias}.

  Attributes:
    transformer: from queries to tokens.
    bases: wavelengths of the place, along each axis.
    outputs: numbers of a pixel.
  """

  transformer: Transformer
  bases: int
  outputs: int

  @nn.compact
  def __call__(
    self,
    tokens: Float[Array, 'b s d'],
    rows: Int[Array, 'b h'],
    columns: Int[Array, 'b w'],
    size: Sequence[int],
  ) -> Float[Array, 'b h w c']:
    """What the pixels are where rows and columns cross, float32.

    Args:
      tokens: of a frame.
      rows: numbers of rows.
      columns: numbers of columns.
      size: height and width of a frame, pixels.
    """
    place = pixel_fourier(rows, columns, size, self.bases)
    blank = jnp.zeros((*place.shape[:-1], tokens.shape[-1]))
    query = jnp.concatenate([blank, place], axis=-1)
    query = rearrange(query, 'b h w d -> b (h w) d')
    x = self.transformer(query, tokens)
    dtype = self.transformer.dtype
    x = Linear((self.outputs,), dtype=dtype, name='output')(x)
    x = rearrange(x, 'b (h w) c -> b h w c', h=rows.shape[-1])
    return x.astype(jnp.float32)


def waves(size: int, bases: int) -> Float[np.ndarray, '{size} 2 {bases}']:
  """Sine and cosine of pi 2^i times places from -1 to 1, float32.

  The shortest of 20 wavelengths is so short that a rounding of the place moves
  the feature by a tenth. So the table is made on the host, the same for every
  device: places rounded as a compiled `jnp.linspace` rounds them, phases as the
  published code does, a sine that is exact.

  Args:
    size: places, the first at -1 and the last at 1.
    bases: wavelengths.
  """
  f32 = np.float32
  share = np.arange(size, dtype=f32) * f32(1 / max(size - 1, 1))
  place = share - (f32(1) - share)
  if size > 1:
    place[-1] = 1
  angle = (place * f32(np.pi))[:, None] * f32(2.0) ** np.arange(
    bases, dtype=f32
  )
  angle = np.stack([angle, angle + f32(np.pi / 2)], axis=1)
  return np.sin(angle.astype(np.float64)).astype(f32)


def pixel_fourier(
  rows: Int[Array, '... h'],
  columns: Int[Array, '... w'],
  size: Sequence[int],
  bases: int,
) -> Float[Array, '... h w d']:
  """Fourier features of the pixels where rows and columns cross, float32.

  d = 4 x bases, in the order of the published code: y and x at the longest
  wavelength first; sines, then cosines.

  Args:
    rows: numbers of rows of the picture.
    columns: numbers of its columns.
    size: height and width of the picture, pixels.
    bases: wavelengths along each axis.
  """
  y = jnp.asarray(waves(size[0], bases))[rows][..., :, None, :, :]
  x = jnp.asarray(waves(size[1], bases))[columns][..., None, :, :, :]
  features = jnp.stack(jnp.broadcast_arrays(y, x), axis=-1)
  return rearrange(features, '... s i c -> ... (s i c)')


def grid_fourier(h: int, w: int, bases: int) -> Float[Array, 'h w d']:
  """Fourier features of every place of a grid, see `pixel_fourier`."""
  return pixel_fourier(jnp.arange(h), jnp.arange(w), (h, w), bases)
