"""Tracks of points: the Perception Test protocol of 4DS, on any tracks.

The points that are visible in frame 0 are asked for. As in the published head,
a query has a copy for every 2 frames (8 for 16), and each copy predicts
x, y, visible and certain for its frames.

A point of a later frame is a question that the published head cannot be asked:
it is told a place, and takes it for one in frame 0. With `query_frames` the
head is told the frame too, and is trained on points of any frame, where the
source has them (ours).
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from einops import rearrange, repeat
from jaxtyping import Array, Bool, Float, Int

from base.names import choose
from data import overlay
from evals import metrics
from evals.metrics.tracks import MODES, UNSEEN
from models.moog.readout import ConditionalAutoregressiveReadout, RecurrentHead
from models.objective import Batch
from models.readout import AttentionReadout, Head

FRAMES = 2  # that one copy of a query predicts
# Of the distance, of `visible` and of `certain`: those of SciVid, which trains
# the published head on MOVi-E.
WEIGHTS = 100.0, 0.1, 0.1
READOUTS = ('attention', 'recurrent')
_OFFSET = 0.1  # unit of a residual: a head that is not trained gives about 1


class Tracks(NamedTuple):
  """An answer."""

  place: Float[Array, '... q t 2']  # (x, y) in [0, 1]
  visible: Float[Array, '... q t']  # logits
  certain: Float[Array, '... q t']  # logits: is the place nearly right?

  def seen(self) -> Bool[Array, '... q t']:
    """Whether to call a point visible: it is, and the place is right."""
    both = jax.nn.sigmoid(self.visible) * jax.nn.sigmoid(self.certain)
    return both > 0.5


def make(
  *,
  residual: bool,
  certain_within: float,
  query_frames: bool,
  mode: str,
  unseen: str,
  readout: str,
  width: int,
  heads: int,
  **head,
) -> 'Points':
  """The task; `configs/readout.py` has the published values.

  Args:
    residual: predict the offset from the query point, in tenths of the
      picture, so that training starts near points that stand still (ours, for
      short runs). The published head predicts the place itself, by a sigmoid.
    certain_within: pixels of the clip; the place is right if it is as near.
    query_frames: records say in which frame each point is asked for
      ('query_frames'), and the head is told that as a third number (ours), as
      for the 'first' and 'strided' queries of TAP-Vid. Train on a source whose
      queries are of many frames: the world with query_frame=-1.
    mode: of `metrics.track_sums`: which frames are judged. Of queries in frame
      0 both modes are one. Official numbers of Perception Test are made by code
      whose 'first' is in fact 'strided'.
    unseen: of the same: what a clip without a visible point after its query
      adds to the scores that need one.
    readout: the head: 'attention' is that of 4DS and of the published MooG
      weights; 'recurrent' MooG's conditional autoregressive one (512 wide),
      which goes forward from the query, and where frames before it are judged
      ('strided') goes back from there too (ours).
    width: of the head.
    heads: attention heads of the head.
    **head: query_std, dtype and attention of `AttentionReadout`; or layers,
      head_dim, mlp, dtype and attention of `ConditionalAutoregressiveReadout`.

  Raises:
    ValueError: no distance to be certain within, or an unknown mode or head.
  """
  if certain_within <= 0:
    raise ValueError(
      f'task.certain_within={certain_within} must be above 0, in pixels'
    )
  choose('task.mode', mode, MODES)
  choose('task.unseen', unseen, UNSEEN)
  choose('task.readout', readout, READOUTS)
  options = dict(head, width=width, heads=heads)
  return Points(
    residual, certain_within, query_frames, mode, unseen, readout, options
  )


@dataclasses.dataclass(frozen=True)
class Points:
  """The task `make` makes; its options are documented there."""

  residual: bool
  certain_within: float
  query_frames: bool
  mode: str
  unseen: str
  readout: str
  options: Mapping[str, Any]  # of the head
  name = 'points'
  headline = ('average_jaccard', 'position_accuracy', 'occlusion_accuracy')
  lower_is_better = False

  @property
  def convention(self) -> str:
    """How it is scored."""
    return f'mode={self.mode}, unseen={self.unseen}'

  @property
  def keys(self) -> tuple[str, ...]:
    """Tracks, and the frames of queries if they are not all in frame 0."""
    asked = ('query_frames',) if self.query_frames else ()
    return ('tracks', 'tracks_visible', *asked)

  def head(self, clip: tuple[int, int, int]) -> Head:
    """One query per point, in as many copies as the clip has pairs of frames.

    Raises:
      ValueError: an odd number of frames.
    """
    if clip[0] % FRAMES:
      raise ValueError(
        f'task points needs clips of an even number of frames, got {clip[0]}: '
        f'each copy of a query predicts {FRAMES}'
      )
    if self.readout == 'recurrent':
      return RecurrentHead(
        ConditionalAutoregressiveReadout(values=2, logits=2, **self.options),
        frames=clip[0],
        copies=clip[0] // FRAMES,
        timed=self.query_frames,
        both_ways=self.mode == 'strided',
      )
    return AttentionReadout(
      frames=clip[0],
      outputs=FRAMES * 4,
      conditioning=3 if self.query_frames else 2,
      copies=clip[0] // FRAMES,
      **self.options,
    )

  def frames(self, batch: Batch) -> Int[Array, 'b q']:
    """In which frame each point is asked for."""
    if self.query_frames:
      return jnp.asarray(batch['query_frames'])
    return jnp.zeros(batch['tracks_visible'].shape[:2], jnp.int32)

  def _here(self, batch: Batch) -> Int[Array, 'b q']:
    # In one part of a long video a query may be of another part.
    last = batch['tracks_visible'].shape[2] - 1
    return jnp.clip(self.frames(batch), 0, last)

  def asked(self, batch: Batch) -> Bool[Array, 'b q']:
    """Which points are asked for: those visible in the frame of their query."""
    frames = self._here(batch)[..., None]
    visible = jnp.asarray(batch['tracks_visible'])
    return jnp.take_along_axis(visible, frames, axis=2)[..., 0]

  def start(self, batch: Batch) -> Float[Array, 'b q 2']:
    """(x, y) where a point is asked for; (0, 0) of those that are not."""
    frames = self._here(batch)[..., None, None]
    place = jnp.take_along_axis(batch['tracks'], frames, axis=2)[:, :, 0]
    return jnp.where(self.asked(batch)[..., None], place, 0)

  def queries(self, batch: Batch) -> Float[Array, 'b q c']:
    """(x, y), and with `query_frames` the middle of the frame in [0, 1]."""
    if not self.query_frames:
      return self.start(batch)
    time = (self.frames(batch) + 0.5) / batch['tracks'].shape[2]
    return jnp.concatenate([self.start(batch), time[..., None]], axis=-1)

  def predict(self, outputs: Float[Array, 'b p o'], batch: Batch) -> Tracks:
    """Places and logits of all frames from those of each copy."""
    x = rearrange(
      outputs,
      'b (q k) (t c) -> b q (k t) c',
      q=batch['tracks'].shape[1],
      t=FRAMES,
    )
    if self.residual:
      place = self.start(batch)[:, :, None] + _OFFSET * x[..., :2]
    else:
      place = jax.nn.sigmoid(x[..., :2])
    return Tracks(place, x[..., 2], x[..., 3])

  def loss(self, predicted: Tracks, batch: Batch) -> Float[Array, 'b']:
    """Distance, visibility and certainty, weighed and normalised as published.

    * Huber loss of the distance in the unit of the picture, linear from a
      pixel on: the sum over visible frames of asked points, divided by the
      number of all frames and rows, padding too.
    * Cross-entropy of `visible`, mean over the frames of asked points.
    * Cross-entropy of `certain`, normalised as the first; no gradient flows
      through its target.

    Here for each clip, there for a batch. A pixel is that of a square picture
    of the same area.
    """
    h, w = batch['video'].shape[2:4]
    pixel = (h * w) ** -0.5
    visible = batch['tracks_visible']
    asked = self.asked(batch)[..., None] & self._answered(batch)
    seen = visible & asked
    true = jnp.where(seen[..., None], batch['tracks'], 0)
    square = jnp.sum(jnp.square(predicted.place - true), axis=-1)
    # A comparison: no gradient flows through this target.
    near = square <= jnp.square(self.certain_within * pixel)
    terms = (
      jnp.mean(jnp.where(seen, _huber(square, pixel), 0), (1, 2)),
      jnp.sum(_entropy(predicted.visible, visible), (1, 2), where=asked)
      / jnp.maximum(jnp.sum(asked, (1, 2)), 1),
      jnp.mean(jnp.where(seen, _entropy(predicted.certain, near), 0), (1, 2)),
    )
    return sum(weight * term for weight, term in zip(WEIGHTS, terms))

  def _answered(self, batch: Batch) -> Bool[Array, 'b q t']:
    """Which frames the head says something of."""
    visible = batch['tracks_visible']
    if self.readout == 'recurrent' and self.mode == 'first':
      # It is not asked before.
      steps = jnp.arange(visible.shape[2])
      return steps >= self.frames(batch)[..., None]
    return jnp.ones(visible.shape, bool)

  def sums(self, predicted: Tracks, batch: Batch) -> metrics.Sums:
    """See `metrics.track_sums`."""
    return metrics.track_sums(
      predicted.place,
      predicted.seen(),
      batch['tracks'],
      batch['tracks_visible'],
      valid=self.asked(batch),
      query_frame=self.frames(batch),
      mode=self.mode,
      unseen=self.unseen,
    )

  def scores(self, sums: metrics.Sums) -> metrics.Scores:
    """See `metrics.track_scores`."""
    return metrics.track_scores(sums)

  def facts(self, batch: Batch) -> metrics.Sums:
    """Nothing is to be known."""
    return {'count': jnp.ones(batch['tracks'].shape[:1])}

  def trivial(self, facts: metrics.Sums, batch: Batch) -> Tracks:
    """All points stand still and stay visible."""
    del facts
    t = batch['tracks'].shape[2]
    place = repeat(self.start(batch), 'b q c -> b q t c', t=t)
    # A logit far on the side of yes.
    sure = jnp.full(place.shape[:-1], 10.0)
    return Tracks(place, sure, sure)

  def pictures(
    self, predicted: Tracks, batch: Mapping[str, np.ndarray]
  ) -> dict[str, np.ndarray]:
    """The predicted and the true tracks on the video, from top to bottom."""
    asked = np.asarray(self.asked(batch))[..., None]
    # Small clips are enlarged, so that lines and text can be told.
    zoom = max(1, 128 // min(batch['video'].shape[2:4]))
    panels = [
      [
        overlay.tracks(*clip, zoom=zoom)
        for clip in zip(batch['video'], *answer)
      ]
      for answer in (
        (np.asarray(predicted.place), np.asarray(predicted.seen()) & asked),
        (batch['tracks'], batch['tracks_visible'] & asked),
      )
    ]
    return {self.name: np.concatenate([np.stack(x) for x in panels], axis=2)}


def _huber(square: Array, delta: float) -> Array:
  """Of squared distances; its gradient is finite at 0 too."""
  # Never of 0, where the root has no finite gradient.
  far = jnp.sqrt(jnp.maximum(square, delta**2))
  linear = delta * (far - delta / 2)
  return jnp.where(square < delta**2, square / 2, linear)


def _entropy(logit: Array, true: Array) -> Array:
  """Cross-entropy of a yes or no."""
  return jax.nn.softplus(jnp.where(true, -logit, logit))
