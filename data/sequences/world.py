"""Sequences of the built-in world, with the solids of each pixel."""

import dataclasses
import functools

import numpy as np
from jaxtyping import UInt8

from data.sources import world
from data.sources.world.source import World


@dataclasses.dataclass(frozen=True)
class Drawn:
  """A `Sequence`: a clip of the world, drawn when it is asked for."""

  name: str
  source: World
  index: int

  def __len__(self) -> int:
    return self.source.sizes['t']

  def video(self, begin: int, end: int) -> UInt8[np.ndarray, 't h w 3']:
    """Some of its frames."""
    return _drawn(self.source, self.index)['video'][begin:end]

  def segmentation(self) -> UInt8[np.ndarray, 't h w']:
    """0 background, solid o is o + 1."""
    return _drawn(self.source, self.index)['segmentation'][..., 0]


def sequences(
  *, count: int, frames: int, height: int, width: int
) -> list[Drawn]:
  """The first clips of the world's test split.

  Args:
    count: how many.
    frames: of each.
    height: pixels.
    width: pixels.

  Raises:
    ValueError: numbers that cannot be.
  """
  keys = 'video', 'segmentation'
  source = world.make(
    'test',
    keys=keys,
    frames=frames,
    height=height,
    width=width,
    test_clips=count,
  )
  return [Drawn(f'{index:04}', source, index) for index in range(count)]


def _drawn(source: World, index: int) -> dict[str, np.ndarray]:
  # `source` has a dict and no hash: its fingerprint stands for it.
  return _kept(_Key(source.fingerprint, index, source))


@dataclasses.dataclass(frozen=True)
class _Key:
  fingerprint: str
  index: int
  source: World = dataclasses.field(hash=False, compare=False)


@functools.lru_cache(maxsize=1)
def _kept(key: _Key) -> dict[str, np.ndarray]:
  return key.source.read(key.index)
