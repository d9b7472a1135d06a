"""The seam between a method and the trainer, and the legend of shapes.

An objective is a module or a folder of `models/` with a function
`make(**options) -> Objective`; nothing else here calls a function so. It may
have a `for_readouts(**options)` too, see below; a folder gives both from its
`__init__`.

Letters of shapes, everywhere: b batch, t frames, h w pixels, c channels,
n tokens, d width, k heads, m hidden width, q queries, s latent tokens,
l layers.
"""

import importlib
import pkgutil
from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
from jaxtyping import Array, Float, Key, PRNGKeyArray, UInt

import models
from base.names import choose

Params = Mapping[str, Any]  # nested dict of arrays; every level is named
Batch = Mapping[str, Any]  # record keys of `data/source.py`, batch axis first


class Features(NamedTuple):
  """What a readout reads of a backbone."""

  tokens: Float[Array, 'b t n d']  # t: time steps of the token grid
  state: Any = None  # what a recurrent backbone carries to the next clip


@runtime_checkable
class Objective(Protocol):
  """A pretraining method, or a readout job. Nothing to inherit."""

  def init(self, rng: PRNGKeyArray, batch: Batch) -> Params:
    """New parameters; only shapes and dtypes of `batch` are read."""

  def loss(
    self,
    params: Params,
    batch: Batch,
    rng: PRNGKeyArray,
    *,
    ema=None,
    train: bool = True,
  ) -> tuple[Float[Array, ''], dict[str, Float[Array, '']]]:
    """Mean loss over the batch, and scalars to log.

    `train` is False for the validation loss, which some methods take over
    more pixels.

    Masks and noise are drawn here, on device. Draw them per row, from
    `row_keys(rng, batch)`: then a batch in micro-batches, or on any mesh,
    sees the same draws.

    What is to log may be averaged over parts of a batch, and is. Scores that
    are no means, such as ratios of sums, are made of the averages by a method
    `scores(metrics) -> metrics` of the objective, which others do without.
    """

  def features(
    self, params: Params, video, *, state=None, depth: float = 0.95
  ) -> Features:
    """Features of `video` (uint8 or float in [0, 1]) [b t h w 3].

    `state` is what an earlier part of the video left, if the backbone is
    recurrent; `depth` chooses among features, if it has several.
    """

  def flops(self, batch: Batch) -> dict[str, float]:
    """Model FLOPs of one training step (forward and backward), by part.

    Counts matrix multiplications and attention over the tokens really
    processed, a multiply-add as 2; no recomputation.
    """

  def pictures(
    self, params: Params, batch: Batch, rng: PRNGKeyArray
  ) -> dict[str, Float[Array, 'b t h w 3']]:
    """Clips in [0, 1] that show what was learned."""


def make(name: str, **options) -> Objective:
  """The objective of module `models/<name>.py`, or of folder `models/<name>/`.

  Raises:
    ValueError: no such objective (the nearest is named), or a bad option.
  """
  return _module(name).make(**options)


def for_readouts(name: str, **options) -> dict[str, Any]:
  """A `config.model` for those who want features only.

  The same, unless the module has a function of this name, which leaves out
  what features do not need.

  Raises:
    ValueError: no such objective.
  """
  reduce = getattr(_module(name), 'for_readouts', dict)
  return {'name': name, **reduce(**options)}


def names() -> list[str]:
  """Of all objectives; imports every module of `models/` to find them."""
  found = (each.name for each in pkgutil.iter_modules(models.__path__))
  return sorted(
    name
    for name in found
    if _is_objective(importlib.import_module(f'models.{name}'))
  )


def _is_objective(module: Any) -> bool:
  # This module has a `make` too, and is the seam.
  return hasattr(module, 'make') and module.__name__ != __name__


def _module(name: str):
  """Imports that one alone, which is why the list is asked last."""
  try:
    found = importlib.import_module(f'models.{name}')
  except ModuleNotFoundError as error:
    if error.name != f'models.{name}':
      raise
    found = None
  if not _is_objective(found):
    choose('model.name', name, names())
  return found


def scores(objective: Objective, metrics: Mapping[str, Any]) -> dict[str, Any]:
  """What is logged of `loss`'s metrics, averaged over whatever was a part."""
  return getattr(objective, 'scores', dict)(metrics)


def row_keys(rng: PRNGKeyArray, batch: Batch) -> Key[Array, 'b']:
  """One key per row of the batch, [b].

  `batch['row']` is the row's number in the global batch (the trainer adds
  it), so the keys do not depend on micro-batches or devices.
  """
  rows: UInt[Array, 'b'] = batch['row']
  return jax.vmap(jax.random.fold_in, in_axes=(None, 0))(rng, rows)
