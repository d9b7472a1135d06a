"""Some pixels of each frame: the published roll and nearest-neighbour resize.

A decoder that is asked for every pixel of every frame costs more than the rest
of the model. So a frame is shifted at random, around its edges, and then every
`factor`-th pixel is kept. Rows and columns are picked by number, so that
targets, masks and coordinates are those of the same pixels.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, Key, Shaped


def draw(
  keys: Key[Array, 'b'], frames: int, factor: int
) -> Int[Array, 'b {frames} 2']:
  """Shifts down and to the right, uniform in [0, factor), of every frame."""
  shape = (frames, 2)
  return jax.vmap(lambda key: jax.random.randint(key, shape, 0, factor))(keys)


def places(
  shifts: Int[Array, '*b 2'], size: Sequence[int], factor: int
) -> tuple[Int[Array, '*b h'], Int[Array, '*b w']]:
  """Rows and columns that are kept of frames which are shifted.

  Nearest-neighbour resizing keeps pixel i factor + factor // 2 of the shifted
  frame.

  Args:
    shifts: down and to the right.
    size: height and width of a frame, multiples of `factor`.
    factor: of every so many rows and columns one is kept.
  """
  found = []
  for axis, length in enumerate(size):
    kept = jnp.arange(length // factor) * factor + factor // 2
    # Where a kept pixel was before the shift, around the edge.
    found.append((kept - shifts[..., axis, None]) % length)
  return tuple(found)


def pick(
  frames: Shaped[Array, 'b h w c'],
  rows: Int[Array, 'b i'],
  columns: Int[Array, 'b j'],
) -> Shaped[Array, 'b i j c']:
  """Where rows and columns of each frame cross."""
  # Rows first: they are whole pieces of memory.
  picked = jnp.take_along_axis(frames, rows[:, :, None, None], axis=1)
  return jnp.take_along_axis(picked, columns[:, None, :, None], axis=2)
