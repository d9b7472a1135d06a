"""Positions as turns of queries and keys, over time, height and width."""

import dataclasses

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from models.nn.patches import Triple


@dataclasses.dataclass(frozen=True)
class Rotary:
  """The rotary embedding of V-JEPA 2, as it was trained.

  Three runs of equally many channels are turned by the time, the row and the
  column of a token, in whole tokens; what is left is not turned. Channels 2m
  and 2m + 1 of a run are a pair, but channel c has the angle of frequency
  c mod half the run: the two of a pair have different ones. It is no rotation,
  and the weights are used to it.

  Attributes:
    grid: tokens along time, height and width.
    base: of the wavelengths.
  """

  grid: Triple
  base: float = 10000.0

  def angles(self, channels: int) -> np.ndarray:
    """Of each token and channel of a head, float64 [n e]; 0 where it is left.

    Args:
      channels: of a head.
    """
    run = channels // 3 // 2 * 2
    half = run // 2
    frequency = self.base ** (-np.arange(half) / max(half, 1))
    places = np.indices(self.grid).reshape(3, -1)
    angles = np.zeros((places.shape[1], channels))
    for axis, place in enumerate(places):
      turned = np.tile(place[:, None] * frequency, 2)
      angles[:, axis * run : (axis + 1) * run] = turned
    return angles

  def __call__(self, x: Float[Array, 'b n k e']) -> Float[Array, 'b n k e']:
    """Queries or keys, turned in float32."""
    angles = self.angles(x.shape[-1])
    run = x.shape[-1] // 3 // 2 * 2
    cos, sin = (
      jnp.asarray(wave(angles), jnp.float32)[:, None]
      for wave in (np.cos, np.sin)
    )
    turned = x[..., : 3 * run].astype(jnp.float32)
    pairs = turned.reshape(*turned.shape[:-1], 3 * run // 2, 2)
    other = jnp.stack([-pairs[..., 1], pairs[..., 0]], -1).reshape(turned.shape)
    turned = turned * cos[..., : 3 * run] + other * sin[..., : 3 * run]
    left = x[..., 3 * run :]
    return jnp.concatenate([turned.astype(x.dtype), left], -1)
