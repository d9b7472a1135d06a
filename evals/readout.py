"""A readout as an objective: a frozen backbone, a head, a task.

So a readout job is a training run like any other: the same loop, mesh,
checkpoints and resume, whatever the size of the backbone.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from evals.flops import forward_flops
from evals.metrics import Sums
from evals.task import Task
from models.objective import Batch, Features, Objective, Params
from models.readout import AttentionReadout


def make(
  *,
  backbone: Objective,
  task: Task,
  width: int = 1024,
  heads: int = 16,
  query_std: float = 0.02,
  depth: float = 0.95,
  dtype: str = 'float32',
  attention: str = 'auto',
) -> 'Readout':
  """The objective. Its parameters are {'backbone': ..., 'head': ...}.

  Gradients stop at the features. The optimizer should freeze 'backbone/.*',
  so that it neither decays those parameters nor keeps moments of them.

  Args:
    backbone: whose features are read.
    task: what the head is trained for.
    width: of the head.
    heads: attention heads of the head.
    query_std: of the learned queries at the start. 0.02 (ours) is that of the
      published position embeddings; 1 lets queries differ from the first
      step, which short runs need.
    depth: of the features in the backbone, see `MAE.features`; 0.95 is
      published.
    dtype: of the head's arithmetic.
    attention: see `models.attention.attend`.
  """
  head = {
    'width': width,
    'heads': heads,
    'query_std': query_std,
    'dtype': dtype,
    'attention': attention,
  }
  return Readout(backbone, task, head, depth)


@dataclasses.dataclass(frozen=True)
class Readout:
  """The objective `make` makes; its options are documented there."""

  backbone: Objective
  task: Task
  options: Mapping[str, Any]  # of the head, less what the task fixes
  depth: float

  def head(self, batch: Batch) -> AttentionReadout:
    """The head for clips like the batch's."""
    clip = batch['video'].shape[1:4]
    return AttentionReadout(
      frames=clip[0], **self.task.head(clip), **self.options
    )

  def init(self, rng: PRNGKeyArray, batch: Batch) -> Params:
    """A backbone and a head, both new; a run loads the backbone over it."""
    backbone_key, head_key = jax.random.split(rng)
    backbone = self.backbone.init(backbone_key, batch)
    tokens = jax.eval_shape(self._tokens, backbone, batch)
    tokens = jnp.zeros(tokens.shape, tokens.dtype)
    head = self.head(batch).init(head_key, tokens)['params']
    return {'backbone': backbone, 'head': head}

  def loss(
    self, params: Params, batch: Batch, rng: PRNGKeyArray, *, ema=None
  ) -> tuple[Float[Array, ''], dict[str, Float[Array, '']]]:
    """The task's loss, and its scores on this batch as '<task>/<score>'.

    Args:
      params: as `init` makes them.
      batch: the video, and the task's keys.
      rng: not read: a readout draws nothing.
      ema: not read.
    """
    del rng, ema
    predicted = self.predict(params, batch)
    sums = jax.tree.map(jnp.sum, self.task.sums(predicted, batch))
    scores = self.task.scores(sums)
    named = {f'{self.task.name}/{name}': x for name, x in scores.items()}
    return jnp.mean(self.task.loss(predicted, batch)), named

  def predict(self, params: Params, batch: Batch) -> Any:
    """The task's answer to each clip."""
    tokens = jax.lax.stop_gradient(self._tokens(params['backbone'], batch))
    outputs = self.head(batch).apply({'params': params['head']}, tokens)
    return self.task.predict(outputs, batch)

  def sums(self, params: Params, batch: Batch) -> Sums:
    """The task's sums [b] of each clip."""
    return self.task.sums(self.predict(params, batch), batch)

  def features(self, params: Params, video, *, state=None) -> Features:
    """The backbone's own features."""
    return self.backbone.features(params['backbone'], video, state=state)

  def flops(self, batch: Batch) -> dict[str, float]:
    """Of one step: the backbone forward, the head forward and backward."""
    shapes = jax.eval_shape(self.init, jax.random.key(0), batch)
    tokens = jax.eval_shape(self._tokens, shapes['backbone'], batch)
    head = self.head(batch)
    return {
      'backbone': forward_flops(self._tokens, shapes['backbone'], batch),
      'head': 3
      * forward_flops(
        lambda params, x: head.apply({'params': params}, x),
        shapes['head'],
        tokens,
      ),
    }

  def pictures(
    self, params: Params, batch: Batch, rng: PRNGKeyArray
  ) -> dict[str, Float[Array, 'b t h w 3']]:
    """The task's: input, answer, truth."""
    del rng
    return self.task.pictures(self.predict(params, batch), batch)

  def _tokens(self, params: Params, batch: Batch) -> Float[Array, 'b t n d']:
    return self.backbone.features(
      params, batch['video'], depth=self.depth
    ).tokens
