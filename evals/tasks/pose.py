"""Camera pose: the RealEstate10K protocol of 4DS, on any source with poses.

One learned query predicts the pose of the last frame's camera in the first
frame's: 12 numbers, a rotation matrix by rows and a translation.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import cv2
import jax.numpy as jnp
import numpy as np
from einops import rearrange
from jaxtyping import Array, Float

from base.names import choose
from data import overlay
from evals import metrics
from evals.metrics.pose import STILL, nearest_rotation, rotation_angle
from models.objective import Batch
from models.readout import AttentionReadout

_Pose = Float[Array, 'b 3 4']

# What an untrained head predicts, about: nothing, or a camera at rest.
STARTS = {'zero': np.zeros((3, 4)), 'identity': np.eye(3, 4)}


def make(
  *,
  start: str,
  scale: float,
  bins: int,
  fold: bool,
  still: str,
  **head,
) -> 'Pose':
  """The task; `configs/readout.py` has the published values.

  Args:
    start: a name of STARTS, to which the head's outputs are added. 'identity'
      (ours, for short runs) saves the steps to get there.
    scale: of the head's outputs: about how far an untrained head is from the
      start (ours). 1 is as published.
    bins: of the score auc_30, see `metrics.pose_sums`.
    fold: take opposite directions of translation for one, see there.
    still: whether pairs without a translation are 'counted' in the scores of a
      direction or 'left_out', see there.
    **head: width, heads, query_std, dtype and attention of `AttentionReadout`;
      the published ones are not known.

  Raises:
    ValueError: an unknown start, a scale that is not positive, or no bin.
  """
  choose('task.start', start, STARTS)
  if scale <= 0:
    raise ValueError(f'task.scale={scale} must be above 0')
  if bins < 1:
    raise ValueError(f'task.bins={bins} must be at least 1')
  choose('task.still', still, STILL)
  return Pose(start, scale, bins, fold, still, head)


@dataclasses.dataclass(frozen=True)
class Pose:
  """The task `make` makes; its options are documented there."""

  start: str
  scale: float
  bins: int
  fold: bool
  still: str
  options: Mapping[str, Any]  # of the head
  name = 'pose'
  keys = ('pose',)
  headline = ('end_point_error', 'rotation_angle', 'auc_30')
  lower_is_better = True

  @property
  def convention(self) -> str:
    """How it is scored."""
    fold = str(self.fold).lower()
    return f'bins={self.bins}, fold={fold}, still={self.still}'

  def head(self, clip: tuple[int, int, int]) -> AttentionReadout:
    """One query, 12 outputs.

    Raises:
      ValueError: a clip of one frame, which has no relative pose.
    """
    if clip[0] < 2:
      raise ValueError('task pose needs clips of two frames or more, got 1')
    return AttentionReadout(
      frames=clip[0], queries=1, outputs=12, **self.options
    )

  def queries(self, batch: Batch) -> None:
    """They are learned."""

  def predict(self, outputs: Float[Array, 'b 1 12'], batch: Batch) -> _Pose:
    """[R | t], t in the unit of the poses; R is not yet a rotation."""
    del batch
    turn = rearrange(outputs[..., :9], 'b 1 (i j) -> b i j', i=3)
    move = rearrange(outputs[..., 9:], 'b 1 i -> b i 1')
    raw = jnp.concatenate([turn, move], axis=-1)
    return STARTS[self.start].astype(np.float32) + self.scale * raw

  def true(self, batch: Batch) -> _Pose:
    """[R | t] of the last frame's camera in the first frame's."""
    return relative(batch['pose'][:, 0], batch['pose'][:, -1])

  def loss(self, predicted: _Pose, batch: Batch) -> Float[Array, 'b']:
    """Mean square of the errors of the 12 numbers; 0 without a finite pose."""
    true = self.true(batch)
    # Twice below, once before the square: NaN times 0 is NaN in the gradient.
    valid = jnp.isfinite(true).all((1, 2))[:, None, None]
    error = predicted - jnp.where(valid, true, 0)
    return jnp.mean(jnp.where(valid, jnp.square(error), 0), axis=(1, 2))

  def sums(self, predicted: _Pose, batch: Batch) -> metrics.Sums:
    """See `metrics.pose_sums`; every clip has one pair of frames."""
    return metrics.pose_sums(
      predicted[:, None],
      self.true(batch)[:, None],
      bins=self.bins,
      fold=self.fold,
      still=self.still,
    )

  def scores(self, sums: metrics.Sums) -> metrics.Scores:
    """See `metrics.pose_scores`."""
    return metrics.pose_scores(sums)

  def facts(self, batch: Batch) -> metrics.Sums:
    """Nothing is to be known."""
    return {'count': jnp.ones(batch['pose'].shape[:1])}

  def trivial(self, facts: metrics.Sums, batch: Batch) -> _Pose:
    """The camera stays where it is."""
    del facts
    return jnp.tile(jnp.eye(3, 4), (batch['pose'].shape[0], 1, 1))

  def pictures(
    self, predicted: np.ndarray, batch: Mapping[str, np.ndarray]
  ) -> dict[str, np.ndarray]:
    """The video over a plan of where the camera goes, and how far it turns.

    The plan is seen from above, ahead is up: the true way green, the predicted
    one orange, each with a tick in the direction of the last frame's view.
    """
    predicted = jnp.asarray(predicted)
    predicted = predicted.at[..., :3].set(nearest_rotation(predicted[..., :3]))
    true = self.true({'pose': jnp.asarray(batch['pose'])})
    zoom = max(1, 128 // min(batch['video'].shape[2:4]))
    still, clips = jnp.eye(3), []
    for video, *poses in zip(batch['video'], predicted, true):
      turns = [rotation_angle(pose[:, :3], still) for pose in poses]
      line = 'turns {:.1f}, truly {:.1f} degrees'.format(*turns)
      video = overlay.text(video, line, zoom=zoom)
      # A pose that is not finite stays at the start.
      ways = [np.where(np.isfinite(pose), pose, 0) for pose in poses]
      plan = _plan(video.shape[1], video.shape[2], *ways)
      plan = np.broadcast_to(plan, video.shape)
      clips.append(np.concatenate([video, plan], axis=1))
    return {self.name: np.stack(clips)}


def relative(
  first: Float[Array, '*n 4 4'], last: Float[Array, '*n 4 4']
) -> Float[Array, '*n 3 4']:
  """[R | t] of one camera in another's axes, from camera-to-world poses.

  It takes points of `last` to `first`: inverse(first) @ last, of rigid poses.
  """
  way = last[..., :3, 3] - first[..., :3, 3]
  moved = jnp.concatenate([last[..., :3, :3], way[..., None]], axis=-1)
  # By default TPUs and GPUs round what they multiply.
  return jnp.einsum(
    '...ji,...jk->...ik', first[..., :3, :3], moved, precision='highest'
  )


def _plan(height, width, predicted, true):
  """uint8 [h w 3] of both ways, to a scale at which they fill it."""
  plan = np.full((height, width, 3), 32, np.uint8)
  ways = (true, (0, 200, 0)), (predicted, (255, 140, 0))
  far = max(np.linalg.norm(way[[0, 2], 3]) for way, _ in ways)
  # The way out fills a third of the plan, whichever way it goes.
  unit = 0.35 * min(height, width) / max(far, 1e-6)
  start = np.array([width / 2, height / 2])
  for way, colour in ways:
    end = start + unit * way[[0, 2], 3] * [1, -1]
    tick = end + 0.1 * min(height, width) * way[[0, 2], 2] * [1, -1]
    for a, b, thick in ((start, end, 2), (end, tick, 1)):
      ends = np.round(a).astype(int).tolist(), np.round(b).astype(int).tolist()
      cv2.line(plan, *ends, colour, thick, cv2.LINE_AA)
  return plan
