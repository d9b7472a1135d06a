"""One update: gradients, optimizer, moving average, and what is logged of it.

An update that is not finite is left out where it is made: the state stays as
it was, but for the step. The host is told later (`train/guard.py`).

Pure functions of the state and the batch; whatever is random comes from
(seed, step). The state on disk is all that a resumed run needs.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from models import objective as objective_lib
from models.objective import Batch, Objective, Params
from train import optim

# Of what a step logs: whether its update was left out.
IS_SKIPPED = 'is_skipped'
# Norms of the last gradients, whose median says which one is an outlier.
_NORMS = 128


class State(NamedTuple):
  """What a run carries from step to step."""

  step: jax.Array  # int32: number of updates done, with those left out
  params: Params
  opt_state: Any
  ema: Params | None = None  # moving average of the trained parameters
  skipped: jax.Array | None = None  # int32: number of updates left out
  norms: jax.Array | None = None  # of the last gradients; nan: not yet known


Metrics = dict[str, Any]


def split(params: Params, is_frozen: Any) -> tuple[Params, Params]:
  """(trained, frozen): the same tree twice, None where the other has it."""
  trained = jax.tree.map(lambda p, f: None if f else p, params, is_frozen)
  frozen = jax.tree.map(lambda p, f: p if f else None, params, is_frozen)
  return trained, frozen


def join(trained: Params, frozen: Params) -> Params:
  """The inverse of `split`."""
  return jax.tree.map(
    lambda a, b: b if a is None else a,
    trained,
    frozen,
    is_leaf=lambda leaf: leaf is None,
  )


def averaged(state: State, is_frozen: Any) -> Params:
  """The parameters to evaluate: the moving average where one is kept."""
  if state.ema is None:
    return state.params
  return join(state.ema, split(state.params, is_frozen)[1])


def init_state(params: Params, tx, is_frozen: Any, *, ema: float) -> State:
  """The state before the first update; frozen leaves get no moments."""
  trained, _ = split(params, is_frozen)
  return State(
    step=jnp.zeros([], jnp.int32),
    params=params,
    opt_state=tx.init(trained),
    ema=jax.tree.map(jnp.copy, trained) if ema else None,
    skipped=jnp.zeros([], jnp.int32),
    norms=jnp.full([_NORMS], jnp.nan, jnp.float32),
  )


def make_train_step(
  objective: Objective,
  tx: optax.GradientTransformation,
  is_frozen: Any,
  *,
  seed: int,
  accumulate: int,
  ema: float,
  skip: Sequence[int],
  outlier: float,
) -> Callable[[State, Batch], tuple[State, Metrics]]:
  """The function (state, batch) -> (state, metrics) of one update.

  Args:
    objective: whose loss is minimised.
    tx: the optimizer.
    is_frozen: a tree of bools like the parameters: which are not trained.
    seed: of masks and noise.
    accumulate: micro-batches whose gradients are averaged into one update;
      the draws of a row do not depend on it.
    ema: decay of the moving average of the parameters; 0: none is kept.
    skip: numbers of updates, from 1, that are left out, whatever they are.
    outlier: an update is left out too whose gradient's norm is above so many
      times the median of the last ones, once as many are known; 0: none.

  Raises:
    ValueError: a number that is none of a step, or an outlier below the median.
  """
  if any(number < 1 for number in skip):
    raise ValueError(f'step.skip={tuple(skip)} must be steps, from 1')
  if outlier and not outlier > 1:
    raise ValueError(
      f'step.outlier={outlier} must be above 1 (times the median of gradient '
      'norms), or 0 for none'
    )

  def train_step(state: State, batch: Batch) -> tuple[State, Metrics]:
    rng = rng_of(state, seed)
    trained, frozen = split(state.params, is_frozen)
    batch = with_rows(batch)

    def one(batch):
      return gradients(objective, is_frozen, state, batch, rng)

    grads, metrics = (
      one(batch)
      if accumulate == 1
      else _mean_over(one, micro_batches(batch, accumulate))
    )
    loss, norms = metrics.pop('loss'), gradient_norms(grads)
    norm = norms['optim/grad_norm']
    keep = jnp.isfinite(loss) & jnp.isfinite(norm)
    if skip:
      keep &= jnp.all(state.step + 1 != jnp.asarray(skip))
    if outlier:
      keep &= ~(times_usual(norm, state.norms) > outlier)

    def update(trained, opt_state, average):
      updates, opt_state = tx.update(
        grads, opt_state, trained, step=state.step, norm=norm
      )
      moved = optax.apply_updates(trained, updates)
      average = average and optax.incremental_update(moved, average, 1.0 - ema)
      return moved, opt_state, average

    # In place where it is done: choosing between two states would hold both.
    trained, opt_state, average = jax.lax.cond(
      keep, update, lambda *x: x, trained, state.opt_state, state.ema
    )
    # Ratios are made of the sums over all micro-batches, not averaged.
    scores = objective_lib.scores(objective, metrics['of'])
    logged = {f'train/{name}': value for name, value in scores.items()}
    skipped = state.skipped + jnp.where(keep, 0, 1)
    logged |= {'train/loss': loss, 'optim/skipped': skipped, **norms}
    new = State(
      step=state.step + 1,
      params=join(trained, frozen),
      opt_state=opt_state,
      ema=average,
      skipped=skipped,
      norms=with_norm(state.norms, norm),
    )
    return new, {**logged, IS_SKIPPED: ~keep}

  return train_step


def rng_of(state: State, seed: int) -> jax.Array:
  """The key of the update after `state`."""
  # Of the step alone: a run that goes on draws what it would have drawn.
  return jax.random.fold_in(jax.random.key(seed), state.step)


def gradients(
  objective: Objective, is_frozen: Any, state: State, batch: Batch, rng: Any
) -> tuple[Params, Metrics]:
  """Of the trained parameters, as the update after `state` sees them.

  Args:
    objective: whose loss it is.
    is_frozen: as for `split`.
    state: before the update.
    batch: or some rows of it, see `with_rows`.
    rng: see `rng_of`.

  Returns:
    The gradients, None for what is frozen, and the loss with its metrics.
  """
  trained, frozen = split(state.params, is_frozen)

  def loss(trained):
    whole = None if state.ema is None else join(state.ema, frozen)
    # Frozen leaves come in beside the gradient, so that none is made of them.
    return objective.loss(join(trained, frozen), batch, rng, ema=whole)

  (value, metrics), grads = jax.value_and_grad(loss, has_aux=True)(trained)
  return grads, {'loss': value, 'of': metrics}


def times_usual(norm: Any, norms: Any) -> Any:
  """How many times the median of the last gradients' norms a norm is.

  Not a number until as many are known, and so above nothing.

  Args:
    norm: of a gradient.
    norms: `State.norms` before it; on the device, or NumPy's on the host.
  """
  median = np.median if isinstance(norms, np.ndarray) else jnp.median
  return norm / median(norms)


def with_norm(norms: Any, norm: Any) -> Any:
  """The last norms with another one, if that is finite; as `times_usual`."""
  xp = np if isinstance(norms, np.ndarray) else jnp
  return xp.where(xp.isfinite(norm), xp.append(norms[1:], norm), norms)


def make_eval_step(
  objective: Objective, *, seed: int
) -> Callable[[Params, Batch, jax.Array], Metrics]:
  """The function (params, batch, number of the batch) -> its loss and metrics.

  Of several batches they are averaged, and made scores of by `eval_scores`.
  The draws depend on (seed, number), not on the training step: curves of the
  validation loss are over the same masks.
  """

  def eval_step(params, batch, number):
    rng = jax.random.fold_in(jax.random.key(seed), number)
    batch = with_rows(batch)
    loss, metrics = objective.loss(params, batch, rng, train=False)
    return {'loss': loss, 'of': metrics}

  return eval_step


def eval_scores(
  objective: Objective, batches: Sequence[Metrics]
) -> dict[str, float]:
  """Loss and scores over all batches, of what `make_eval_step` gave of each."""
  mean = jax.tree.map(lambda *x: np.mean(x, axis=0), *batches)
  scores = objective_lib.scores(objective, mean['of'])
  named = {'loss': mean['loss'], **scores}
  return {f'eval/{name}': float(value) for name, value in named.items()}


def make_pictures(
  objective: Objective, *, seed: int, clips: int
) -> Callable[[Params, Batch], dict[str, jax.Array]]:
  """The function (params, batch) -> pictures of its first `clips` rows."""

  def pictures(params, batch):
    rng = jax.random.fold_in(jax.random.key(seed), 0)
    first = jax.tree.map(lambda x: x[:clips], with_rows(batch))
    return objective.pictures(params, first, rng)

  return pictures


def with_rows(batch: Batch) -> dict[str, Any]:
  """The batch with 'row', each row's number: the key of its random draws."""
  # Keys that differ in their rows are no batch, and end here.
  (rows,) = {value.shape[0] for value in batch.values()}
  return {**batch, 'row': jnp.arange(rows, dtype=jnp.uint32)}


def micro_batches(batch: Batch, count: int) -> Batch:
  """[b ...] -> [count b/count ...]; every device keeps its own rows."""
  # Every count-th row, not a run of them: a run would lie on one device.
  return jax.tree.map(
    lambda x: x.reshape(-1, count, *x.shape[1:]).swapaxes(0, 1), batch
  )


def _mean_over(function, batches):
  """The mean of `function` over the leading axis, one at a time."""
  count = jax.tree.leaves(batches)[0].shape[0]
  shapes = jax.eval_shape(function, jax.tree.map(lambda x: x[0], batches))
  # Only shapes are traced here; the loop computes them all, the first too.
  zeros = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes)

  def add(total, batch):
    return jax.tree.map(jnp.add, total, function(batch)), None

  total, _ = jax.lax.scan(add, zeros, batches)
  return jax.tree.map(lambda x: x / count, total)


def gradient_norms(grads: Params) -> Metrics:
  """Norms of the gradient: global, and of each group of parameters.

  A group is what shares the first two names of its path. The guard reads
  them to name the group in which a number first went bad.
  """
  squares: dict[str, Any] = {}
  for path, grad in jax.tree_util.tree_leaves_with_path(grads):
    group = '/'.join(optim.path_name(path).split('/')[:2])
    # Of millions of small numbers, which in bfloat16 would no longer add up.
    square = jnp.sum(jnp.square(grad.astype(jnp.float32)))
    squares[group] = squares.get(group, 0.0) + square
  total = sum(squares.values())
  return {'optim/grad_norm': jnp.sqrt(total)} | {
    f'optim/grad_norm/{group}': jnp.sqrt(square)
    for group, square in squares.items()
  }
