"""Where a token is: learned position embeddings."""

import flax.linen as nn
from jaxtyping import Array, Float

from models.patches import Triple


class Learned(nn.Module):
  """One learned embedding per position of a grid.

  The published encoder has a full (t h w) table, not a sum of one per axis.

  Attributes:
    sizes: of the grid.
    width: of an embedding.
  """

  sizes: Triple | tuple[int]
  width: int

  @nn.compact
  def __call__(self) -> Float[Array, 'n d']:
    """All embeddings, in the order (t h w), float32."""
    shape = (*self.sizes, self.width)
    table = self.param('embeddings', nn.initializers.normal(0.02), shape)
    return table.reshape(-1, self.width)
