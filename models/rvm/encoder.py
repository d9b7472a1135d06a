"""The encoder of RVM: a vision transformer that sees one frame at a time."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from einops import repeat
from jaxtyping import Array, Float, Int, PRNGKeyArray, Shaped

from base.names import choose
from models.nn import patches, positions
from models.nn.layers import LayerNorm
from models.nn.positions import Learned
from models.objective import Params
from models.vit import Backbone

POSITIONS = ('sines', 'waves')
# The grid whose table is published, of frames of 256 x 256: others are resized.
_GRID = (1, 16, 16)


def places(
  name: str, grid: tuple[int, int], width: int
) -> Float[Array, '1 h w d']:
  """A fixed table of the places of a frame's patches, float32.

  Args:
    name: of POSITIONS: 'sines' of a patch's number, row by row, as published;
      or 'waves' along both axes, see `positions.waves` (ours: short runs then
      need not find out first which places are near one another).
    grid: patches down and across.
    width: of an embedding.

  Raises:
    ValueError: no such name.
  """
  choose('model.positions', name, POSITIONS)
  if name == 'waves':
    return positions.waves((1, *grid), (1, 1, 1), width)
  count = _GRID[1] * _GRID[2]
  table = jnp.asarray(positions.sines(count, width)).reshape(*_GRID, width)
  return positions.resize(table, (1, *grid)) if grid != _GRID[1:] else table


@dataclasses.dataclass(frozen=True)
class Encoder:
  """Patches, places, a class token, blocks and a LayerNorm.

  Parameters: encoder/{patch_embedding/{kernel,bias},class_token/embeddings} and
  processor/{layers/...,norm/{scale,bias}}.

  Attributes:
    backbone: of a single frame.
    positions: a name of POSITIONS.
  """

  backbone: Backbone
  positions: str

  @property
  def grid(self) -> tuple[int, int]:
    """Patches down and across a frame."""
    return self.backbone.grid[1:]

  @property
  def width(self) -> int:
    """Of a token."""
    return self.backbone.size.width

  @property
  def _class_token(self) -> Learned:
    return Learned((1,), self.width)

  @property
  def _norm(self) -> LayerNorm:
    return LayerNorm(self.backbone.dtype)

  def init(self, rng: PRNGKeyArray) -> dict[str, Any]:
    """New parameters: {'encoder': ..., 'processor': ...}."""
    backbone, token, norm = jax.random.split(rng, 3)
    made = self.backbone.init(backbone)
    del made['encoder']['posenc']  # a fixed table is no parameter
    made['encoder']['class_token'] = self._class_token.init(token)['params']
    some = jnp.zeros((1, self.width))
    made['processor']['norm'] = self._norm.init(norm, some)['params']
    return made

  def encode(
    self,
    params: Params,
    pixels: Shaped[Array, 'b n p'],
    index: Int[Array, 'b v'] | None = None,
  ) -> Float[Array, 'b m d']:
    """Tokens of frames, the class token first.

    Args:
      params: as `init` makes them; others are not read.
      pixels: all patches of each frame, uint8 or in [0, 1].
      index: those of them that are seen; None: all.
    """
    encoder = params['encoder']
    table = places(self.positions, self.grid, self.width)
    own = {
      'patch_embedding': encoder['patch_embedding'],
      'posenc': {'embeddings': table},
    }
    if index is not None:
      pixels = patches.take(pixels, index)
    x = self.backbone.embed(own, pixels, index)
    token = self._class_token.apply({'params': encoder['class_token']})
    # It has no place.
    token = repeat(token.astype(x.dtype), '1 d -> b 1 d', b=x.shape[0])
    x = jnp.concatenate([token, x], axis=1)
    x = self.backbone.run(params['processor']['layers'], x)
    return self._norm.apply({'params': params['processor']['norm']}, x)

  def flops(self, tokens: int) -> float:
    """Of one frame's forward pass over so many patches, less their embedding.

    The class token is added to them.
    """
    return self.backbone.flops(tokens + 1, self.backbone.size.depth)
