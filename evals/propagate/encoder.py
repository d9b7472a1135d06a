"""Features of each frame of a sequence, from a backbone that sees clips."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from jaxtyping import Array, Float

from data import pictures
from data.sequences import Sequence
from evals.features.backbone import Backbone, Options
from evals.resolve import read_config
from models import objective as objective_lib


class Encoder:
  """A frozen backbone, one time step of tokens for each frame.

  Where a token spans several frames (a tubelet), each frame of the sequence is
  shown as often, one after another: a step of tokens is then of one frame, and
  labels are carried to every one. A backbone that sees clips sees as many of
  these frames as fit, window after window without overlap, the last one filled
  with its last frame; one that carries a state does so through the sequence.
  """

  def __init__(
    self,
    checkpoint: str,
    *,
    step: int,
    depth: float,
    size: tuple[int, int] | None,
    random_init: bool,
  ):
    """Loads it.

    Args:
      checkpoint: folder of a pretraining run.
      step: of its checkpoints; -1: the last.
      depth: of the features.
      size: height and width of frames, cut to whole patches; None: the run's.
      random_init: leave it as it is before training.

    Raises:
      ValueError: no such run or checkpoint, or tokens that are not of places.
    """
    patch, own = _places(checkpoint)
    wanted = size or own
    self.size = tuple(side // p * p for side, p in zip(wanted, patch))
    if not all(self.size):
      raise ValueError(
        f'--size={wanted[0]}x{wanted[1]} is less than a patch of {patch[0]} x '
        f'{patch[1]} pixels: give a larger one'
      )
    self.grid = tuple(side // p for side, p in zip(self.size, patch))
    self.backbone = Backbone(
      checkpoint,
      step,
      Options(depths=(depth,)),
      size=None if self.size == own else self.size,
      random_init=random_init,
    )
    frames = self.backbone.clip[0]
    shape = self.backbone.shapes[0]
    steps, places = shape[1:3]
    if places != self.grid[0] * self.grid[1] or frames % steps:
      raise ValueError(
        f'--checkpoint={checkpoint} has {places} tokens for a frame of '
        f'{self.grid[0]} x {self.grid[1]} patches, {steps} steps for {frames} '
        'frames: labels of places need a token for each patch'
      )
    self.repeat = frames // steps
    self.window = steps

  def __call__(
    self, sequence: Sequence
  ) -> Iterator[tuple[Float[Array, 't n d'], int]]:
    """Features of a window's frames, and how many of them are real.

    Raises:
      BadRecord: a picture is damaged.
    """
    state: Any = None
    for begin in range(0, len(sequence), self.window):
      end = min(begin + self.window, len(sequence))
      clip = pictures.resize(sequence.video(begin, end), *self.size)
      more = np.repeat(clip[-1:], self.window - len(clip), axis=0)
      clip = np.concatenate([clip, more]).repeat(self.repeat, axis=0)
      found, state = self.backbone(clip[None], state)
      (tokens,) = found.values()
      yield tokens[0], end - begin


def _places(checkpoint: str) -> tuple[tuple[int, int], tuple[int, int]]:
  """Height and width of a patch, and of a frame, of a run's backbone.

  Raises:
    ValueError: its tokens are not of patches.
  """
  model = read_config(checkpoint)['model']
  model = objective_lib.for_readouts(**model)
  if 'patch' not in model:
    raise ValueError(
      f'--checkpoint={checkpoint} is of {model["name"]}, whose tokens are not '
      'of places in the picture: labels are carried from place to place. Give '
      'a run whose model has patches'
    )
  height, width = model['patch'][-2:]
  return (height, width), (model['height'], model['width'])
