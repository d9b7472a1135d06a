"""Depth of every pixel: the ScanNet protocol of 4DS, on any source with depth.

One query per patch of 2 frames x 8 x 8 pixels predicts its 128 depths in
metres, linearly, as in the published head (16 x 224 x 224: 6272 queries).
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from einops import rearrange
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from base.names import choose
from data import overlay
from evals import metrics
from evals.metrics.depth import AVERAGES
from models.moog.readout import DenseHead, DenseReadout
from models.nn import pixels
from models.objective import Batch, row_keys
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
  loss: str,
  valid_range: Sequence[float],
  patch: Sequence[int],
  start: float,
  readout: str,
  subsample: int,
  eval_subsample: int,
  clamp: bool,
  average: str,
  **head,
) -> 'Depth':
  """The task; `configs/readout.py` has the published values.

  Args:
    loss: a name of LOSSES. Which one 4DS used is not public; 'l2' (ours) is
      that of the group's other dense readouts. 'relative' is AbsRel itself,
      'huber' lies between: far pixels and outliers pull less.
    valid_range: metres; a pixel counts if its depth is in (low, high].
    patch: frames, height and width that one query predicts.
    start: metres; what an untrained head predicts. 0 is as published; the
      middle of the range (ours, for short runs) saves the steps to get there.
    readout: the head: 'attention' is that of 4DS; 'dense' MooG's, which decodes
      each pixel by itself.
    subsample: of the dense head: the loss is of one of so many rows and columns
      of each frame, drawn anew in each step (`models.nn.pixels`). MooG's is
      8; 1: all of them. Metrics and predictions are of every pixel.
    eval_subsample: the same of the loss in evaluation, where it is always the
      same pixels. MooG's is 4.
    clamp: score predictions brought into the valid range, see
      `metrics.depth_sums`.
    average: of the scores, see there: over 'pixels' or 'images'.
    **head: width, heads, query_std, dtype and attention of `AttentionReadout`;
      or layers, heads, head_dim, mlp, dtype and attention of `DenseReadout`.

  Raises:
    ValueError: an unknown loss or head, an empty range, or pixels to be drawn
      for a head that answers whole patches.
  """
  choose('task.loss', loss, LOSSES)
  low, high = valid_range
  if not 0 < low < high:
    raise ValueError(
      f'task.valid_range must be 0 < low < high, in metres, got {low}, {high}.'
    )
  choose('task.readout', readout, READOUTS)
  choose('task.average', average, AVERAGES)
  factors = subsample, eval_subsample
  if min(factors) < 1 or (readout != 'dense' and max(factors) > 1):
    raise ValueError(
      f'task.subsample={subsample}, task.eval_subsample={eval_subsample} must '
      f'be 1 or more, and 1 for readout={readout!r} unless that is dense: set '
      'them to 1, or readout to dense'
    )
  return Depth(
    *(loss, (low, high), tuple(patch), start, readout, factors),
    *(clamp, average, head),
  )


@dataclasses.dataclass(frozen=True)
class Depth:
  """The task `make` makes; its options are documented there."""

  loss_name: str
  valid_range: tuple[float, float]
  patch: tuple[int, int, int]
  start: float
  readout: str
  factors: tuple[int, int]  # `subsample` and `eval_subsample`
  clamp: bool
  average: str
  options: Mapping[str, Any]  # of the head
  name = 'depth'
  keys = ('depth',)
  headline = ('abs_rel', 'delta1')
  lower_is_better = True

  @property
  def convention(self) -> str:
    """How it is scored."""
    return f'clamp={str(self.clamp).lower()}, average={self.average}'

  def head(self, clip: tuple[int, int, int]) -> Head:
    """One query per patch; one output per pixel of it.

    Raises:
      ValueError: patches that do not tile the clip, or rows and columns that
        one of so many cannot be kept of.
    """
    if any(size % factor for size in clip[1:] for factor in self.factors):
      raise ValueError(
        f'task.subsample={self.factors[0]} and task.eval_subsample='
        f'{self.factors[1]} must divide height and width, {tuple(clip[1:])}'
      )
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

  def drawn(
    self, batch: Batch, rng: PRNGKeyArray, train: bool
  ) -> dict[str, Any]:
    """The batch with the depth of some pixels, and their rows and columns."""
    factor = self.factors[0] if train else self.factors[1]
    if factor == 1:
      return dict(batch)
    t, h, w = batch['depth'].shape[1:4]
    shifts = pixels.draw(row_keys(rng, batch), t, factor if train else 1)
    rows, columns = pixels.places(shifts, (h, w), factor)
    depth = jax.vmap(pixels.pick)(jnp.asarray(batch['depth']), rows, columns)
    return {**batch, 'depth': depth, 'depth_pixels': (rows, columns)}

  def queries(
    self, batch: Batch
  ) -> tuple[Int[Array, 'b t i'], Int[Array, 'b t j']] | None:
    """Rows and columns, if some were drawn; otherwise there is no choice."""
    if 'depth_pixels' not in batch:
      return None
    return batch['depth_pixels']

  def predict(self, outputs: Float[Array, 'b q o'], batch: Batch) -> _Depth:
    """Depth in metres, of the pixels drawn; nothing keeps it positive."""
    if 'depth_pixels' in batch:
      shape = (outputs.shape[0], *batch['depth'].shape[1:])
      return outputs.reshape(shape)
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
    # Not 0, by which 'relative' divides.
    true = jnp.where(valid, batch['depth'], 1.0)
    error = LOSSES[self.loss_name](predicted, true)
    axes = (1, 2, 3, 4)
    pixels = jnp.maximum(jnp.sum(valid, axes), 1)
    return jnp.sum(error, axes, where=valid) / pixels

  def sums(self, predicted: _Depth, batch: Batch) -> metrics.Sums:
    """See `metrics.depth_sums`."""
    low, high = self.valid_range
    return metrics.depth_sums(
      *(predicted, batch['depth'], self.valid(batch)),
      floor=low,
      ceiling=high if self.clamp else None,
      average=self.average,
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
    # Of pixels, not of clips, as the scores are.
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
      answer = overlay.depth(np.maximum(guess, 1e-6), near, far)
      truth = overlay.depth(true * valid, near, far)
      clips.append(np.concatenate([video, answer, truth], axis=1))
    return {self.name: np.stack(clips)}
