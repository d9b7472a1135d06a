"""What the surfaces of the built-in world look like: patterns and colours."""

import functools
from typing import NamedTuple

import numpy as np

SIDE = 256  # texels along one side of a tile
LEVELS = 6  # level l suits a pixel that covers 2**l texels
COLOURS = 256  # of a palette, from the darkest to the lightest texel
# Of the patterns, the same in every world: seeds of worlds change what is drawn
# with them.
_SEED = 40
_PLAIN = 3  # the first patterns of the bank have no lines or figures


class Materials(NamedTuple):
  """One row a surface."""

  pattern: np.ndarray  # int [s], index in bank()
  tile: np.ndarray  # [s] metres that one tile of the pattern covers
  offset: np.ndarray  # [s 2] in tiles
  palette: np.ndarray  # float32 [s COLOURS 3], linear RGB


def sample(
  rng: np.random.Generator, girth: np.ndarray, walls, ceiling
) -> Materials:
  """Draws the looks of a room, the first six surfaces, and its solids.

  Args:
    rng: draws.
    girth: [s] metres that a whole number of tiles must cover; 0: any.
    walls: surfaces of one material.
    ceiling: a surface that is plain and light.
  """
  count = len(girth)
  pattern = rng.integers(0, len(bank()), count)
  pattern[ceiling] %= _PLAIN
  tile = rng.uniform(0.5, 1.2, count)
  tile[:6] = rng.uniform(1.2, 3.0, 6)
  saturation = rng.uniform(0.3, 0.9, count)
  saturation[:6] *= 0.6
  value = rng.uniform(0.35, 1.0, count)
  hue = rng.uniform(0, 1, (count, 2))
  for drawn in (pattern, tile, saturation, hue):
    drawn[walls] = drawn[walls[0]]
  value[ceiling] = rng.uniform(0.8, 1.0)

  # Three stops, dark to light; the lightest may be of another hue.
  base, accent = np.moveaxis(_colours(hue, saturation, value), 1, 0)
  shade = rng.uniform((0.1, 0.35, 0.8), (0.4, 0.8, 1.1), (count, 3))
  stops = base[:, None] * shade[..., None]
  accented = rng.random(count) < 0.5
  stops[accented, 2] = accent[accented]
  tiles = np.maximum(np.round(girth / tile), 1)
  return Materials(
    pattern=pattern,
    tile=np.where(girth > 0, girth / tiles, tile),
    offset=rng.uniform(0, 1, (count, 2)),
    palette=(_BLEND @ stops).astype(np.float32),
  )


def _colours(hue, saturation, value):
  """Linear RGB [s 2 3] of hues [s 2]."""
  wheel = 0.5 + 0.5 * np.cos(2 * np.pi * (hue[..., None] + (0, 1 / 3, 2 / 3)))
  return value[:, None, None] * (1 - saturation[:, None, None] * wheel)


# Weights [COLOURS 3] that blend a palette of three stops.
_BLEND = np.maximum(
  0, 1 - np.abs(np.linspace(0, 2, COLOURS)[:, None] - np.arange(3))
)


@functools.cache
def bank() -> np.ndarray:
  """Tileable patterns, each at falling sharpness: uint8 [k LEVELS SIDE SIDE].

  The blurred levels keep the full side, so that a look-up is one index and
  needs no interpolation. Built once in a process, in about 0.2 s.
  """
  rng = np.random.default_rng(_SEED)
  y, x = np.mgrid[:SIDE, :SIDE] / SIDE
  patterns = [
    _noise(rng, 1.0),
    _noise(rng, 1.5),
    _patches(rng),
    _ridges(rng),
    _wood(rng, x),
    _planks(rng, x, y),
    _bricks(rng, x, y),
    _checker(rng, x, y),
    _stripes(rng, x),
    _dots(rng, x, y),
    _cells(rng, x, y),
    _fabric(rng, x, y),
  ]
  return np.stack([_levels(_equalise(p)) for p in patterns])


def _noise(rng, power, stretch=1.0):
  """Noise whose amplitude falls with frequency as 1 / f**power."""
  fy = np.fft.fftfreq(SIDE)[:, None] * SIDE
  fx = np.fft.rfftfreq(SIDE)[None] * SIDE
  frequency = np.hypot(fy / stretch, fx)
  frequency[0, 0] = np.inf
  spectrum = np.fft.rfft2(rng.normal(size=(SIDE, SIDE)))
  noise = np.fft.irfft2(spectrum * frequency**-power, s=(SIDE, SIDE))
  return noise / noise.std()


def _ridges(rng):
  return -np.abs(_noise(rng, 1.4)) + 0.1 * _noise(rng, 0.6)


def _wood(rng, x):
  rings = np.sin(2 * np.pi * (5 * x + 0.5 * _noise(rng, 1.8)))
  return rings + 0.5 * _noise(rng, 0.7, stretch=0.1)


def _planks(rng, x, y):
  row = (x * 6).astype(int)
  joint = rng.random(6)[row]
  plank = (y * 2 + joint).astype(int) % 2 + 2 * row
  seam = (x * 6 % 1 < 0.05) | ((y * 2 + joint) % 1 < 0.012)
  tone = rng.normal(size=12)[plank] + 0.6 * _noise(rng, 0.8, stretch=0.15)
  return np.where(seam, -3.0, tone)


def _bricks(rng, x, y):
  row = (y * 8).astype(int)
  along = (x * 4 + 0.5 * (row % 2)) % 4
  brick = along.astype(int) + 4 * row
  mortar = (along % 1 < 0.06) | (y * 8 % 1 < 0.12)
  tone = rng.normal(size=32)[brick] + 0.4 * _noise(rng, 0.7)
  return np.where(mortar, 3.0, tone)


def _checker(rng, x, y):
  square = ((x * 4).astype(int) + (y * 4).astype(int)) % 2
  return 3.0 * square + 0.4 * _noise(rng, 1.0)


def _stripes(rng, x):
  return np.sign(np.sin(2 * np.pi * 5 * x)) + 0.3 * _noise(rng, 1.0)


def _dots(rng, x, y):
  row = (y * 6).astype(int)
  dx = (x * 6 + 0.5 * (row % 2)) % 1 - 0.5
  dy = y * 6 % 1 - 0.5
  return 3.0 * (np.hypot(dx, dy) < 0.3) + 0.4 * _noise(rng, 1.0)


def _cells(rng, x, y):
  """Each texel takes the tone of its nearest seed (Worley cells)."""
  seeds = rng.random((60, 2))
  dx = np.abs(x[..., None] - seeds[:, 0])
  dy = np.abs(y[..., None] - seeds[:, 1])
  distance = np.hypot(np.minimum(dx, 1 - dx), np.minimum(dy, 1 - dy))
  return rng.normal(size=60)[distance.argmin(-1)] + 0.2 * _noise(rng, 0.8)


def _fabric(rng, x, y):
  weave = np.sin(2 * np.pi * 12 * x) * np.sin(2 * np.pi * 12 * y)
  return weave + 0.8 * _noise(rng, 1.3)


def _patches(rng):
  return np.round(1.5 * _noise(rng, 1.7)) + 0.2 * _noise(rng, 0.8)


def _equalise(pattern):
  """Stretch to [0, 255], the outer two percent cut."""
  low, high = np.percentile(pattern, [2, 98])
  return np.clip((pattern - low) / (high - low), 0, 1) * 255


def _levels(pattern):
  """The pattern under ever wider Gaussians, level 0 untouched."""
  spectrum = np.fft.rfft2(pattern)
  fy = np.fft.fftfreq(SIDE)[:, None]
  fx = np.fft.rfftfreq(SIDE)[None]
  squared = (2 * np.pi) ** 2 * (fy**2 + fx**2)
  blurs = [np.exp(-0.5 * squared * (0.5 * 2**k) ** 2) for k in range(LEVELS)]
  blurs[0][:] = 1.0
  blurred = [np.fft.irfft2(spectrum * b, s=(SIDE, SIDE)) for b in blurs]
  return np.clip(blurred, 0, 255).astype(np.uint8)
