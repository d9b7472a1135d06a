"""The seam between a benchmark task and the readout that trains for it.

A task is a module of `evals/tasks/` with a function `make(**options)`. It says
which labels it needs, what head answers it, the loss, the metrics, and how an
answer is drawn. One head per task; what heads share is `evals/readout.py`.
"""

import difflib
import importlib
import pkgutil
from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

from jaxtyping import Array, Float

from evals import tasks
from evals.metrics import Scores, Sums
from models.objective import Batch


@runtime_checkable
class Task(Protocol):
  """One benchmark task. Nothing to inherit."""

  name: str  # of its metrics: '<name>/<score>'
  keys: tuple[str, ...]  # record keys of `data/source.py`, besides the video
  headline: tuple[str, ...]  # the scores that a table shows, best known first

  def head(self, clip: tuple[int, int, int]) -> Mapping[str, Any]:
    """What the task fixes of `models.readout.AttentionReadout`.

    Args:
      clip: frames, height and width of the clips.

    Raises:
      ValueError: clips of a shape that the task cannot answer.
    """

  def predict(self, outputs: Float[Array, 'b q o'], batch: Batch) -> Any:
    """The answer, in the units of the labels, from the head's outputs."""

  def loss(self, predicted: Any, batch: Batch) -> Float[Array, 'b']:
    """Of each clip."""

  def sums(self, predicted: Any, batch: Batch) -> Sums:
    """Sums [b] of each clip, enough for `scores`.

    Among them `count`, of labels that count; 0 where a clip has none.
    """

  def scores(self, sums: Sums) -> Scores:
    """Scores of sums that are added over clips, elementwise."""

  def pictures(
    self, predicted: Any, batch: Batch
  ) -> dict[str, Float[Array, 'b t h w 3']]:
    """Clips in [0, 1] that show the answer and the truth."""


def make(name: str, **options) -> Task:
  """The task of module `evals/tasks/<name>.py`.

  Raises:
    ValueError: no such task (the nearest is named), or a bad option.
  """
  names = sorted(module.name for module in pkgutil.iter_modules(tasks.__path__))
  if name not in names:
    near = difflib.get_close_matches(name, names, n=1, cutoff=0)[0]
    raise ValueError(
      f'task={name!r} does not exist: expected one of {", ".join(names)}; '
      f'did you mean {near!r}?'
    )
  return importlib.import_module(f'evals.tasks.{name}').make(**options)
