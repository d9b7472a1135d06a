"""Whether features collapse, layers stop learning, gradients spike.

A function of its own looks at a few rows of a batch before the step that
trains on it. So the step is the same program, and a run the same bits, however
often anything is looked at.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec
from jaxtyping import Array, Float

from base.console import say
from models import sharding
from models.objective import Batch, Params
from train import executable, optim
from train import mesh as mesh_lib
from train import step as step_lib
from train.program import Program
from train.step import State

# Whose singular values the host has in milliseconds. As many from every batch:
# a rank is at most their number, and compares with that of another run.
_TOKENS = 256


class Health:
  """What is watched beside the loss; one for a run."""

  def __init__(
    self, program: Program, seed: int, *, every: int, clips: int, spike: float
  ):
    """Prepares; compiles nothing yet.

    Args:
      program: what is trained, and where.
      seed: of masks and noise.
      every: steps between looks at features and layers; 0: none.
      clips: rows of the batch that are looked at, or a few more, so that each
        data shard has as many.
      spike: a gradient is a spike whose norm is above so many times the median
        of the last ones, see `train.step.times_usual`.

    Raises:
      ValueError: less than two clips, which do not differ, a negative number
        of steps, or a spike that is none.
    """
    if every < 0 or clips < 2 or not spike > 1:
      raise ValueError(
        f'config.health: every={every} must be at least 0, clips={clips} at '
        f'least 2, spike={spike} above 1 (times the median of gradient norms)'
      )
    self._every, self._spike = every, spike
    rows = next(iter(program.batch.values())).shape[0]
    shards = mesh_lib.num_data_shards(program.mesh)
    looking = _make_look(program, seed, parts_of(rows, shards, clips))
    self._look = jax.jit(
      looking,
      # Whole on every process: the first one writes.
      out_shardings=NamedSharding(program.mesh, PartitionSpec()),
      compiler_options=executable.options_of_programs_run_once(),
    )
    self._looked: list[tuple[int, Any]] = []
    self._norms = np.zeros(0)
    self._ratios: list[float] = []

  def begin(self, norms: jax.Array) -> None:
    """Takes the norms that are known where a run begins or goes on."""
    self._norms = np.asarray(jax.device_get(norms))

  def due(self, step: int) -> bool:
    """Whether to look before `step`."""
    return self._every > 0 and step % self._every == 0

  def look(self, state: State, batch: Batch, step: int) -> None:
    """Has the device look at what `step` is about to train; waits for nothing.

    Args:
      state: before the step, which takes its memory.
      batch: of the step.
      step: its number.
    """
    self._looked.append((step, self._look(state, batch)))

  def seen(self, norm: float) -> None:
    """Is told the norm of each step's gradient, in order."""
    self._ratios.append(float(step_lib.times_usual(norm, self._norms)))
    self._norms = step_lib.with_norm(self._norms, np.float32(norm))

  def spikes(self) -> dict[str, float]:
    """Of the steps since the last call: the largest norm, number of spikes."""
    ratios, self._ratios = self._ratios, []
    known = [ratio for ratio in ratios if np.isfinite(ratio)]
    if not known:
      return {}
    return {
      'optim/grad_norm_over_median': max(known),
      'optim/grad_norm_spikes': sum(ratio > self._spike for ratio in known),
    }

  def read(
    self, step: int, write: Callable[[int, Mapping[str, float]], None]
  ) -> None:
    """Has written what was seen up to a step that the device has finished."""
    while self._looked and self._looked[0][0] <= step:
      number, found = self._looked.pop(0)
      found = jax.device_get(found)
      values = layers(found['squares']) | collapse(**found['features'])
      bad = sorted(name for name, x in values.items() if not np.isfinite(x))
      if bad:
        say(f'step {number}: {bad[0]} is not finite, nor are {len(bad) - 1}')
      write(number, {k: x for k, x in values.items() if k not in bad})


def parts_of(rows: int, shards: int, clips: int) -> int:
  """How many parts to cut a batch into, of which one is looked at.

  Args:
    rows: of the batch, which `shards` divide.
    shards: that hold as many rows of a part each.
    clips: rows that a part has at least, if the batch has as many.
  """
  each = rows // shards
  fitting = (n for n in range(each, 1, -1) if not each % n)
  return next((n for n in fitting if rows // n >= clips), 1)


def _make_look(
  program: Program, seed: int, parts: int
) -> Callable[[State, Batch], dict[str, Any]]:
  """The function (state, batch) -> squares of gradients, and features."""
  objective = program.objective

  def look(state, batch):
    # Their draws are those of the step.
    rows = step_lib.micro_batches(step_lib.with_rows(batch), parts)
    rows = jax.tree.map(lambda x: x[0], rows)
    rng = step_lib.rng_of(state, seed)
    grads, _ = step_lib.gradients(
      objective, program.is_frozen, state, rows, rng
    )
    tokens = objective.features(state.params, rows['video']).tokens
    return {'squares': squares(grads), 'features': sampled(tokens)}

  return look


def squares(grads: Params) -> dict[str, Float[Array, '...']]:
  """Sums of squares of the gradient, by layer; [l] of a stack of layers.

  A layer is a block where a path names one, as 'predictor/layer_0', or has
  blocks stacked, as 'processor/layers'; else what owns the parameter, as
  'encoder/posenc'.
  """
  found: dict[str, Any] = {}
  axes = sharding.logical_axes(grads)
  for (path, grad), names in zip(
    jax.tree_util.tree_leaves_with_path(grads),
    jax.tree.leaves(axes, is_leaf=lambda x: isinstance(x, tuple)),
    strict=True,
  ):
    path = optim.path_name(path)
    is_stack = 'layers' in names
    owner = re.match(r'(.*/layers|.*/layer_\d+)/', path)
    layer = owner[1] if owner else path.rpartition('/')[0]
    square = jnp.square(grad.astype(jnp.float32))
    over = tuple(range(1, grad.ndim)) if is_stack else None
    found[layer] = found.get(layer, 0.0) + jnp.sum(square, axis=over)
  return found


def layers(squares: Mapping[str, np.ndarray]) -> dict[str, float]:
  """Norms of the gradient by layer, and of all; a stack's by number."""
  named: dict[str, float] = {}
  for name, sums in squares.items():
    if not np.ndim(sums):
      named[name] = float(sums)
      continue
    # As wide as the last, so that a list of names is in the order of layers.
    wide = len(str(len(sums) - 1))
    named |= {f'{name}/{i:0{wide}}': float(x) for i, x in enumerate(sums)}
  prefix = 'health/grad_norm'
  return {prefix: float(np.sqrt(sum(named.values())))} | {
    f'{prefix}/{name}': float(np.sqrt(x)) for name, x in named.items()
  }


def sampled(
  tokens: Float[Array, 'b t n d'],
) -> dict[str, Float[Array, '...']]:
  """What `collapse` takes: some tokens of each clip, and the mean of all."""
  b, t, n, d = tokens.shape
  tokens = tokens.reshape(b, t * n, d).astype(jnp.float32)
  # Evenly over time and place.
  count = min(t * n, max(_TOKENS // b, 1))
  index = np.linspace(0, t * n, count, endpoint=False).astype(int)
  return {'tokens': tokens[:, index], 'means': tokens.mean(axis=1)}


def collapse(
  tokens: Float[np.ndarray, 'b s d'], means: Float[np.ndarray, 'b d']
) -> dict[str, float]:
  """How far features differ, from token to token and from clip to clip.

  Deviations are shares of the root mean square, so that they are 0 of features
  that are all the same, and 1 of such whose mean is 0, whatever their scale.

  Args:
    tokens: of some places.
    means: of each clip's tokens.
  """
  tokens, means = np.asarray(tokens, float), np.asarray(means, float)
  rms = np.sqrt(np.mean(np.square(tokens)))
  within = tokens - tokens.mean(axis=1, keepdims=True)
  between = means - means.mean(axis=0)
  whole = np.sqrt(np.mean(np.square(means)))
  return {
    'health/feature_rms': float(rms),
    'health/feature_rank': effective_rank(tokens.reshape(-1, tokens.shape[-1])),
    'health/feature_rank_of_clips': effective_rank(means),
    'health/feature_deviation': _share(within, rms),
    'health/feature_deviation_of_clips': _share(between, whole),
  }


def effective_rank(rows: Float[np.ndarray, 'n d']) -> float:
  """In how many directions rows differ from their mean: 0 of equal rows.

  The exponential of the entropy of the singular values, as shares of their sum
  (Roy and Vetterli, 2007; RankMe, arXiv 2210.02885, does not take the mean
  away). At most d, and n - 1.
  """
  if not np.isfinite(rows).all():
    return np.nan
  whole = np.linalg.norm(rows)
  rows = rows - rows.mean(axis=0)
  # Of the smaller of the two products: singular values, squared.
  product = rows @ rows.T if len(rows) < rows.shape[1] else rows.T @ rows
  values = np.sqrt(np.maximum(np.linalg.eigvalsh(product), 0.0))
  # What is less is what rounding left of rows that are equal.
  values = values[values > 1e-6 * whole]
  if not values.size:
    return 0.0
  share = values / values.sum()
  return float(np.exp(-np.sum(share * np.log(share))))


def _share(rest: np.ndarray, whole: float) -> float:
  """Root mean square of `rest`, over that of the whole; 0 of nothing."""
  return float(np.sqrt(np.mean(np.square(rest))) / whole) if whole else 0.0
