"""The published attention readout: queries look at frozen features.

The graph is what the published depth head (18 arrays, 17,587,840 numbers over
768 channels), the parameter counts of the published classifiers and the MooG
notebook's tracking heads fix. How the queries and embeddings start is not
public, and is ours. What a task asks such a head for is in `evals/tasks/`.
"""

import math
from typing import Any, Protocol, runtime_checkable

import flax.linen as nn
import jax
import jax.numpy as jnp
from einops import rearrange, repeat
from jaxtyping import Array, Float, PRNGKeyArray

from models.nn.attention import attend
from models.nn.layers import MLP, Affine, LayerNorm, affine, lecun
from models.nn.positions import Learned
from models.sharding import constrain, shards


@runtime_checkable
class Head(Protocol):
  """What answers a task: a Linen module, or what has its two methods."""

  def init(
    self,
    rng: PRNGKeyArray,
    features: Float[Array, 'b s n d'],
    asked: Float[Array, 'b q c'] | None = None,
  ) -> dict[str, Any]:
    """{'params': new parameters}."""

  def apply(
    self,
    variables: dict[str, Any],
    features: Float[Array, 'b s n d'],
    asked: Float[Array, 'b q c'] | None = None,
  ) -> Float[Array, 'b p outputs']:
    """What each query, or copy of one, predicts of each clip."""


@runtime_checkable
class Recurrent(Head, Protocol):
  """A head that goes on in a video: it leaves a state of each query."""

  def carry(
    self,
    variables: dict[str, Any],
    features: Float[Array, 'b s n d'],
    asked: Float[Array, 'b q c'],
    state: Float[Array, 'b q e'] | None = None,
  ) -> tuple[Float[Array, 'b p outputs'], Float[Array, 'b q e']]:
    """What `apply` gives, and the state after the last frame.

    `state` is what an earlier part of the same video left; None: this is the
    first. The queries are those of the whole video, in the same order.
    """


class AttentionReadout(nn.Module):
  """One cross-attention from queries to the features of a clip.

  LayerNorm, a learned embedding of each time step, keys and values with
  biases; then one MLP and one linear layer, both on every query. Queries are
  learned and used as they are, without a projection; or they are made of what
  is asked for, points or boxes, see `Asked`.

  Parameters: norm/{scale,bias}, posenc/embeddings [t d], query/embeddings
  [q width] or those of `Asked`, attention/{key,value,out}/{kernel,bias},
  mlp_norm/{scale,bias}, mlp/{dense_in,dense_out}/{kernel,bias},
  output/{kernel,bias}.

  Attributes:
    outputs: numbers that each query predicts.
    frames: time steps the features are resized to.
    width: of the queries.
    heads: attention heads, each width / heads wide.
    queries: number of learned queries; 0: they are asked for.
    conditioning: numbers that a query which is asked for consists of: 2 for
      a point (x, y), 4 for a box.
    copies: of a query which is asked for, each with a learned embedding of
      its own and its own outputs (here: of a few frames).
    query_std: of learned queries at the start.
    query_bases: wavelengths of what is asked for, see `Asked`.
    query_hidden: of its MLP.
    query_width: of the MLP's output.
    output_bias: of the last layer at the start: the first prediction.
    dtype: of the arithmetic; norms, softmax and outputs are float32.
    attention: see `models.nn.attention.attend`.
  """

  outputs: int
  frames: int
  width: int
  heads: int
  queries: int = 0
  conditioning: int = 0
  copies: int = 1
  query_std: float = 0.02
  query_bases: int = 16
  query_hidden: int = 512
  query_width: int = 512
  output_bias: float = 0.0
  dtype: str = 'float32'
  attention: str = 'auto'

  @nn.compact
  def __call__(
    self,
    features: Float[Array, 'b s n d'],
    asked: Float[Array, 'b q c'] | None = None,
  ) -> Float[Array, 'b p outputs']:
    """What each query, or copy of one, predicts of each clip, float32.

    Args:
      features: s time steps of n tokens.
      asked: points or boxes, where there are no learned queries. The copies
        of one query follow one another in the result.

    Raises:
      ValueError: the heads do not divide the width.
    """
    if self.width % self.heads:
      raise ValueError(
        f'head.width={self.width} must be divisible by head.heads={self.heads}'
      )
    # In this order, as published: resized, normalised, told the time.
    x = LayerNorm(name='norm')(resize_time(features, self.frames))
    x = x + Learned((self.frames,), x.shape[-1], name='posenc')()[:, None]
    x = rearrange(x, 'b t n d -> b (t n) d').astype(self.dtype)
    if self.conditioning:
      query = Asked(
        self.copies,
        self.width,
        self.query_width,
        self.query_hidden,
        self.query_bases,
        name='query',
      )(asked)
    else:
      # Used as they are: the published counts have no projection of them.
      start = nn.initializers.normal(self.query_std)
      query = Learned((self.queries,), self.width, start, name='query')()
      query = repeat(query, 'q d -> b q d', b=x.shape[0])
    y = query + CrossAttention(
      self.heads, self.dtype, self.attention, name='attention'
    )(query, x)
    hidden = LayerNorm(self.dtype, name='mlp_norm')(y)
    y = y + MLP(
      4 * self.width, self.dtype, tokens=split_of(y.shape[1]), name='mlp'
    )(hidden)
    kernel, bias = Affine(
      (self.width,), (self.outputs,), lecun(1, 1), name='output'
    )()
    # The constant is kept out of the bias, so that weight decay does not pull
    # the prediction towards zero and a published bias is loaded as it is.
    return y @ kernel + bias + self.output_bias


class Asked(nn.Module):
  """Queries made of coordinates: Fourier features, an MLP, copies, a width.

  As in the MooG notebook's tracking heads: 16 bases, an MLP of 512 and 512
  with GELU, a learned embedding of each copy where there are several.

  Parameters: dense_in, dense_out and project, each {kernel,bias};
  tile/embeddings [copies inner].

  Attributes:
    copies: of each query.
    width: of the result.
    inner: of the MLP's output, to which the copies' embeddings are added.
    hidden: of the MLP.
    bases: wavelengths of the Fourier features.
  """

  copies: int
  width: int
  inner: int = 512
  hidden: int = 512
  bases: int = 16

  @nn.compact
  def __call__(self, asked: Float[Array, 'b q c']) -> Float[Array, 'b p width']:
    """Queries; the copies of one follow one another."""
    x = fourier(asked, self.bases)
    for name, size in (('dense_in', self.hidden), ('dense_out', self.inner)):
      kernel, bias = Affine(x.shape[-1:], (size,), lecun(1, 1), name=name)()
      x = affine(x, kernel, bias)
      x = jax.nn.gelu(x, approximate=True) if name == 'dense_in' else x
    # Copies differ by one embedding each, which says which frames they answer.
    if self.copies > 1:
      x = x[:, :, None] + Learned((self.copies,), self.inner, name='tile')()
      x = rearrange(x, 'b q k d -> b (q k) d')
    kernel, bias = Affine(
      (self.inner,), (self.width,), lecun(1, 1), name='project'
    )()
    return affine(x, kernel, bias)


def fourier(x: Float[Array, '... c'], bases: int) -> Float[Array, '... d']:
  """Sine and cosine of pi 2^i times each number, d = 2 x c x bases, float32.

  In the order of the published code: all numbers at the longest wavelength
  first; sines, then cosines.
  """
  # Powers of two last: a compiler that fuses this product with the sum below
  # leaves out a rounding, which at 2^15 would move the sine by 0.004; that of
  # this product is none.
  angles = (x * math.pi)[..., None, :] * (2.0 ** jnp.arange(bases))[:, None]
  angles = rearrange(angles, '... i c -> ... (i c)')
  return jnp.sin(jnp.concatenate([angles, angles + math.pi / 2], axis=-1))


class CrossAttention(nn.Module):
  """Multi-head attention from queries to tokens.

  Attributes:
    heads: attention heads.
    dtype: of the arithmetic.
    implementation: see `models.nn.attention.attend`.
  """

  heads: int
  dtype: str = 'float32'
  implementation: str = 'auto'

  @nn.compact
  def __call__(
    self, query: Float[Array, 'b q width'], x: Float[Array, 'b n d']
  ) -> Float[Array, 'b q width']:
    """Every query attends to all tokens of its clip; float32."""
    width = query.shape[-1]
    split = (self.heads, width // self.heads)
    queries, keys = split_of(query.shape[1]), split_of(x.shape[1])
    x = constrain(x, 'batch', keys, None)
    projected = []
    for name in ('key', 'value'):
      kernel, bias = Affine(
        x.shape[-1:], split, lecun(1, 2), self.dtype, name=name
      )()
      y = jnp.einsum('bnd,dke->bnke', x, kernel) + bias
      projected.append(constrain(y, 'batch', keys, 'heads', None))
    # Queries bring their heads along: no kernel stands before them.
    query = rearrange(query, 'b q (k e) -> b q k e', k=self.heads)
    query = query.astype(self.dtype)
    query = constrain(query, 'batch', queries, 'heads', None)
    implementation, over = self.implementation, None
    if queries and keys:
      over = 'tokens'
    elif keys:
      # Queries too few to be shared out, as that of a class: they stay where
      # the keys are, and the compiler adds up what their parts give.
      implementation = 'plain'
    y = attend(query, *projected, implementation=implementation, over=over)
    kernel, bias = Affine(
      split, (width,), lecun(2, 1), self.dtype, name='out'
    )()
    return (jnp.einsum('bqke,ked->bqd', y, kernel) + bias).astype(jnp.float32)


def split_of(count: int) -> str | None:
  """The logical axis of `count` tokens or queries; None: they stay whole.

  A mesh that splits clips need not divide the number of queries.
  """
  return None if count % shards('tokens') else 'tokens'


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
