"""The decoder of RVM: later frames, of a few of their patches and the states.

Published are its blocks, their sizes, an embedding of how much later a frame
is, and that it looks at all states of the frames before. All else is ours: one
embedding stands where patches are hidden, those that are seen come from the
encoder; places have the same fixed table as there; the time gap has one too,
behind a linear layer. Each frame is decoded by itself.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from einops import rearrange
from jaxtyping import Array, Float, Int, PRNGKeyArray

from models.nn import positions
from models.nn.layers import Affine, affine, lecun
from models.nn.positions import Learned
from models.objective import Params
from models.rvm.encoder import places
from models.rvm.layers import Stack
from models.sharding import gather


@dataclasses.dataclass(frozen=True)
class Decoder:
  """See above.

  Parameters: project/{kernel,bias}, mask_token/embeddings, gap/{kernel,bias},
  those of the `Stack`, and head/{kernel,bias}.

  Attributes:
    stack: the transformer, with a group for each frame; it looks at tokens as
      wide as the encoder's.
    grid: patches down and across a frame.
    pixels: values of a patch.
    gaps: the largest time gap, in frames.
    positions: see `encoder.places`.
  """

  stack: Stack
  grid: tuple[int, int]
  pixels: int
  gaps: int
  positions: str

  @property
  def _project(self) -> Affine:
    return Affine((self.stack.seen,), (self.stack.width,), lecun(1, 1))

  @property
  def _mask_token(self) -> Learned:
    return Learned((1,), self.stack.width)

  @property
  def _gap(self) -> Affine:
    return Affine((self.stack.width,), (self.stack.width,), lecun(1, 1))

  @property
  def _head(self) -> Affine:
    return Affine((self.stack.width,), (self.pixels,), lecun(1, 1))

  def init(self, rng: PRNGKeyArray) -> dict[str, Any]:
    """New parameters."""
    keys = iter(jax.random.split(rng, 5))
    return {
      'project': self._project.init(next(keys))['params'],
      'mask_token': self._mask_token.init(next(keys))['params'],
      'gap': self._gap.init(next(keys))['params'],
      'head': self._head.init(next(keys))['params'],
      **self.stack.init(next(keys)),
    }

  def decode(
    self,
    params: Params,
    seen: Float[Array, 'b g v d'],
    index: Int[Array, 'b g v'],
    gaps: Int[Array, 'b g'],
    states: Float[Array, 'b m d'],
  ) -> Float[Array, 'b g n p']:
    """All patches of each of g frames, float32.

    Args:
      params: as `init` makes them.
      seen: tokens of the patches that are seen.
      index: which patches those are.
      gaps: frames between the last one of `states` and each of these.
      states: all tokens that can be looked at.
    """
    dtype = self.stack.dtype
    stacked = {key: params[key] for key in ('layers', 'norm')}
    # The rest is read once.
    own = {key: x for key, x in params.items() if key not in stacked}
    own = gather(own, 'decoder', dtype)

    def linear(part, x):
      kernel, bias = getattr(self, f'_{part}').apply({'params': own[part]})
      return affine(x.astype(dtype), kernel.astype(dtype), bias.astype(dtype))

    h, w = self.grid
    # A product puts tokens where they belong: TPUs scatter slowly.
    put = (index[..., None] == jnp.arange(h * w)).astype(dtype)
    x = jnp.einsum('bgvn,bgvd->bgnd', put, linear('project', seen))
    hidden = 1 - put.sum(2)[..., None]
    token = self._mask_token.apply({'params': own['mask_token']})
    x = x + hidden * token.astype(dtype)
    width = self.stack.width
    place = places(self.positions, self.grid, width).reshape(-1, width)
    later = jnp.asarray(positions.sines(self.gaps + 1, width))[gaps]
    x = x + place.astype(dtype) + linear('gap', later)[:, :, None]
    x = rearrange(x, 'b g n d -> b (g n) d')
    x = self.stack.run(stacked, 'decoder', x, states)
    x = linear('head', x).astype(jnp.float32)
    return rearrange(x, 'b (g n) p -> b g n p', n=h * w)

  def flops(self, seen: int, states: int) -> tuple[float, float]:
    """Of one example's forward pass: of all but the head, and of the head.

    Args:
      seen: patches of each frame that are seen.
      states: tokens that are looked at.
    """
    h, w = self.grid
    frames, width = self.stack.groups, self.stack.width
    # The embedding of a gap is one token a frame.
    inputs = 2.0 * frames * width * (seen * self.stack.seen + width)
    head = 2.0 * frames * h * w * width * self.pixels
    return inputs + self.stack.flops(h * w, states), head
