"""Views of a video: which of its frames, and which part of their picture.

What sources share whose records are whole videos with a class: `kinetics`,
`ssv2` and `tfds`. For training a view is drawn; otherwise a video has several
that follow one another, all crops of the first clip first, so that the
probabilities of all can be averaged.
"""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Int, UInt8

from data import pictures, require, splits, transforms

Decode = Callable[[Int[np.ndarray, 't']], UInt8[np.ndarray, 't _h _w 3']]


@dataclasses.dataclass(frozen=True)
class Views:
  """Of each video; see `make`."""

  frames: int
  height: int
  width: int
  stride: tuple[int, int]
  clips: int
  crops: int
  random: bool
  scale: tuple[float, float]
  aspect: tuple[float, float]
  flip: float

  def __len__(self) -> int:
    """How many there are."""
    return self.clips * self.crops

  def read(
    self, number: int, total: int, decode: Decode, rng: np.random.Generator
  ) -> UInt8[np.ndarray, 't h w 3']:
    """A view, resized.

    Args:
      number: of the view.
      total: frames of the video.
      decode: numbers of frames -> their pictures, of any size.
      rng: what is random is drawn from; not used where nothing is.
    """
    size = self.height, self.width
    if not self.random:
      clip, crop = divmod(number, self.crops)
      window = transforms.spread_window(
        total, self.frames, self.stride, clip, self.clips
      )
      part = pictures.spread_part(decode(window), *size, crop, self.crops)
      return pictures.resize(part, *size)
    window = transforms.window(rng, total, self.frames, self.stride)
    whole = decode(window)
    box = transforms.random_box(rng, *whole.shape[1:3], self.scale, self.aspect)
    bottom, right = box.top + box.height, box.left + box.width
    view = pictures.resize(whole[:, box.top : bottom, box.left : right], *size)
    if transforms.random_flip(rng, self.flip):
      view = np.ascontiguousarray(view[:, :, ::-1])
    return view


def make(
  who: str,
  split: str,
  *,
  frames: int,
  height: int,
  width: int,
  stride: Sequence[int],
  clips: int,
  crops: int,
  scale: Sequence[int | float],
  aspect: Sequence[int | float],
  flip: int | float,
) -> Views:
  """Views of the videos of a split; their defaults are those of the source.

  Args:
    who: the source, for messages.
    split: 'train', where views are drawn, 'validation' or 'test', where clips
      are spread evenly over the video, and crops over the longer side of its
      picture.
    frames: of a clip.
    height: pixels.
    width: pixels.
    stride: least and greatest distance between frames; less where a video is
      too short.
    clips: of each video, in the splits that are not for training.
    crops: of each of those clips: 1, the centre, or 3, at both ends of the
      longer side and the centre.
    scale: least and greatest area of a cut for training, of the picture's.
    aspect: least and greatest width / height of a cut for training.
    flip: probability of mirroring for training.

  Raises:
    ValueError: a bad option.
  """
  require.one_of(who, splits.SPLITS, split=split)
  require.at_least(1, who, frames=frames, height=height, width=width)
  require.at_least(1, who, clips=clips)
  # As published results are: one view, or three of each clip.
  if crops not in (1, 3):
    raise ValueError(
      f'{who}: crops={crops}: 1 (the centre) or 3 (both ends and the centre)?'
    )
  require.stride(who, stride)
  require.ordered(who, most=1, scale=scale)
  require.ordered(who, aspect=aspect)
  require.between(0, 1, who, flip=flip)
  trains = split == 'train'
  return Views(
    frames=frames,
    height=height,
    width=width,
    stride=tuple(stride),
    clips=1 if trains else clips,
    crops=1 if trains else crops,
    random=trains,
    scale=tuple(map(float, scale)),
    aspect=tuple(map(float, aspect)),
    flip=float(flip),
  )
