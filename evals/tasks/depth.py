"""Depth of every pixel: the ScanNet protocol of 4DS, on any source with depth.

One query per patch of 2 frames x 8 x 8 pixels predicts its 128 depths in
metres, linearly, as in the published head (16 x 224 x 224: 6272 queries).
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from einops import rearrange
from jaxtyping import Array, Bool, Float

from data import draw
from evals import metrics
from models.choices import choose
from models.moog_readout import DenseHead, DenseReadout
from models.objective import Batch
from models.readout import AttentionReadout, Head

READOUTS = ('attention', 'dense')
_Depth = Float[Array, 'b t h w 1']


def _huber(error: _Depth) -> _Depth:
  """Quadratic up to 1 metre, linear beyond, with the same slope there."""
  size = jnp.abs(error)
  return jnp.where(size < 1, jnp.square(error) / 2, size - 0.5)


# Of a prediction and the truth, per pixel.
LOSSES: dict[str, Callable[[_Depth, _Depth], _Depth]] = {
  'l2': lambda predicted, true: jnp.square(predicted - true),
  'huber': lambda predicted, true: _huber(predicted - true),
  'relative': lambda predicted, true: jnp.abs(predicted - true) / true,
}


def make(
  *,
  loss: str = 'l2',
  valid_range: Sequence[float] = (1e-3, 10.0),
  patch: Sequence[int] = (2, 8, 8),
  start: float = 0.0,
  readout: str = 'attention',
  **head,
) -> 'Depth':
  """The task. Defaults are published, unless marked (ours).

  Args:
    loss: a name of LOSSES. Which one 4DS used is not public; 'l2' (ours) is
      that of the group's other dense readouts. 'relative' is AbsRel itself,
      'huber' lies between: far pixels and outliers pull less.
    valid_range: metres; a pixel counts if its depth is in (low, high].
    patch: frames, height and width that one query predicts.
    start: metres; what an untrained head predicts. 0 is as published; the
      middle of the range (ours, for short runs) saves the steps to get there.
    readout: the head: 'attention' is that of 4DS; 'dense' MooG's, which decodes
      each pixel of each frame (here all of them, in training too).
    **head: width, heads, query_std, dtype and attention of `AttentionReadout`,
      whose defaults are the published 1024 and 16; or layers, heads, head_dim,
      mlp, dtype and attention of `DenseReadout`.

  Raises:
    ValueError: an unknown loss or head, or an empty range.
  """
  choose('task.loss', loss, LOSSES)
  low, high = valid_range
  if not 0 < low < high:
    raise ValueError(
      f'task.valid_range must be 0 < low < high, in metres, got {low}, {high}.'
    )
  choose('task.readout', readout, READOUTS)
  return Depth(loss, (low, high), tuple(patch), start, readout, head)


@dataclasses.dataclass(frozen=True)
class Depth:
  """The task `make` makes; its options are documented there."""

  loss_name: str
  valid_range: tuple[float, float]
  patch: tuple[int, int, int]
  start: float
  readout: str
  options: Mapping[str, Any]  # of the head
  name = 'depth'
  keys = ('depth',)
  headline = ('abs_rel', 'delta1')
  lower_is_better = True

  def head(self, clip: tuple[int, int, int]) -> Head:
    """One query per patch; one output per pixel of it.

    Raises:
      ValueError: patches that do not tile the clip.
    """
    if any(size % step for size, step in zip(clip, self.patch)):
      raise ValueError(
        f'task.patch={self.patch} must divide the clip (frames, height, '
        f'width)={tuple(clip)}.'
      )
    if self.readout == 'dense':
      return DenseHead(
        DenseReadout(**self.options), tuple(clip), self.patch, self.start
      )
    return AttentionReadout(
      frames=clip[0],
      queries=int(np.prod(clip) // np.prod(self.patch)),
      outputs=int(np.prod(self.patch)),
      output_bias=self.start,
      **self.options,
    )

  def queries(self, batch: Batch) -> None:
    """They are learned."""

  def predict(self, outputs: Float[Array, 'b q o'], batch: Batch) -> _Depth:
    """Depth in metres; nothing keeps it positive."""
    t, h, w = batch['video'].shape[1:4]
    pt, ph, pw = self.patch
    return rearrange(
      outputs,
      'b (t h w) (pt ph pw c) -> b (t pt) (h ph) (w pw) c',
      t=t // pt,
      h=h // ph,
      w=w // pw,
      pt=pt,
      ph=ph,
      pw=pw,
    )

  def valid(self, batch: Batch) -> Bool[Array, 'b t h w 1']:
    """Which pixels have a depth that counts."""
    low, high = self.valid_range
    return (batch['depth'] > low) & (batch['depth'] <= high)

  def loss(self, predicted: _Depth, batch: Batch) -> Float[Array, 'b']:
    """Mean over the valid pixels of each clip; 0 of a clip without any.

    A mean per clip, not over the batch's pixels, so that the loss of a batch
    is that of its micro-batches, however they are cut.
    """
    valid = self.valid(batch)
    true = jnp.where(valid, batch['depth'], 1.0)
    error = LOSSES[self.loss_name](predicted, true)
    axes = (1, 2, 3, 4)
    pixels = jnp.maximum(jnp.sum(valid, axes), 1)
    return jnp.sum(error, axes, where=valid) / pixels

  def sums(self, predicted: _Depth, batch: Batch) -> metrics.Sums:
    """See `metrics.depth_sums`."""
    return metrics.depth_sums(
      predicted, batch['depth'], self.valid(batch), floor=self.valid_range[0]
    )

  def scores(self, sums: metrics.Sums) -> metrics.Scores:
    """See `metrics.depth_scores`."""
    return metrics.depth_scores(sums)

  def facts(self, batch: Batch) -> metrics.Sums:
    """Sum and number of the valid depths of each clip, in metres."""
    valid, axes = self.valid(batch), (1, 2, 3, 4)
    return {
      'depth': jnp.sum(batch['depth'], axes, where=valid),
      'pixels': jnp.sum(valid, axes, dtype=jnp.float32),
    }

  def trivial(self, facts: metrics.Sums, batch: Batch) -> _Depth:
    """The mean depth of the training clips, everywhere."""
    mean = facts['depth'] / jnp.maximum(facts['pixels'], 1)
    return jnp.full_like(batch['depth'], mean)

  def pictures(
    self, predicted: np.ndarray, batch: Mapping[str, np.ndarray]
  ) -> dict[str, np.ndarray]:
    """The video, the predicted and the true depth, from top to bottom.

    Both depths are coloured over the range of the true depth of their clip;
    a pixel without a valid depth is black in the truth.
    """
    low, high = self.valid_range
    clips = []
    for video, guess, true in zip(batch['video'], predicted, batch['depth']):
      valid = (true > low) & (true <= high)
      near = float(true[valid].min()) if valid.any() else 0.0
      far = float(true[valid].max()) if valid.any() else 1.0
      # In a drawing 0 is unknown; a prediction never is.
      answer = draw.depth(np.maximum(guess, 1e-6), near, far)
      truth = draw.depth(true * valid, near, far)
      clips.append(np.concatenate([video, answer, truth], axis=1))
    return {self.name: np.stack(clips)}
