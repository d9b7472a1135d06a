"""Class of the clip: the Something-Something and Kinetics protocol of 4DS.

One learned query predicts the logits of all classes.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from einops import rearrange, repeat
from jaxtyping import Array, Float

from data import overlay
from evals import metrics
from models.objective import Batch
from models.readout import AttentionReadout

_Logits = Float[Array, 'b n']


def make(
  *,
  classes: int,
  several: bool,
  names: Sequence[str],
  width: int,
  heads: int,
  **head,
) -> 'Classify':
  """The task; `configs/readout.py` has the published values.

  Args:
    classes: 174 of Something-Something v2, 700 of Kinetics, 16 of the world; 0:
      those of the source, which a job puts here. A source that tells another
      number is refused; a label beyond them makes the loss NaN, which stops the
      run; a negative one is of a clip that does not count.
    several: records say which video they are of ('video_id'), and the
      probabilities of its clips are averaged, as in the published tests.
    names: of the classes, for pictures; a job takes those of its source.
    width: of the head; 1024 for Kinetics.
    heads: attention heads of the head; 16 for Kinetics.
    **head: query_std, dtype and attention of `AttentionReadout`.

  Raises:
    ValueError: fewer than two classes.
  """
  if classes < 2 and classes:
    raise ValueError(
      f'task.classes={classes} must be 2 or more, or 0: those of the source'
    )
  options = dict(head, width=width, heads=heads)
  return Classify(classes, several, tuple(names), options)


@dataclasses.dataclass(frozen=True)
class Classify:
  """The task `make` makes; its options are documented there."""

  classes: int
  several: bool
  names: tuple[str, ...]
  options: Mapping[str, Any]  # of the head
  name = 'classify'
  headline = ('top1', 'top5')
  lower_is_better = False

  @property
  def convention(self) -> str:
    """How it is scored."""
    of = 'mean of clips, after the softmax' if self.several else 'clip'
    return f'probabilities of a {of}'

  @property
  def keys(self) -> tuple[str, ...]:
    """The label, and which video it is of if there are several clips."""
    return ('label', 'video_id') if self.several else ('label',)

  def head(self, clip: tuple[int, int, int]) -> AttentionReadout:
    """One query, an output per class."""
    return AttentionReadout(
      frames=clip[0], queries=1, outputs=self.classes, **self.options
    )

  def queries(self, batch: Batch) -> None:
    """They are learned."""

  def predict(self, outputs: Float[Array, 'b 1 n'], batch: Batch) -> _Logits:
    """Logits."""
    del batch
    return rearrange(outputs, 'b 1 n -> b n')

  def loss(self, predicted: _Logits, batch: Batch) -> Float[Array, 'b']:
    """Cross-entropy; 0 of a clip whose label is negative."""
    label = batch['label'][:, None]
    log = jax.nn.log_softmax(predicted)
    # 'fill' gives NaN for a label beyond the classes.
    own = jnp.take_along_axis(log, jnp.maximum(label, 0), 1, mode='fill')
    return jnp.where(label >= 0, -own, 0)[:, 0]

  def sums(self, predicted: _Logits, batch: Batch) -> metrics.Sums:
    """See `metrics.class_sums`; or `metrics.share_sums` of several clips."""
    if self.several:
      return metrics.share_sums(predicted, batch['label'], batch['video_id'])
    return metrics.class_sums(predicted[:, None], batch['label'])

  def scores(self, sums: metrics.Sums) -> metrics.Scores:
    """See `metrics.class_scores`; none of clips that are not yet joined."""
    return metrics.class_scores(sums) if 'count' in sums else {}

  def facts(self, batch: Batch) -> metrics.Sums:
    """How many clips have each label."""
    return {'labels': jax.nn.one_hot(batch['label'], self.classes)}

  def trivial(self, facts: metrics.Sums, batch: Batch) -> _Logits:
    """The commonest labels of the training clips, commonest first."""
    # Of classes that were not seen the logarithm stays finite, and the least.
    shares = jnp.log(facts['labels'] + 1e-3)
    return repeat(shares, 'n -> b n', b=batch['label'].shape[0])

  def pictures(
    self, predicted: np.ndarray, batch: Mapping[str, np.ndarray]
  ) -> dict[str, np.ndarray]:
    """The video, with the likeliest class, its probability and the label."""
    shares = np.asarray(jax.nn.softmax(predicted))
    zoom = max(1, 128 // min(batch['video'].shape[2:4]))
    clips = []
    for video, share, label in zip(batch['video'], shares, batch['label']):
      likeliest = called(int(share.argmax()), self.names)
      truth = called(int(label), self.names)
      line = f'{likeliest} ({share.max():.0%}), truly {truth}'
      clips.append(overlay.text(video, line, zoom=zoom))
    return {self.name: np.stack(clips)}


def called(label: int, names: Sequence[str]) -> str:
  """The name of a class, or its number where it has none."""
  return names[label] if 0 <= label < len(names) else str(label)
