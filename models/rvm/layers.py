"""The block that RVM's core and decoder are built of, and a stack of such."""

import dataclasses
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from einops import rearrange
from jax.ad_checkpoint import checkpoint_name
from jaxtyping import Array, Float, PRNGKeyArray

from models.nn.layers import MLP, CrossAttention, LayerNorm, SelfAttention
from models.nn.stack import rematerialised, unstack
from models.objective import Params
from models.sharding import constrain, gather


class Block(nn.Module):
  """x += cross(norm x, kv), then x += MLP(norm x), then x += self(norm x).

  That order is published; kv is not normalised here.

  Attributes:
    heads: attention heads.
    mlp: hidden width of the MLP.
    groups: of tokens, one after another: attention among tokens is within one.
    dtype: of the arithmetic and the result.
    attention: see `models.nn.attention.attend`.
  """

  heads: int
  mlp: int
  groups: int = 1
  dtype: str = 'float32'
  attention: str = 'auto'

  @nn.compact
  def __call__(
    self, x: Float[Array, 'b n d'], kv: Float[Array, 'b m e']
  ) -> Float[Array, 'b n d']:
    """One layer."""
    sizes = (self.heads, self.dtype, self.attention)
    y = LayerNorm(self.dtype, name='cross_norm')(x)
    x = x + CrossAttention(*sizes, name='cross_attention')(y, kv)
    x = checkpoint_name(x, 'projected')
    y = LayerNorm(self.dtype, name='mlp_norm')(x)
    x = x + MLP(self.mlp, self.dtype, name='mlp')(y)
    x = checkpoint_name(x, 'projected')
    y = LayerNorm(self.dtype, name='attention_norm')(x)
    y = rearrange(y, 'b (g n) d -> (b g) n d', g=self.groups)
    y = SelfAttention(*sizes, name='attention')(y)
    return x + rearrange(y, '(b g) n d -> b (g n) d', g=self.groups)


@dataclasses.dataclass(frozen=True)
class Stack:
  """Blocks, and a LayerNorm behind the last one.

  Parameters: layers/..., stacked along a first axis [l], and norm/{scale,bias}.

  Attributes:
    width: of the tokens.
    seen: width of the tokens that they look at.
    layers: number of blocks.
    heads: attention heads; each is width / heads wide.
    mlp: hidden width of the MLPs.
    groups: see `Block`.
    dtype: of the arithmetic; the result is float32.
    attention: see `models.nn.attention.attend`.
    remat: what the backward pass recomputes of a block, a name of
      `stack.REMAT`.
    scan: scan over the blocks, or unroll them.
  """

  width: int
  seen: int
  layers: int
  heads: int
  mlp: int
  groups: int
  dtype: str
  attention: str
  remat: str
  scan: bool

  @property
  def _block(self) -> Block:
    return Block(self.heads, self.mlp, self.groups, self.dtype, self.attention)

  @property
  def _norm(self) -> LayerNorm:
    return LayerNorm()

  def init(self, rng: PRNGKeyArray) -> dict[str, Any]:
    """New parameters."""
    x = jnp.zeros((1, self.groups, self.width), self.dtype)
    kv = jnp.zeros((1, 1, self.seen), self.dtype)
    keys = jax.random.split(rng, self.layers)
    # A key for each layer: from one, all would start alike.
    layers = jax.vmap(lambda key: self._block.init(key, x, kv)['params'])(keys)
    return {'layers': layers, 'norm': self._norm.init(rng, x)['params']}

  def run(
    self,
    params: Params,
    path: str,
    x: Float[Array, 'b n d'],
    kv: Float[Array, 'b m e'],
  ) -> Float[Array, 'b n d']:
    """Tokens x, which look at tokens kv and at each other, float32.

    Args:
      params: as `init` makes them.
      path: where in the model they are.
      x: tokens.
      kv: other tokens.
    """
    x, kv = x.astype(self.dtype), kv.astype(self.dtype)

    def block(x, layer):
      x = constrain(x, 'batch', None, None)
      # In here, as in `stack.run`.
      layer = gather(layer, f'{path}/layers', self.dtype)
      return self._block.apply({'params': layer}, x, kv)

    block = rematerialised(block, self.remat, in_scan=self.scan)
    if self.scan:
      x, _ = jax.lax.scan(
        lambda x, layer: (block(x, layer), None), x, params['layers']
      )
    else:
      for layer in unstack(params['layers']):
        x = block(x, layer)
    return self._norm.apply({'params': params['norm']}, x)

  def flops(self, n: int, m: int) -> float:
    """Of one example's forward pass: n tokens in each group, m others."""
    d, e = self.width, self.seen
    tokens = n * self.groups
    per_layer = tokens * (6 * d * d + 2 * d * self.mlp + 2 * (m + n) * d)
    return 2.0 * self.layers * (per_layer + 2 * m * e * d)
