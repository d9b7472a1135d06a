"""The leaves of a transformer, and its block, as published for 4DS.

Parameters are float32; `dtype` is that of the arithmetic and of the result.
Statistics of LayerNorm and the softmax are float32 always.
"""

import functools
import math
from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name
from jaxtyping import Array, Float, Shaped

from models.nn.attention import attend
from models.sharding import constrain, platform, shards

ZEROS = nn.initializers.zeros
XAVIER = nn.initializers.xavier_uniform()  # published, of a ViT's MLPs
_LANES = 128  # of a vector of a TPU


def lecun(inputs: int, outputs: int) -> nn.initializers.Initializer:
  """LeCun normal for a kernel of `inputs` axes, then `outputs` axes."""
  axes = range(inputs + outputs)
  return nn.initializers.lecun_normal(
    in_axis=tuple(axes[:inputs]), out_axis=tuple(axes[inputs:])
  )


def affine(
  x: Shaped[Array, '...'], kernel: jax.Array, bias: jax.Array, axes: int = 1
) -> jax.Array:
  """x kernel + bias, see `product`; the bias is [*outputs]."""
  return product(x, kernel, axes) + bias


def product(
  x: Shaped[Array, '...'], kernel: jax.Array, axes: int = 1
) -> jax.Array:
  """x kernel, contracting the last axes of x with the kernel's first.

  On a CPU as a product of matrices: XLA would otherwise transpose the whole
  gradient of the result to find the kernel's. On a TPU [b n] are kept apart:
  merging them would move every token in memory, and between chips where both
  are split.

  Args:
    x: [*batch *inputs].
    kernel: [*inputs *outputs].
    axes: number of input axes.
  """
  if platform() != 'cpu' or shards('tokens') > 1:
    # Heads of G are 104 wide, those of e 112.
    # Measured by what the compiler schedules: of heads up to 104 wide gradients
    # are scattered as matrices only, wider ones wait longer as such
    # (docs/pods_attempts.md). 0.85 lies between 104 and 112.
    width = kernel.shape[axes - 1 if axes > 1 else -1]
    narrow = width % _LANES if axes > 1 else width < 0.85 * _LANES
    return (_apart if narrow else jnp.tensordot)(x, kernel, axes)
  inputs = math.prod(kernel.shape[:axes])
  y = x.reshape(-1, inputs) @ kernel.reshape(inputs, -1)
  return y.reshape(*x.shape[: x.ndim - axes], *kernel.shape[axes:])


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def _apart(x, kernel, axes):
  """x kernel as `jnp.tensordot`; the gradient of the kernel as a matrix.

  FSDP scatters it to its shards. One of axes [d heads 64] the compiler of TPUs
  lays out with d along the lanes, where it scatters nothing: it reduces all of
  it, then slices; so on some generations it does with heads 104 wide (G). Sizes
  e and j (112 and 128 wide) need none of this and would wait longer with it;
  but for the kernels of `out` [heads 104 d], which are reduced whole too. The
  result keeps its axes, since what follows is not fused with a product across a
  reshape.
  """
  return jnp.tensordot(x, kernel, axes)


def _apart_forward(x, kernel, axes):
  return _apart(x, kernel, axes), (x, kernel)


def _apart_backward(axes, saved, gradient):
  x, kernel = saved
  batch = tuple(range(x.ndim - axes))
  inner = tuple(range(len(batch), gradient.ndim))
  to_x = jnp.tensordot(
    gradient, kernel, (inner, tuple(range(axes, kernel.ndim)))
  )
  matrices = (y.reshape(*x.shape[: len(batch)], -1) for y in (x, gradient))
  to_kernel = jnp.tensordot(*matrices, (batch, batch)).reshape(kernel.shape)
  return to_x.astype(x.dtype), to_kernel.astype(kernel.dtype)


_apart.defvjp(_apart_forward, _apart_backward)


class Affine(nn.Module):
  """A kernel and its bias. Whoever owns it says how they multiply.

  Attributes:
    inputs: shape of the kernel's input axes.
    outputs: shape of its output axes, and of the bias.
    kernel_init: of the kernel; the bias starts at zero.
    dtype: of what is returned.
    use_bias: whether there is a bias.
  """

  inputs: tuple[int, ...]
  outputs: tuple[int, ...]
  kernel_init: nn.initializers.Initializer
  dtype: str = 'float32'
  use_bias: bool = True

  @nn.compact
  def __call__(self) -> tuple[jax.Array, jax.Array | None]:
    """The kernel [*inputs *outputs] and the bias [*outputs], or None."""
    kernel = self.param(
      'kernel', self.kernel_init, (*self.inputs, *self.outputs)
    )
    if not self.use_bias:
      return kernel.astype(self.dtype), None
    bias = self.param('bias', ZEROS, self.outputs)
    # Parameters stay float32, which the optimizer adds small steps to.
    return kernel.astype(self.dtype), bias.astype(self.dtype)


class LayerNorm(nn.Module):
  """LayerNorm with scale, population variance.

  Attributes:
    dtype: of the result.
    epsilon: added to the variance.
    use_bias: whether there is a bias.
  """

  dtype: str = 'float32'
  # As published, where nothing else is said: flax's own.
  epsilon: float = 1e-6
  use_bias: bool = True

  @nn.compact
  def __call__(self, x: Float[Array, '... d']) -> Float[Array, '... d']:
    """Normalises over the last axis, in float32."""
    scale = self.param('scale', nn.initializers.ones, x.shape[-1:])
    # The variance is a difference, of which bfloat16 would leave little.
    x = x.astype(jnp.float32)
    mean = x.mean(-1, keepdims=True)
    # In one pass over x; it may round to below 0.
    variance = jnp.square(x).mean(-1, keepdims=True) - jnp.square(mean)
    inverse = jax.lax.rsqrt(jnp.maximum(variance, 0) + self.epsilon)
    x = (x - mean) * inverse * scale
    if self.use_bias:
      x = x + self.param('bias', ZEROS, x.shape[-1:])
    return x.astype(self.dtype)


class SelfAttention(nn.Module):
  """Multi-head self-attention with biases.

  Attributes:
    heads: number of heads; each is width / heads wide.
    dtype: of the arithmetic and the result.
    implementation: see `models.nn.attention.attend`.
    tokens: the logical name of their axis, over which they may be split.
    key_bias: whether keys have a bias. None of it reaches the result, but an
      optimizer would move one that rounding errors are the gradient of.
    turn: what is done with queries and keys [b n k e] before they meet.
  """

  heads: int
  dtype: str = 'float32'
  implementation: str = 'auto'
  tokens: str | None = None
  key_bias: bool = True
  turn: Callable[[jax.Array], jax.Array] | None = None

  @nn.compact
  def __call__(self, x: Float[Array, 'b n d']) -> Float[Array, 'b n d']:
    """Every token attends to all tokens of its example."""
    return _attention(self, x, x)


class CrossAttention(nn.Module):
  """Multi-head attention to other tokens, with biases.

  Attributes:
    heads: number of heads; each is width / heads wide, of the tokens that ask.
    dtype: of the arithmetic and the result.
    implementation: see `models.nn.attention.attend`.
  """

  heads: int
  dtype: str = 'float32'
  implementation: str = 'auto'
  tokens = None  # those who ask and who are asked are not split alike
  key_bias, turn = True, None  # see `SelfAttention`

  @nn.compact
  def __call__(
    self, x: Float[Array, 'b n d'], kv: Float[Array, 'b m e']
  ) -> Float[Array, 'b n d']:
    """Every token of x attends to all tokens of kv."""
    return _attention(self, x, kv)


def _attention(
  module: SelfAttention | CrossAttention,
  x: Float[Array, 'b n d'],
  kv: Float[Array, 'b m e'],
) -> Float[Array, 'b n d']:
  """Of tokens x to tokens kv; parameters are those of `module`."""
  width = x.shape[-1]
  # Kernels have an axis of heads, which a mesh splits without a reshape.
  split = (module.heads, width // module.heads)
  projected = []
  for name, tokens in (('query', x), ('key', kv), ('value', kv)):
    has_bias = module.key_bias or name != 'key'
    kernel, bias = Affine(
      tokens.shape[-1:], split, lecun(1, 2), module.dtype, has_bias, name=name
    )()
    y = affine(tokens, kernel, bias) if has_bias else product(tokens, kernel)
    if module.turn and name != 'value':
      y = module.turn(y)
    y = constrain(y, 'batch', module.tokens, 'heads', None)
    # Names are those that `stack.REMAT` keeps: results of products, since the
    # rest is cheap to make again.
    projected.append(checkpoint_name(y, 'qkv'))
  y = attend(
    *projected, implementation=module.implementation, over=module.tokens
  )
  kernel, bias = Affine(
    split, (width,), lecun(2, 1), module.dtype, name='out'
  )()
  return affine(y, kernel, bias, axes=2)


class MLP(nn.Module):
  """Two layers with GELU between them.

  Attributes:
    hidden: width between the two.
    dtype: of the arithmetic and the result.
    start: an initializer of both kernels.
    outputs: width of the result; None: that of the input.
    tokens: the logical name of the axis before the last.
    exact: GELU by the error function, in place of its tanh approximation.
    gated: a third layer, `dense_gate`, whose SiLU multiplies the hidden values,
      in place of GELU.
  """

  hidden: int
  dtype: str = 'float32'
  start: nn.initializers.Initializer = XAVIER
  outputs: int | None = None
  tokens: str | None = None
  exact: bool = False
  gated: bool = False

  @nn.compact
  def __call__(self, x: Float[Array, '... d']) -> Float[Array, '... e']:
    """The same on every token."""
    width, hidden = (x.shape[-1],), (self.hidden,)
    outputs = width if self.outputs is None else (self.outputs,)
    kernel, bias = Affine(
      width, hidden, self.start, self.dtype, name='dense_in'
    )()
    # Before GELU, whose gradient needs it.
    y = checkpoint_name(affine(x, kernel, bias), 'hidden')
    between = [None] * (y.ndim - 2)
    if self.tokens:
      between[-1] = self.tokens
    y = constrain(y, 'batch', *between, 'mlp')
    if self.gated:
      kernel, bias = Affine(
        width, hidden, self.start, self.dtype, name='dense_gate'
      )()
      gate = checkpoint_name(affine(x, kernel, bias), 'hidden')
      y = jax.nn.silu(constrain(gate, 'batch', *between, 'mlp')) * y
    else:
      # By tanh, as published; on a CPU the exact one takes longer too.
      y = jax.nn.gelu(y, approximate=not self.exact)
    kernel, bias = Affine(
      hidden, outputs, self.start, self.dtype, name='dense_out'
    )()
    return affine(y, kernel, bias)


class Block(nn.Module):
  """Pre-norm transformer block: x += attention(x), then x += MLP(x).

  Attributes:
    heads: attention heads.
    mlp: hidden width of the MLP.
    dtype: of the arithmetic and the result.
    attention: see `models.nn.attention.attend`.
    tokens: the logical name of their axis, over which they may be split.
    epsilon: of both norms; 4DS has flax's, as all below.
    exact: see `MLP`.
    key_bias: see `SelfAttention`.
    turn: see `SelfAttention`.
    gated: see `MLP`.
  """

  heads: int
  mlp: int
  dtype: str = 'float32'
  attention: str = 'auto'
  tokens: str | None = None
  epsilon: float = 1e-6
  exact: bool = False
  key_bias: bool = True
  turn: Callable[[jax.Array], jax.Array] | None = None
  gated: bool = False

  @nn.compact
  def __call__(self, x: Float[Array, 'b n d']) -> Float[Array, 'b n d']:
    """One layer of the backbone."""
    # Pre-norm, one after the other, as published: no layer scale, no dropout,
    # no norm of queries and keys, and none behind the last block.
    y = LayerNorm(self.dtype, self.epsilon, name='attention_norm')(x)
    x = x + SelfAttention(
      *(self.heads, self.dtype, self.attention, self.tokens),
      *(self.key_bias, self.turn),
      name='attention',
    )(y)
    # The sum, which the norm and the next residual read, not the product.
    x = checkpoint_name(x, 'projected')
    y = LayerNorm(self.dtype, self.epsilon, name='mlp_norm')(x)
    return x + MLP(
      *(self.mlp, self.dtype),
      tokens=self.tokens,
      exact=self.exact,
      gated=self.gated,
      name='mlp',
    )(y)
