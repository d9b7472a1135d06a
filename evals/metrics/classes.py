"""Classes: how often the label is among the likeliest."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from evals.metrics.sums import Scores, Sums, means


def class_sums(
  logits: Float[Array, 'b v n'],
  label: Int[Array, 'b'],
  valid: Bool[Array, 'b v'] | None = None,
) -> Sums:
  """Whether each video's label is among its likeliest classes.

  Probabilities are averaged over the clips of a video, after the softmax, as
  published. Of equally likely classes the first comes first, as in argmax; a
  prediction that is not a number is wrong, and so is any of a label beyond the
  classes.

  Args:
    logits: of n classes, for v clips (in time or space) of each video.
    label: a class; a video whose label is negative does not count.
    valid: which clips there are; None: all.

  Returns:
    count, top1, top5, each [b].
  """
  valid = jnp.ones(logits.shape[:2], bool) if valid is None else valid
  # Probabilities are averaged, not logits, as published.
  shares = jnp.where(valid[..., None], jax.nn.softmax(logits), 0)
  likely = jnp.sum(shares, axis=1)
  n = likely.shape[1]
  own = jnp.take_along_axis(likely, jnp.maximum(label, 0)[:, None], axis=1)
  # Among equals the first class wins, as argmax has it.
  behind = (own > likely) | ((own == likely) & (jnp.arange(n) > label[:, None]))
  beaten = jnp.sum(behind, axis=1)
  counted = (label >= 0) & valid.any(1)
  # Of fewer than six classes all are among the first five.
  right = counted & (label < n) & jnp.isfinite(own)[:, 0]
  return {
    'count': counted.astype(jnp.float32),
    'top1': (right & (beaten >= n - 1)).astype(jnp.float32),
    'top5': (right & (beaten >= n - 5)).astype(jnp.float32),
  }


def share_sums(
  logits: Float[Array, 'b n'], label: Int[Array, 'b'], video: Int[Array, 'b']
) -> Sums:
  """What `join_videos` needs of clips whose videos have several.

  Args:
    logits: of n classes.
    label: of the clip's video.
    video: which one it is.

  Returns:
    shares [b n], label and video [b].
  """
  return {'shares': jax.nn.softmax(logits), 'label': label, 'video': video}


def join_videos(clips: Mapping[str, np.ndarray]) -> Sums:
  """`class_sums` of each video, from the `share_sums` of its clips.

  Other sums are given back as they are.

  Args:
    clips: shares [m *heads n], label and video [m *heads] of m clips, on the
      host.
  """
  if 'shares' not in clips:
    return dict(clips)
  video = clips['video'].reshape(len(clips['video']), -1)[:, 0]
  _, first, which = np.unique(video, return_index=True, return_inverse=True)
  shares = np.zeros((len(first), *clips['shares'].shape[1:]))
  np.add.at(shares, which, clips['shares'])
  label = clips['label'][first]
  heads = label.shape[1:]
  joined = class_sums(
    jnp.log(shares).reshape(-1, 1, shares.shape[-1]),
    jnp.asarray(label.reshape(-1)),
  )
  return {
    name: np.asarray(x).reshape(len(first), *heads)
    for name, x in joined.items()
  }


def class_scores(sums: Sums) -> Scores:
  """Share of videos whose label is the likeliest class, or in the first five.

  Returns:
    top1, top5.
  """
  return means(sums)
