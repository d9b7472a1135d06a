"""Tracks of boxes: the Waymo protocol of 4DS, on any source with boxes.

The boxes of the objects that are visible in frame 0 are asked for; one query
per box predicts its four coordinates in every frame, linearly, as published.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
from einops import rearrange, repeat
from jaxtyping import Array, Bool, Float

from base.names import choose
from data import overlay
from evals import metrics
from evals.metrics.boxes import giou
from models.moog.readout import ConditionalAutoregressiveReadout, RecurrentHead
from models.objective import Batch
from models.readout import AttentionReadout, Head

_Boxes = Float[Array, 'b o t 4']
READOUTS = ('attention', 'recurrent')
# The score whose mean is over so many equals.
AVERAGES = {'boxes': 'iou', 'clips': 'video_iou', 'tracks': 'track_iou'}
_OFFSET = 0.1  # unit of a residual: a head that is not trained gives about 1

# Of the error of a coordinate, in the unit of the picture.
LOSSES: dict[str, Callable[[_Boxes], _Boxes]] = {
  'smooth_l1': lambda error: jnp.where(
    jnp.abs(error) < 1, jnp.square(error) / 2, jnp.abs(error) - 0.5
  ),
  'l1': jnp.abs,
  'l2': jnp.square,
}


def make(
  *,
  loss: str,
  giou_weight: float,
  residual: bool,
  readout: str,
  average: str,
  width: int,
  heads: int,
  **head,
) -> 'Boxes':
  """The task; `configs/readout.py` has the published values.

  Args:
    loss: a name of LOSSES. What 4DS used is not public; the recipe has for
      this and the next those of InternVideo-Next (arXiv 2512.01342) for the
      same protocol.
    giou_weight: of 1 - GIoU, added to the loss.
    residual: predict the offset from the query box, in tenths of the picture,
      so that training starts near boxes that stand still (ours, for short
      runs). The published head predicts the coordinates themselves.
    readout: the head: 'attention' is that of 4DS and of the published MooG
      weights; 'recurrent' MooG's conditional autoregressive one (512 wide),
      here without logits: what it says of boxes beside them is not public.
    average: of the main score, what weighs the same: 'boxes', as 4DS has it;
      'clips'; or 'tracks' of a clip and then clips, as the official code of
      Perception Test. All three are scored.
    width: of the head.
    heads: attention heads of the head.
    **head: query_std, dtype and attention of `AttentionReadout`; or layers,
      head_dim, mlp, dtype and attention of `ConditionalAutoregressiveReadout`.

  Raises:
    ValueError: an unknown loss or head.
  """
  choose('task.loss', loss, LOSSES)
  choose('task.readout', readout, READOUTS)
  choose('task.average', average, AVERAGES)
  options = dict(head, width=width, heads=heads)
  return Boxes(loss, giou_weight, residual, readout, average, options)


@dataclasses.dataclass(frozen=True)
class Boxes:
  """The task `make` makes; its options are documented there."""

  loss_name: str
  giou_weight: float
  residual: bool
  readout: str
  average: str
  options: Mapping[str, Any]  # of the head
  name = 'boxes'
  keys = ('boxes', 'boxes_visible')
  lower_is_better = False

  @property
  def headline(self) -> tuple[str, ...]:
    """The mean that was asked for, and another."""
    main = AVERAGES[self.average]
    return main, 'video_iou' if main == 'iou' else 'iou'

  @property
  def convention(self) -> str:
    """How it is scored."""
    return f'average={self.average}'

  def head(self, clip: tuple[int, int, int]) -> Head:
    """One query per box, four outputs per frame.

    Raises:
      ValueError: a clip of one frame, which is the query's.
    """
    if clip[0] < 2:
      raise ValueError(
        'task boxes needs clips of two frames or more, got 1: the first one '
        'is given'
      )
    if self.readout == 'recurrent':
      return RecurrentHead(
        ConditionalAutoregressiveReadout(values=4, logits=0, **self.options),
        frames=clip[0],
      )
    return AttentionReadout(
      frames=clip[0], outputs=clip[0] * 4, conditioning=4, **self.options
    )

  def asked(self, batch: Batch) -> Bool[Array, 'b o']:
    """Which boxes are asked for: those of objects visible in frame 0."""
    return batch['boxes_visible'][:, :, 0]

  def judged(self, batch: Batch) -> Bool[Array, 'b o t']:
    """Which boxes count: visible ones of objects that are asked for, later."""
    later = jnp.arange(batch['boxes'].shape[2]) > 0
    return batch['boxes_visible'] & self.asked(batch)[..., None] & later

  def queries(self, batch: Batch) -> Float[Array, 'b o 4']:
    """(ymin, xmin, ymax, xmax) in frame 0; 0 of boxes not asked for."""
    asked = self.asked(batch)[..., None]
    return jnp.where(asked, batch['boxes'][:, :, 0], 0)

  def predict(self, outputs: Float[Array, 'b o c'], batch: Batch) -> _Boxes:
    """(ymin, xmin, ymax, xmax) in [0, 1]; nothing keeps them there."""
    x = rearrange(outputs, 'b o (t c) -> b o t c', c=4)
    if self.residual:
      return self.queries(batch)[:, :, None] + _OFFSET * x
    return x

  def loss(self, predicted: _Boxes, batch: Batch) -> Float[Array, 'b']:
    """Mean over the boxes of each clip that count; 0 of a clip without any."""
    judged = self.judged(batch)
    # Padding may hold anything, NaN too, which a mask alone would let into
    # gradients.
    true = jnp.where(judged[..., None], batch['boxes'], 0)
    error = jnp.mean(LOSSES[self.loss_name](predicted - true), axis=-1)
    # IoU itself is flat where boxes do not meet; its generalisation (arXiv
    # 1902.09630) pulls them together.
    error += self.giou_weight * (1 - giou(predicted, true))
    boxes = jnp.maximum(jnp.sum(judged, (1, 2)), 1)
    return jnp.sum(error, (1, 2), where=judged) / boxes

  def sums(self, predicted: _Boxes, batch: Batch) -> metrics.Sums:
    """See `metrics.box_sums`."""
    return metrics.box_sums(predicted, batch['boxes'], self.judged(batch))

  def scores(self, sums: metrics.Sums) -> metrics.Scores:
    """See `metrics.box_scores`."""
    return metrics.box_scores(sums)

  def facts(self, batch: Batch) -> metrics.Sums:
    """Nothing is to be known."""
    return {'count': jnp.ones(batch['boxes'].shape[:1])}

  def trivial(self, facts: metrics.Sums, batch: Batch) -> _Boxes:
    """All boxes stand still."""
    del facts
    t = batch['boxes'].shape[2]
    return repeat(self.queries(batch), 'b o c -> b o t c', t=t)

  def pictures(
    self, predicted: np.ndarray, batch: Mapping[str, np.ndarray]
  ) -> dict[str, np.ndarray]:
    """The predicted and the true boxes on the video, from top to bottom.

    Predictions are drawn in the frames in which there is a true box.
    """
    shown = batch['boxes_visible'] & batch['boxes_visible'][:, :, :1]
    zoom = max(1, 128 // min(batch['video'].shape[2:4]))
    panels = [
      [
        overlay.boxes(*clip, zoom=zoom)
        for clip in zip(batch['video'], x, shown)
      ]
      for x in (np.asarray(predicted), batch['boxes'])
    ]
    return {self.name: np.concatenate([np.stack(x) for x in panels], axis=2)}
