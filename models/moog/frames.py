"""Between frames and tokens: MooG's encoder and decoder, and places."""

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from einops import rearrange
from jax.ad_checkpoint import checkpoint_name
from jaxtyping import Array, Float, Int

from models.moog.layers import Linear, Transformer
from models.nn.conv import conv3x3
from models.nn.layers import ZEROS, LayerNorm, lecun


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

  @property
  def width(self) -> int:
    """Of a token."""
    places = 4 * self.bases if self.positions == 'concat' else 0
    return self.channels[-1] + places

  def grid(self, h: int, w: int) -> tuple[int, int]:
    """Tokens down and across a frame of h x w pixels."""
    for stride in self.strides:
      h, w = -(-h // stride), -(-w // stride)
    return h, w

  def flops(self, h: int, w: int) -> tuple[float, float]:
    """Of one frame's forward pass: the first convolution, and the rest.

    The first one stands alone, since pixels get no gradient.
    """
    # Nine taps of each convolution, 2 operations each.
    counts, inputs = [], 3
    for channels, stride in zip(self.channels, self.strides):
      h, w = -(-h // stride), -(-w // stride)
      counts.append(2.0 * h * w * 9 * inputs * channels)
      inputs = channels
    ends = self.width * self.dim * (2 if self.dim != self.width else 1)
    return counts[0], sum(counts[1:]) + 2.0 * h * w * ends

  @nn.compact
  def __call__(self, frame: Float[Array, 'b h w c']) -> Float[Array, 'b n d']:
    """Tokens of frames in [0, 1], rows of the grid one after another."""
    x = frame.astype(self.dtype)
    for i, (channels, stride) in enumerate(zip(self.channels, self.strides)):
      # Between convolutions only: a norm follows the last one.
      x = jax.nn.gelu(x, approximate=True) if i else x
      x = Conv(channels, stride, self.dtype, name=f'conv_{i}')(x)
    x = LayerNorm(self.dtype, use_bias=False, name='conv_norm')(x)
    # Of the grid, from corner to corner, whatever a frame's size is.
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
    x = checkpoint_name(x, 'projected')
    x = LayerNorm(self.dtype, use_bias=False, name='norm')(x)
    # As published: where it changed the width, a second one leads back.
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
    # Over all that a pixel of the result sees: 3 x 3 x channels.
    kernel = self.param('kernel', lecun(3, 1), shape)
    bias = self.param('bias', ZEROS, (self.channels,))
    y = conv3x3(x, kernel.astype(self.dtype), self.stride)
    return checkpoint_name(y + bias.astype(self.dtype), 'convolved')


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
    # As published: room for what is read of tokens, beside the place.
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
  # From -1 to 1, by the one of two equal formulas that rounds as XLA does.
  place = share - (f32(1) - share)
  if size > 1:
    place[-1] = 1
  angle = (place * f32(np.pi))[:, None] * f32(2.0) ** np.arange(
    bases, dtype=f32
  )
  # Cosines as shifted sines, as published: the shift rounds too.
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
  # Looked up by the number of a row, not computed: see `waves`.
  y = jnp.asarray(waves(size[0], bases))[rows][..., :, None, :, :]
  x = jnp.asarray(waves(size[1], bases))[columns][..., None, :, :, :]
  features = jnp.stack(jnp.broadcast_arrays(y, x), axis=-1)
  return rearrange(features, '... s i c -> ... (s i c)')


def grid_fourier(h: int, w: int, bases: int) -> Float[Array, 'h w d']:
  """Fourier features of every place of a grid, see `pixel_fourier`."""
  return pixel_fourier(jnp.arange(h), jnp.arange(w), (h, w), bases)
