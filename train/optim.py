"""Optimizers by name, from optax; choices by parameter path."""

import re
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import optax

from base.names import choose
from models import parametrisation as parametrisation_lib
from train import schedule as schedule_lib

_MOMENT_DTYPES = ('float32', 'bfloat16')
_PARAMETRISATIONS = ('standard', 'mup')
# Rule -> the decays that it has; the second moment of adafactor has its own.
_DECAYS = {
  'adamw': ('b1', 'b2'),
  'lion': ('b1', 'b2'),
  'adafactor': (),
  'sgd': ('b1',),
}


def make(
  *,
  steps: int,
  lr: float,
  name: str,
  schedule: str,
  warmup_fraction: float,
  final_lr: float,
  extensions: Sequence[Sequence[Any]],
  b1: float,
  b2: float,
  weight_decay: float,
  decay: Sequence[str],
  clip_norm: float,
  moment_dtype: str,
  parametrisation: str,
  base_width: int,
  multipliers: Sequence[Sequence[Any]] = (),
  decay_multipliers: Sequence[Sequence[Any]] = (),
) -> tuple[optax.GradientTransformation, Callable[[Any], Any]]:
  """The update rule, and its schedule step -> learning rate.

  Its update is given `step`, the number of updates before this one, and `norm`,
  the global norm of the gradients.

  Values are those of `configs/common.py`, or of a recipe over it: there is no
  other default of them.

  Args:
    steps: of the whole run.
    lr: peak learning rate.
    name: 'adamw', 'lion', 'adafactor' or 'sgd' (with momentum `b1`).
    schedule: see `train.schedule.make`, also for the three below.
    warmup_fraction: of the steps.
    final_lr: where the schedule ends.
    extensions: of a run that was trained longer.
    b1: decay of the first moment.
    b2: decay of the second moment; see `unused`.
    weight_decay: decoupled, times the learning rate.
    decay: path regexes of the parameters that decay.
    clip_norm: gradients above this global norm are scaled down; 0: never.
    multipliers: of the learning rate: (path regex, number). Several numbers
      are for the entries of the parameters' first axis. The first regex that
      matches holds.
    decay_multipliers: of `weight_decay`, in the same form.
    moment_dtype: 'float32' or 'bfloat16', in which the first moment is kept
      between steps; the second is float32 always. Adafactor has no first one.
    parametrisation: 'standard', or 'mup': what the rule makes is multiplied by
      `models.parametrisation.rates`. The decay is not: it is lr x weight_decay
      at any width (ours).
    base_width: of the model that `lr` was found for, if mup; its own width is
      the standard parametrisation.

  Raises:
    ValueError: an unknown name, schedule or dtype, a number out of range, or
      one for what the rule or schedule does not have.
  """
  rules = {
    'adamw': lambda: optax.scale_by_adam(b1=b1, b2=b2, mu_dtype=moment_dtype),
    'lion': lambda: optax.scale_by_lion(b1=b1, b2=b2, mu_dtype=moment_dtype),
    # Its second moment alone, of rows and columns: a checkpoint of e is 18 GB
    # instead of 46 (docs/pods.md).
    'adafactor': lambda: optax.scale_by_factored_rms(),
    'sgd': lambda: optax.trace(decay=b1, accumulator_dtype=moment_dtype),
  }
  choose('optim.name', name, rules)
  if moment_dtype not in _MOMENT_DTYPES:
    raise ValueError(
      f'optim.moment_dtype={moment_dtype!r} must be one of {_MOMENT_DTYPES}'
    )
  if name == 'adafactor' and moment_dtype != 'float32':
    raise ValueError(
      f'optim.moment_dtype={moment_dtype!r}: adafactor keeps no first moment; '
      "leave 'float32', or choose another optim.name"
    )
  rule = rules[name]()
  if _check_parametrisation(parametrisation, base_width, name) == 'mup':
    rule = optax.chain(rule, _scale_by_width(base_width))
  rate = schedule_lib.make(
    steps=steps,
    lr=lr,
    schedule=schedule,
    warmup_fraction=warmup_fraction,
    final_lr=final_lr,
    extensions=extensions,
  )
  # In this order: what is clipped is the gradient; what decays is decoupled,
  # beside the rule's update (AdamW, arXiv 1711.05101), and both are scaled by
  # the rate.
  # What is off has its place too: a checkpoint names parts by their number, and
  # a run may go on with another `clip_norm`.
  off = optax.identity()
  parts = [
    _clip(clip_norm) if clip_norm else off,
    rule,
    _decay(weight_decay, decay, decay_multipliers) if weight_decay else off,
    _scale_by_rate(rate),
    _scale_by_path('multipliers', multipliers) if multipliers else off,
  ]
  return optax.chain(*parts), rate


def _check_parametrisation(
  parametrisation: str, base_width: int, name: str
) -> str:
  """`optim.parametrisation`, which is there, and goes with the others.

  Raises:
    ValueError: it does not.
  """
  choose('optim.parametrisation', parametrisation, _PARAMETRISATIONS)
  if parametrisation == 'mup' and base_width < 1:
    raise ValueError(
      f'optim.base_width={base_width}: mup needs the width of the model that '
      'optim.lr was found for'
    )
  if parametrisation == 'mup' and name == 'sgd':
    raise ValueError(
      "optim.parametrisation='mup' is that of adamw, lion and adafactor: "
      "optim.name='sgd' has other rules. Use standard"
    )
  return parametrisation


def unused(
  *,
  name: str,
  b1: float,
  b2: float,
  parametrisation: str,
  base_width: int,
  **others: Any,
) -> str:
  """What of a config's `optim` its rule does not read, to be said; or ''.

  Recipes have the decays of AdamW, whatever `name` is put over its own.
  """
  del others
  given = {'b1': b1, 'b2': b2}
  left = [
    f'optim.{k}={x:g}' for k, x in given.items() if k not in _DECAYS[name]
  ]
  if left:
    return f'optim.name={name} does not use {" and ".join(left)}'
  if parametrisation == 'standard' and base_width:
    return f'optim.base_width={base_width} is of optim.parametrisation=mup'
  return ''


def _clip(most: float) -> optax.GradientTransformationExtraArgs:
  """Scales updates down to a norm, of which `norm` is that which they have.

  It is known, since it is logged; optax's would sum it up again.
  """

  def update(updates, state, params=None, *, norm, **others):
    del params, others
    scale = jnp.where(norm > most, most / norm, 1.0)
    return jax.tree.map(lambda x: scale.astype(x.dtype) * x, updates), state

  return optax.GradientTransformationExtraArgs(optax.init_empty_state, update)


def _scale_by_rate(
  rate: Callable[[Any], Any],
) -> optax.GradientTransformationExtraArgs:
  """Multiplies updates by the rate of `step`, of which optax's keeps a count.

  A count of its own would fall behind where an update is left out.
  """

  def update(updates, state, params=None, *, step, **others):
    del params, others
    scale = -rate(step)
    return jax.tree.map(lambda x: jnp.array(scale, x.dtype) * x, updates), state

  return optax.GradientTransformationExtraArgs(optax.init_empty_state, update)


def _scale_by_width(base_width: int) -> optax.GradientTransformation:
  """Multiplies updates as `models.parametrisation.rates` says."""

  def update(updates, _):
    factors = parametrisation_lib.rates(updates, base_width)
    return jax.tree.map(lambda x, factor: factor * x, updates, factors)

  return optax.stateless(update)


def _decay(
  weight_decay: float,
  decay: Sequence[str],
  multipliers: Sequence[Sequence[Any]],
) -> optax.GradientTransformation:
  """Adds weights that decay; with multipliers, each times its own."""

  def mask(params):
    return matches(decay, params)

  if not multipliers:
    return optax.add_decayed_weights(weight_decay, mask=mask)

  def update(updates, params):
    scaled = _times('decay_multipliers', multipliers, params)
    return jax.tree.map(
      lambda x, p, decays: x + weight_decay * p if decays else x,
      *(updates, scaled, mask(params)),
    )

  return optax.stateless(update)


def _scale_by_path(
  option: str, multipliers: Sequence[Sequence[Any]]
) -> optax.GradientTransformation:
  """Multiplies updates by numbers that depend on the parameter's path."""
  return optax.stateless(
    lambda updates, _: _times(option, multipliers, updates)
  )


def _times(
  option: str, multipliers: Sequence[Sequence[Any]], values: Any
) -> Any:
  """Values by the numbers of the first regex that matches their path.

  Raises:
    ValueError: as many numbers as the first axis does not have.
  """

  def scale(path, value):
    for regex, factor in multipliers:
      # The whole path: 'kernel' alone would be in half of the names.
      if re.fullmatch(regex, path_name(path)):
        factor = jnp.asarray(factor, value.dtype)
        if factor.ndim and factor.shape != value.shape[:1]:
          raise ValueError(
            f'optim.{option}[{regex!r}] has {factor.size} numbers, '
            f'{path_name(path)} has shape {value.shape}: give one number, or '
            'as many as the first axis has entries'
          )
        return value * factor.reshape(-1, *[1] * (value.ndim - 1))
    return value

  return jax.tree_util.tree_map_with_path(scale, values)


def path_name(path) -> str:
  """'processor/layers/mlp/dense_in/kernel' of a JAX key path."""
  return jax.tree_util.keystr(path, simple=True, separator='/')


def matches(regexes: Sequence[str], params: Any) -> Any:
  """For each leaf, whether one of the regexes matches its whole path.

  Raises:
    ValueError: a regex that matches no parameter.
  """
  names = jax.tree_util.tree_map_with_path(
    lambda path, _: path_name(path), params
  )
  for regex in regexes:
    if not any(re.fullmatch(regex, name) for name in jax.tree.leaves(names)):
      raise ValueError(
        f'{regex!r} matches no parameter; some of them are '
        f'{jax.tree.leaves(names)[:5]}'
      )
  return jax.tree.map(
    lambda name: any(re.fullmatch(regex, name) for regex in regexes), names
  )
