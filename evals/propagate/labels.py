"""What is carried: objects, parts of people or joints, and how it is scored."""

import dataclasses
from typing import Protocol, runtime_checkable

import cv2
import jax
import numpy as np
from jaxtyping import Array, Float, UInt8

from data import overlay, pictures
from data.sequences import Sequence, davis
from evals import metrics
from evals.metrics import Sums
from evals.propagate import walk


@runtime_checkable
class Carried(Protocol):
  """The labels of one sequence, from its first frame to their sums."""

  def places(self, grid: tuple[int, int]) -> Float[np.ndarray, 'n c']:
    """Of the first frame, for each place of a grid."""

  def answer(
    self, labels: Float[Array, 't n c'], grid: tuple[int, int]
  ) -> np.ndarray:
    """What the labels of places say of frames."""

  def still(self) -> np.ndarray:
    """The trivial answer: all frames are as the first one."""

  def sums(self, answer: np.ndarray) -> Sums:
    """Of an answer for all frames, see `evals.metrics`."""

  def drawn(
    self, video: UInt8[np.ndarray, 't h w 3'], answer: np.ndarray, frames
  ) -> list[tuple[str, np.ndarray]]:
    """Rows of a contact sheet of some frames: the answer, and the truth."""


@dataclasses.dataclass(frozen=True)
class Objects:
  """Objects that are seen in the first frame: J and F.

  Attributes:
    true: the numbers of all frames.
    size: of frames that the backbone sees: labels are brought to it first.
    soft: a place has the share of each label in it; otherwise that of its
      middle, as in DINO's code.
    stretch: see `walk.pixels`.
    last: judge the last frame too; DAVIS leaves it out.
    least: pixels that an object has in the first frame, or it is none.
  """

  true: UInt8[np.ndarray, 't h w']
  size: tuple[int, int]
  soft: bool
  stretch: bool
  last: bool
  least: int = 1

  @property
  def numbers(self) -> np.ndarray:
    """Of the objects."""
    found, counts = np.unique(self.true[0], return_counts=True)
    kept = (counts >= self.least) & (found > 0) & (found != davis.VOID)
    return found[kept].astype(int)

  def places(self, grid: tuple[int, int]) -> Float[np.ndarray, 'n c']:
    """The background, each object, and what only fills up to a fourth."""
    numbers = np.concatenate([[0], self.numbers])
    first = np.where(np.isin(self.true[0], numbers), self.true[0], 0)
    return one_hot(first, numbers, grid, self.soft)

  def answer(
    self, labels: Float[Array, 't n c'], grid: tuple[int, int]
  ) -> np.ndarray:
    """The number at each pixel, [t h w]."""
    numbers = np.concatenate([[0], self.numbers])
    return at_pixels(
      labels, grid, self.size, self.true.shape[1:], numbers, self.stretch
    )

  def still(self) -> np.ndarray:
    """The truth of the first frame, in all."""
    return np.broadcast_to(self.true[:1], self.true.shape)

  def sums(self, answer: np.ndarray) -> Sums:
    """Of the frames after the first."""
    judged = slice(1, None if self.last else -1)
    return metrics.region_sums(answer[judged], self.true[judged], self.numbers)

  def drawn(self, video, answer, frames):
    """See `Carried`."""
    return [
      (title, tinted(video, each[frames]))
      for title, each in (('carried', answer), ('truth', self.true))
    ]


def one_hot(
  first: UInt8[np.ndarray, 'h w'],
  numbers: np.ndarray,
  grid: tuple[int, int],
  soft: bool,
) -> Float[np.ndarray, 'n c']:
  """The share of each number in each place.

  Columns are filled up to a multiple of four with what is nowhere, so that few
  programs are compiled: it never is the largest.
  """
  if not soft:
    first = pictures.resize_depth(first[None, ..., None], *grid)[0, ..., 0]
  shares = np.zeros((*grid, -(-len(numbers) // 4) * 4), np.float32)
  for column, number in enumerate(numbers):
    each = (first == number).astype(np.float32)
    shares[..., column] = cv2.resize(
      each, grid[::-1], interpolation=cv2.INTER_AREA
    )
  return shares.reshape(-1, shares.shape[-1])


def at_pixels(
  labels: Float[Array, 't n c'],
  grid: tuple[int, int],
  size: tuple[int, int],
  stored: tuple[int, int],
  numbers: np.ndarray,
  stretch: bool,
) -> UInt8[np.ndarray, 't y x']:
  """The number of each pixel of a frame as it is stored."""
  found = walk.pixels(labels, grid=grid, size=size, stretch=stretch)
  found = numbers.astype(np.uint8)[jax.device_get(found)]
  return pictures.resize_depth(found[..., None], *stored)[..., 0]


def tinted(
  video: UInt8[np.ndarray, 't h w 3'], numbers: UInt8[np.ndarray, 't h w']
) -> UInt8[np.ndarray, 't h w 3']:
  """Each number but 0 in a colour of its own, over the picture."""
  colours = np.array([(0, 0, 0), *overlay.colours(255)], np.float32)
  tint = (video + colours[numbers]) / 2
  return np.where(numbers[..., None] > 0, tint, video).astype(np.uint8)


def first_frames(sequence: Sequence, frames) -> UInt8[np.ndarray, 't h w 3']:
  """Some frames of a sequence, as stored."""
  return np.concatenate([sequence.video(n, n + 1) for n in frames])
