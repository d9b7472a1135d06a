"""Where a token is: learned position embeddings, and how they start."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from base.names import choose
from models.nn.patches import Triple

STARTS = ('normal', 'waves')
Cell = tuple[float, float, float] | Triple


def waves(grid: Triple, cell: Cell, width: int) -> Float[Array, 't h w d']:
  """Sines and cosines of the position along each axis, a third of d each.

  After the transformer's fixed encoding (arXiv 1706.03762), in three
  dimensions; wavelengths from 2 to 80 cells.

  Args:
    grid: places along time, height and width.
    cell: size of a place along each, in units that grids are to share; two
      grids over one clip then agree about where things are.
    width: of an embedding. What three axes cannot share evenly is 0.
  """
  # A sine and a cosine for each of three axes.
  count = width // 6
  # pi a cell is a wavelength of 2.
  # The longest, 80 cells (ours), is longer than any side of a recipe's grid, so
  # that no two places are alike.
  angular = jnp.pi * 40.0 ** -jnp.linspace(0, 1, max(count, 1))[:count]
  table = jnp.zeros((*grid, width))
  for axis, (size, extent) in enumerate(zip(grid, cell)):
    # Middles: cells of two grids over one clip have their edges in common.
    place = (jnp.arange(size) + 0.5) * extent
    phase = place[:, None] * angular
    wave = jnp.concatenate([jnp.sin(phase), jnp.cos(phase)], axis=1)
    shape = [1, 1, 1, 2 * count]
    shape[axis] = size
    start = 2 * count * axis
    table = table.at[..., start : start + 2 * count].set(wave.reshape(shape))
  return table


def sines(count: int, width: int) -> Float[np.ndarray, 'n d']:
  """Sines (even columns) and cosines of a number, 0 to count - 1.

  The transformer's fixed encoding (arXiv 1706.03762), of one axis, as the code
  of VideoMAE and RVM has it; wavelengths from 2 pi to 20,000 pi, made in
  float64.

  Args:
    count: of the numbers.
    width: of an encoding.
  """
  column = np.arange(width)
  angle = np.arange(count)[:, None] / 10_000 ** (2 * (column // 2) / width)
  table = np.where(column % 2, np.cos(angle), np.sin(angle))
  return table.astype(np.float32)


def bicubic(count: int, size: int, *, smooth: bool) -> np.ndarray:
  """PyTorch's bicubic resize along one axis, as a matrix [size count], float32.

  Half-pixel centres. Keys' cubic has a = -0.75 there, and edges are repeated;
  with `antialias`, a = -0.5, widened where the axis shrinks, and what is beyond
  an edge has no weight. `jax.image.resize` has neither but the last of these.

  Args:
    count: places of the table.
    size: places wanted.
    smooth: as with `antialias=True`.
  """
  ratio = count / size
  centre = (np.arange(size) + 0.5) * ratio - 0.5
  if smooth:
    away = (np.arange(count) - centre[:, None]) / max(ratio, 1)
    weight = _cubic(np.abs(away), -0.5)
    return (weight / weight.sum(1, keepdims=True)).astype(np.float32)
  weight = np.zeros((size, count))
  first = np.floor(centre).astype(int)
  for place in range(-1, 3):
    at = first + place
    tap = _cubic(np.abs(centre - at), -0.75)
    np.add.at(weight, (np.arange(size), np.clip(at, 0, count - 1)), tap)
  return weight.astype(np.float32)


def _cubic(x: np.ndarray, a: float) -> np.ndarray:
  """Keys' cubic of distances."""
  near = (a + 2) * x**3 - (a + 3) * x**2 + 1
  far = a * (x**3 - 5 * x**2 + 8 * x - 4)
  return np.where(x <= 1, near, np.where(x < 2, far, 0.0))


def start_of(
  name: str, grid: Triple, cell: Cell = (1, 1, 1)
) -> nn.initializers.Initializer:
  """The initializer of a table of positions.

  Args:
    name: 'normal' (standard deviation 0.02), or 'waves'.
    grid: whose positions they are, whatever the shape of the table.
    cell: see `waves`.

  Raises:
    ValueError: no such name.
  """
  choose('model.positions', name, STARTS)
  # A table that is learned, and starts near 0.
  if name == 'normal':
    return nn.initializers.normal(0.02)

  def init(key: jax.Array, shape: tuple[int, ...], dtype=jnp.float32):
    del key
    return waves(grid, cell, shape[-1]).reshape(shape).astype(dtype)

  return init


def resize(
  table: Float[Array, 't h w d'], grid: Triple
) -> Float[Array, '_ _ _ d']:
  """Embeddings of another grid over the same extent of time and space.

  Keys' cubic, half-pixel centres; where the grid shrinks, smoothed first.
  """
  # The resize that the published readouts use for time.
  return jax.image.resize(table, (*grid, table.shape[-1]), 'cubic')


class Learned(nn.Module):
  """One learned embedding per position of a grid.

  The published encoder has a full (t h w) table, not a sum of one per axis.

  Attributes:
    sizes: of the grid.
    width: of an embedding.
    start: an initializer; normal(0.02) is the published one.
  """

  sizes: Triple | tuple[int]
  width: int
  start: nn.initializers.Initializer = nn.initializers.normal(0.02)

  @nn.compact
  def __call__(self) -> Float[Array, 'n d']:
    """All embeddings, in the order (t h w), float32."""
    shape = (*self.sizes, self.width)
    table = self.param('embeddings', self.start, shape)
    return table.reshape(-1, self.width)
