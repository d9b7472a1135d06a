"""Readouts as an objective: one backbone, a head for each task.

So a readout job is a training run like any other: the same loop, mesh,
checkpoints and resume, whatever the size of the backbone. Several learning
rates are trained at once: a task's heads, one for each, are stacked along the
first axis of their parameters, start alike and see the same features.
"""

import dataclasses
import functools
import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from evals import task as task_lib
from evals.flops import forward_flops
from evals.metrics import Sums
from models.objective import Batch, Features, Objective, Params
from models.readout import Recurrent


def make(
  *,
  backbone: Objective,
  tasks: Mapping[str, Mapping[str, Any]],
  labels: Sequence[str],
  depth: float | Sequence[float],
  finetune: bool,
  feature_dtype: str,
  clip: Sequence[int],
) -> 'Readout':
  """The objective. Its parameters are {'backbone': ..., 'heads': {task: ...}}.

  Args:
    backbone: whose features are read.
    tasks: the options of each task, by its name.
    labels: names of the heads of a task that are trained side by side; ''
      for a single one. Which differ in what is the optimizer's business.
    depth: of the features in the backbone, see `MAE.features`; 0.95 is
      published. Several: of what each head reads.
    finetune: let gradients into the backbone. Otherwise they stop at the
      features; the optimizer should then freeze 'backbone/.*', so that it
      neither decays those parameters nor keeps moments of them.
    feature_dtype: of what heads read; 'bfloat16' is what a cache of features
      holds.
    clip: frames, height and width, for batches that hold cached 'features'
      and no video; empty where there is one.

  Raises:
    ValueError: no task, an unknown one, or a bad option of one.
  """
  if not tasks:
    raise ValueError(
      f'config.tasks is empty: name one of {", ".join(task_lib.names())}'
    )
  made = {
    name: task_lib.make(name, **options) for name, options in tasks.items()
  }
  return Readout(
    backbone=backbone,
    tasks=made,
    labels=tuple(labels),
    depths=(depth,) if isinstance(depth, (int, float)) else tuple(depth),
    finetune=finetune,
    feature_dtype=feature_dtype,
    clip=tuple(clip),
  )


@dataclasses.dataclass(frozen=True)
class Readout:
  """The objective `make` makes; its options are documented there."""

  backbone: Objective
  tasks: Mapping[str, task_lib.Task]
  labels: tuple[str, ...]
  depths: tuple[float, ...]
  finetune: bool
  feature_dtype: str
  clip: tuple[int, ...]
  # Of each task the one head whose parameters there are; of others, all.
  chosen: Mapping[str, int] = dataclasses.field(default_factory=dict)

  def init(self, rng: PRNGKeyArray, batch: Batch) -> Params:
    """A backbone and heads, all new; a run loads the backbone over it.

    A head does not depend on which other tasks there are.

    Raises:
      ValueError: heads are to read features of several depths, of a backbone
        that has one kind.
    """
    batch = self._whole(batch)
    backbone_key, head_key = jax.random.split(rng)
    backbone = self.backbone.init(backbone_key, batch)
    tokens = jax.eval_shape(self.tokens, backbone, batch)
    tokens = jnp.zeros(tokens.shape, tokens.dtype)
    if len(set(self.depths)) > 1:
      self._check_depths(backbone, batch)
    heads = {}
    for name, task in self.tasks.items():
      # By its name, not its number; Python's own hash is another in each
      # process.
      key = jax.random.fold_in(head_key, zlib.crc32(name.encode()))
      head = task.head(batch['video'].shape[1:4])
      asked = jax.tree.map(
        lambda x: jnp.zeros(x.shape, x.dtype),
        jax.eval_shape(task.queries, batch),
      )
      heads[name] = jax.tree.map(
        # Alike at the start: they are to differ by their rates alone.
        lambda x: jnp.repeat(x[None], len(self.labels), axis=0),
        head.init(key, tokens, asked)['params'],
      )
    return {'backbone': backbone, 'heads': heads}

  def loss(
    self,
    params: Params,
    batch: Batch,
    rng: PRNGKeyArray,
    *,
    ema=None,
    train: bool = True,
  ) -> tuple[Float[Array, ''], dict[str, Any]]:
    """The sum of all heads' losses; what `scores` is made of, by task.

    No parameter of a head touches another head's loss, so the sum trains each
    as if it were alone.

    Args:
      params: as `init` makes them.
      batch: the video, and the tasks' keys.
      rng: of the labels that a `Drawing` task draws.
      ema: not read.
      train: whether they are as few as in training.
    """
    del ema
    batch = self._drawn(batch, rng, train)
    total, metrics = jnp.zeros([]), {}

    def judge(task, predicted):
      loss = jnp.mean(task.loss(predicted, batch))
      sums = jax.tree.map(
        lambda x: jnp.sum(x, axis=0), task.sums(predicted, batch)
      )
      return {'loss': loss, 'sums': sums}

    for name, predicted in self.predict(params, batch).items():
      judged = self._each(functools.partial(judge, self.tasks[name]), predicted)
      total += jnp.sum(judged['loss'])
      metrics[name] = judged
    return total, metrics

  def scores(self, metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Each head's loss and scores, named '<task>/<label>/<score>'.

    Scores are ratios of sums over the labels of all clips: of clips that are
    averaged before, those with few labels would count as much as others.

    Args:
      metrics: of `loss`, averaged over micro-batches or batches.
    """
    named = {}
    for name, judged in metrics.items():
      found = {
        'loss': judged['loss'],
        **self.tasks[name].scores(judged['sums']),
      }
      for place, label in enumerate(self.labels):
        prefix = '/'.join(filter(None, (name, label)))
        named |= {f'{prefix}/{key}': x[place] for key, x in found.items()}
    return named

  def predict(self, params: Params, batch: Batch) -> dict[str, Any]:
    """Each task's answers, with an axis over its heads before that of clips."""
    return self.follow(params, batch)[0]

  def follow(
    self, params: Params, batch: Batch, states: Mapping[str, Any] | None = None
  ) -> tuple[dict[str, Any], dict[str, Any]]:
    """What `predict` gives of one part of a video, and what heads go on with.

    Args:
      params: as `init` makes them.
      batch: the part, with queries of the whole video.
      states: of each task, what the part before left; None: this is the first.
        Heads that are not `Recurrent` have none.
    """
    batch = self._whole(batch)
    read = {
      depth: self.tokens(params['backbone'], batch, depth)
      for depth in dict.fromkeys(self.depths)
    }
    if not self.finetune:
      read = jax.lax.stop_gradient(read)

    def tokens_of(name):
      """Of each head, where they differ; else of all of them."""
      if len(read) == 1:
        return None, read[self.depths[0]]
      if name in self.chosen:
        return None, read[self.depths[self.chosen[name]]]
      return jnp.stack([read[depth] for depth in self.depths]), None

    def answer(task, head, shared):
      def apply(given):
        params, left, own = given
        tokens = shared if own is None else own
        inputs = {'params': params}, tokens, task.queries(batch)
        if isinstance(head, Recurrent):
          outputs, left = head.carry(*inputs, left)
        else:
          outputs = head.apply(*inputs)
        return task.predict(outputs, batch), left

      return apply

    answers, after = {}, {}
    for name, task in self.tasks.items():
      head = task.head(batch['video'].shape[1:4])
      own, shared = tokens_of(name)
      given = params['heads'][name], states and states[name], own
      answers[name], after[name] = self._each(answer(task, head, shared), given)
    return answers, after

  def sums(self, params: Params, batch: Batch) -> dict[str, Sums]:
    """Each task's sums [b heads ...] of each clip."""
    batch = self._whole(batch)
    predicted = self.predict(params, batch)
    return {
      name: self._each(
        functools.partial(task.sums, batch=batch), predicted[name], axis=1
      )
      for name, task in self.tasks.items()
    }

  def trivial_sums(
    self, facts: Mapping[str, Sums], batch: Batch
  ) -> dict[str, Sums]:
    """Each task's sums [b ...] of what is answered without looking."""
    batch = self._whole(batch)
    return {
      name: task.sums(task.trivial(facts[name], batch), batch)
      for name, task in self.tasks.items()
    }

  def facts(self, batch: Batch) -> dict[str, Sums]:
    """Each task's sums [b ...] of training labels."""
    batch = self._whole(batch)
    return {name: task.facts(batch) for name, task in self.tasks.items()}

  def features(
    self, params: Params, video, *, state=None, depth: float = 0.95
  ) -> Features:
    """The backbone's own features."""
    return self.backbone.features(
      params['backbone'], video, state=state, depth=depth
    )

  def flops(self, batch: Batch) -> dict[str, float]:
    """Of one step: the backbone, and heads forward and backward."""
    batch = jax.eval_shape(self._whole, batch)
    rows = jax.ShapeDtypeStruct(batch['video'].shape[:1], jnp.uint32)
    drawn = jax.eval_shape(
      lambda batch: self._drawn(batch, jax.random.key(0), True),
      {**batch, 'row': rows},
    )
    shapes = jax.eval_shape(self.init, jax.random.key(0), batch)
    tokens = jax.eval_shape(self.tokens, shapes['backbone'], batch)
    # Frozen, the backbone runs forward only.
    passes = 3 if self.finetune else 1
    # The deepest is read on the way of none; shallower ones on its.
    deepest = functools.partial(self.tokens, depth=max(self.depths))
    counted = {
      'backbone': passes * forward_flops(deepest, shapes['backbone'], batch)
    }
    for name, task in self.tasks.items():
      head = task.head(batch['video'].shape[1:4])
      asked = jax.eval_shape(task.queries, drawn)
      counted[name] = 3 * forward_flops(
        lambda params, *args, head=head: self._each(
          lambda p: head.apply({'params': p}, *args), params
        ),
        *(shapes['heads'][name], tokens, asked),
      )
    return counted

  def pictures(
    self, params: Params, batch: Batch, rng: PRNGKeyArray
  ) -> dict[str, Float[Array, 'b t h w 3']]:
    """None while it trains: a job draws its test clips, on the host."""
    del params, batch, rng
    return {}

  def tokens(
    self, params: Params, batch: Batch, depth: float | None = None
  ) -> Float[Array, 'b t n d']:
    """What heads read of the backbone whose parameters are given.

    Cached features, where the batch holds them.

    Args:
      params: of the backbone.
      batch: with a video, or features.
      depth: of the features; None: that of the first head.
    """
    if 'features' in batch:
      return batch['features'].astype(self.feature_dtype)
    tokens = self.backbone.features(
      params, batch['video'], depth=self.depths[0] if depth is None else depth
    ).tokens
    return tokens.astype(self.feature_dtype)

  def _each(self, function: Callable, stacked: Any, axis: int = 0) -> Any:
    """`function` of each head's part; heads are axis `axis` of what it gives.

    A single one is not mapped: on a CPU, products with an axis of 1 for the
    heads take a fifth longer.
    """
    if len(self.labels) > 1:
      return jax.vmap(function, out_axes=axis)(stacked)
    given = function(jax.tree.map(lambda x: x[0], stacked))
    return jax.tree.map(lambda x: jnp.expand_dims(x, axis), given)

  def _check_depths(self, backbone: Params, batch: Batch) -> None:
    """Refuses several depths of a backbone that carries a state.

    Raises:
      ValueError: it does, and readouts see that state.
    """
    found = jax.eval_shape(self.backbone.features, backbone, batch['video'])
    if found.state is not None:
      raise ValueError(
        f'config.features.depth={list(dict.fromkeys(self.depths))}: what is '
        'read of a recurrent backbone is its state, which has no depths: give '
        'one'
      )

  def _drawn(self, batch: Batch, rng: PRNGKeyArray, train: bool) -> Batch:
    """The whole batch, with the labels that each task's loss is of."""
    batch = self._whole(batch)
    for task in self.tasks.values():
      if isinstance(task, task_lib.Drawing):
        batch = task.drawn(batch, rng, train)
    return batch

  def _whole(self, batch: Batch) -> Batch:
    """The batch with a video of the right shape, which nothing looks at.

    Shapes are read off the video; where features stand for it, the compiler
    drops what stands here.
    """
    if 'video' in batch:
      return batch
    (clips,) = {value.shape[0] for value in batch.values()}
    return {**batch, 'video': jnp.zeros((clips, *self.clip, 3), jnp.uint8)}
