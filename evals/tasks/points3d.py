"""Tracks of points in metres: TAPVid-3D, on any source that has them.

The head of `points`, with a depth beside each place: a copy of a query predicts
x, y, visible, certain and depth for its frames. The camera's lens, which the
source tells, makes metres of them.
"""

import dataclasses
from collections.abc import Mapping
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from einops import rearrange
from jaxtyping import Array, Bool, Float

from base.names import choose
from evals import metrics
from evals.metrics.tracks import UNSEEN
from evals.metrics.tracks3d import FOCALS, SCALINGS
from evals.tasks import points
from evals.tasks.points import FRAMES, Points, Tracks
from models.objective import Batch
from models.readout import AttentionReadout

# Of the relative error of depth, beside the loss of `points` (ours): that of
# its distances is 100 times a part of the picture.
_WEIGHT = 1.0
_NEAREST = 1e-2  # metres


class Answer(NamedTuple):
  """An answer."""

  tracks: Tracks
  depth: Float[Array, '... q t']  # metres; nothing keeps it positive


def make(
  *,
  start: float,
  scaling: str,
  focal: str,
  unseen: str,
  residual: bool,
  certain_within: float,
  query_frames: bool,
  **head,
) -> 'Points3d':
  """The task; `configs/readout.py` has the values.

  Args:
    start: metres; the depth that an untrained head predicts (ours).
    scaling: of the scores, see `metrics.track3d_sums`: 'median', as published,
      or 'none', of metres as they are.
    focal: how many pixels a metre is in scores, see `metrics.focal_length`.
    unseen: of clips without a visible point, see `metrics.track_sums`.
    residual: as of task points.
    certain_within: as of task points.
    query_frames: as of task points, for the queries of TAPVid-3D
      (queries='given').
    **head: width, heads, query_std, dtype and attention of `AttentionReadout`.

  Raises:
    ValueError: an unknown word, or an option that task points refuses.
  """
  choose('task.scaling', scaling, SCALINGS)
  choose('task.focal', focal, FOCALS)
  choose('task.unseen', unseen, UNSEEN)
  flat = points.make(
    residual=residual,
    certain_within=certain_within,
    query_frames=query_frames,
    **{'mode': 'first', 'unseen': unseen, 'readout': 'attention'},
    **head,
  )
  return Points3d(flat, start, scaling, focal, unseen)


@dataclasses.dataclass(frozen=True)
class Points3d:
  """The task `make` makes; its options are documented there."""

  points: Points  # the same in the picture
  start: float
  scaling: str
  focal: str
  unseen: str
  name = 'points3d'
  headline = ('average_jaccard', 'position_accuracy', 'occlusion_accuracy')
  lower_is_better = False

  @property
  def convention(self) -> str:
    """How it is scored."""
    words = f'scaling={self.scaling}, focal={self.focal}'
    return f'{words}, unseen={self.unseen}'

  @property
  def keys(self) -> tuple[str, ...]:
    """Tracks in the picture and in metres, and the lens between them."""
    return (*self.points.keys, 'tracks_3d', 'lens')

  def head(self, clip: tuple[int, int, int]) -> AttentionReadout:
    """That of points, with five outputs for each frame.

    Raises:
      ValueError: an odd number of frames.
    """
    return self.points.head(clip).clone(outputs=FRAMES * 5)

  def queries(self, batch: Batch) -> Float[Array, 'b q c']:
    """As of points."""
    return self.points.queries(batch)

  def predict(self, outputs: Float[Array, 'b p o'], batch: Batch) -> Answer:
    """Places, logits and depths of all frames from those of each copy."""
    x = rearrange(outputs, 'b p (t c) -> b p t c', c=5)
    flat = rearrange(x[..., :4], 'b p t c -> b p (t c)')
    depth = rearrange(
      x[..., 4], 'b (q k) t -> b q (k t)', q=batch['tracks'].shape[1]
    )
    return Answer(self.points.predict(flat, batch), self.start + depth)

  def loss(self, predicted: Answer, batch: Batch) -> Float[Array, 'b']:
    """That of points, and the relative error of the depths of what is seen."""
    seen = self._seen(batch)
    # Not 0, by which is divided.
    true = jnp.where(seen, batch['tracks_3d'][..., 2], 1.0)
    error = jnp.abs(predicted.depth - true) / jnp.maximum(true, _NEAREST)
    mean = jnp.sum(error, (1, 2), where=seen)
    mean /= jnp.maximum(jnp.sum(seen, (1, 2)), 1)
    return self.points.loss(predicted.tracks, batch) + _WEIGHT * mean

  def _seen(self, batch: Batch) -> Bool[Array, 'b q t']:
    return batch['tracks_visible'] & self.points.asked(batch)[..., None]

  def sums(self, predicted: Answer, batch: Batch) -> metrics.Sums:
    """See `metrics.track3d_sums`."""
    focal, centre = jnp.split(batch['lens'][:, None, None], 2, axis=-1)
    depth = predicted.depth[..., None]
    flat = (predicted.tracks.place - centre) / focal * depth
    return metrics.track3d_sums(
      jnp.concatenate([flat, depth], axis=-1),
      predicted.tracks.seen(),
      batch['tracks_3d'],
      batch['tracks_visible'],
      valid=self.points.asked(batch),
      focal=metrics.focal_length(batch['lens'], self.focal),
      scaling=self.scaling,
      unseen=self.unseen,
    )

  def scores(self, sums: metrics.Sums) -> metrics.Scores:
    """See `metrics.track_scores`."""
    return metrics.track_scores(sums)

  def facts(self, batch: Batch) -> metrics.Sums:
    """Sum and number of the depths of what is seen in each clip, in metres."""
    seen = self._seen(batch)
    return {
      'depth': jnp.sum(batch['tracks_3d'][..., 2], (1, 2), where=seen),
      'points': jnp.sum(seen, (1, 2), dtype=jnp.float32),
    }

  def trivial(self, facts: metrics.Sums, batch: Batch) -> Answer:
    """All points stay on their ray, at the mean depth of training."""
    still = self.points.trivial({}, batch)
    mean = facts['depth'] / jnp.maximum(facts['points'], 1)
    return Answer(still, jnp.full_like(still.visible, mean))

  def pictures(
    self, predicted: Answer, batch: Mapping[str, np.ndarray]
  ) -> dict[str, np.ndarray]:
    """The tracks in the picture, predicted over true."""
    drawn = self.points.pictures(predicted.tracks, batch)
    return {self.name: drawn[self.points.name]}
