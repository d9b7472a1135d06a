"""The recurrent core of RVM: how a frame's tokens change the state.

A state has as many tokens as a frame, its class token first. Two gates, as of a
GRU, say how much of it a frame may look at, and how much of it is replaced.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name
from jaxtyping import Array, Float, PRNGKeyArray

from models.nn.layers import LayerNorm, lecun, product
from models.objective import Params
from models.rvm.layers import Stack
from models.sharding import constrain, gather

State = Float[Array, 'b n d']
# Published names: of what a frame says, and of what the state says.
GATES = ('input_update', 'input_reset', 'state_update', 'state_reset')


@dataclasses.dataclass(frozen=True)
class Core:
  """The gates, and the transformer between them.

  Parameters: <gate>/kernel, no biases; state_norm/scale; those of the `Stack`.

  Attributes:
    stack: the transformer.
  """

  stack: Stack

  @property
  def _norm(self) -> LayerNorm:
    # A state starts at 0, and is small at first: that is not scaled up to a
    # deviation of 1. The epsilon is published.
    return LayerNorm(epsilon=1e-4, use_bias=False)

  def init(self, rng: PRNGKeyArray) -> dict[str, Any]:
    """New parameters."""
    width = self.stack.width
    stack, norm, *gates = jax.random.split(rng, 2 + len(GATES))
    return {
      **{
        name: {'kernel': lecun(1, 1)(key, (width, width))}
        for name, key in zip(GATES, gates)
      },
      'state_norm': self._norm.init(norm, jnp.zeros((1, width)))['params'],
      **self.stack.init(stack),
    }

  def start(self, batch: int, tokens: int) -> State:
    """The state before the first frame: zeros, as published."""
    return jnp.zeros((batch, tokens, self.stack.width))

  def collected(self, params: Params) -> dict[str, Any]:
    """Parameters as `step` reads them: what no block owns is collected once."""
    stacked = {key: params[key] for key in ('layers', 'norm')}
    gates = {key: x for key, x in params.items() if key not in stacked}
    return {**gather(gates, 'core', self.stack.dtype), **stacked}

  def step(
    self, params: Params, state: State, x: Float[Array, 'b n d']
  ) -> State:
    """The state after a frame, float32.

    Args:
      params: of `collected`.
      state: after the frame before.
      x: the frame's own tokens.
    """
    state = constrain(state, 'batch', None, None)

    def gate(name):
      # One that the frame opens, and the state.
      seen, kept = (
        checkpoint_name(self._linear(params[f'{by}_{name}'], y), 'projected')
        for by, y in (('input', x), ('state', state))
      )
      # Summed in float32: in a gate near 1 small differences matter.
      return jax.nn.sigmoid(seen.astype(jnp.float32) + kept)

    update, reset = gate('update'), gate('reset')
    kept = reset * self._norm.apply({'params': params['state_norm']}, state)
    new = self.stack.run(params, 'core', x, kept)
    return (1 - update) * state + update * new

  def _linear(self, leaf: Params, x: Float[Array, 'b n d']):
    dtype = self.stack.dtype
    return product(x.astype(dtype), leaf['kernel'].astype(dtype))

  def flops(self, tokens: int) -> float:
    """Of one example's forward pass over a frame of so many tokens."""
    gates = 2.0 * len(GATES) * tokens * self.stack.width**2
    return gates + self.stack.flops(tokens, tokens)
