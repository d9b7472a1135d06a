"""The seam between a benchmark task and the readout that trains for it.

What lies in `evals/tasks/` is a task, by its file's name; nothing else marks
one, and `names` lists them. Such a module has a function `make(**options)`,
whose options are those of `config.tasks.<name>`. The task says which labels it
needs, what head answers it, the loss, the metrics, what is answered without
looking, and how an answer is drawn. One head per task; what heads share is
`evals/readout.py`.

How it looks on any video is a class of `evals/predict/views.py`; how a report
calls it, `evals/report/naming.py`, which gives an unknown one its own name.
"""

import importlib
import inspect
import pkgutil
from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from base.names import choose
from evals import tasks
from evals.metrics import Scores, Sums
from models.objective import Batch
from models.readout import Head


@runtime_checkable
class Task(Protocol):
  """One benchmark task. Nothing to inherit."""

  name: str  # of its metrics: '<name>/<score>'
  keys: tuple[str, ...]  # record keys of `data/source.py`, besides the video
  headline: tuple[str, ...]  # the scores that a table shows, the main one first
  lower_is_better: bool  # of the main score, by which a learning rate is chosen
  convention: str  # how it is scored, where code of the field differs

  def head(self, clip: tuple[int, int, int]) -> Head:
    """The head for clips of so many frames, rows and columns.

    Raises:
      ValueError: clips of a shape that the task cannot answer.
    """

  def queries(self, batch: Batch) -> Float[Array, 'b q c'] | None:
    """What the head is asked for; None: nothing, such as learned queries."""

  def predict(self, outputs: Float[Array, 'b q o'], batch: Batch) -> Any:
    """The answer, in the units of the labels, from the head's outputs."""

  def loss(self, predicted: Any, batch: Batch) -> Float[Array, 'b']:
    """Of each clip; 0 of one without a label that counts."""

  def sums(self, predicted: Any, batch: Batch) -> Sums:
    """Sums [b] of each clip, enough for `scores`.

    Among them `count`, of labels that count; 0 where a clip has none.
    """

  def scores(self, sums: Sums) -> Scores:
    """Scores of sums that are added over clips, elementwise."""

  def facts(self, batch: Batch) -> Sums:
    """Sums [b ...] of training labels, which `trivial` may know."""

  def trivial(self, facts: Sums, batch: Batch) -> Any:
    """An answer without looking at the video: the floor of any readout.

    Args:
      facts: added over training clips.
      batch: for shapes, and what the task's queries tell.
    """

  def pictures(
    self, predicted: Any, batch: Mapping[str, np.ndarray]
  ) -> dict[str, np.ndarray]:
    """Clips uint8 [b t h w 3] that show answer and truth; on the host."""


@runtime_checkable
class Drawing(Task, Protocol):
  """A task whose loss is of labels that are drawn anew in each step."""

  def drawn(self, batch: Batch, rng: PRNGKeyArray, train: bool) -> Batch:
    """The batch with these labels alone, and which of all they are.

    `queries`, `predict`, `loss` and `sums` go by it. Metrics of a split are of
    batches as they came: of all labels.
    """


def names() -> list[str]:
  """Of all tasks."""
  return sorted(module.name for module in pkgutil.iter_modules(tasks.__path__))


def make(name: str, **options) -> Task:
  """The task of module `evals/tasks/<name>.py`.

  Raises:
    ValueError: no such task (the nearest is named), or a bad option.
  """
  choose('task', name, names())
  return importlib.import_module(f'evals.tasks.{name}').make(**options)


def takes(name: str, options: Mapping[str, Any]) -> bool:
  """Whether `make` has these options and no others that it must be given.

  Raises:
    ValueError: no such task.
  """
  choose('task', name, names())
  module = importlib.import_module(f'evals.tasks.{name}')
  try:
    inspect.signature(module.make).bind(**options)
  except TypeError:
    return False
  return True
