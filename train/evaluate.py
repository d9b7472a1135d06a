"""What a run is judged by while it goes on: validation loss and pictures."""

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from base.console import say
from data import pipeline
from models.objective import Params
from train import step as step_lib
from train.feed import Feed
from train.program import Program
from train.watchdog import Watchdog
from train.writer import Writer


class Evaluation:
  """Metrics over the first batches of the validation split, and pictures.

  The clips, their crops and their masks are the same each time.
  """

  def __init__(
    self,
    data: Mapping[str, Any],
    program: Program,
    seed: int,
    *,
    every: int,
    batches: int,
    pictures: int,
    workers: int,
  ):
    """Prepares; reads nothing yet.

    Args:
      data: the training data's options; split, order and workers differ.
      program: what is trained, and where.
      seed: of the draws of pictures.
      every: steps between evaluations; 0: none.
      batches: how many; at most once through the split, where the last batch
        is filled up from its start.
      pictures: clips that are drawn; 0: none.
      workers: grain workers that read the validation split.

    Raises:
      ValueError: no validation clips.
    """
    self._every, self._batches, self._clips = every, batches, pictures
    self._program = program
    drawing = step_lib.make_pictures(
      program.objective, seed=seed, clips=pictures
    )
    whole = NamedSharding(program.mesh, PartitionSpec())
    # Whole on every process: the first one writes them.
    self._draw = jax.jit(drawing, out_shardings=whole)
    if not every:
      return
    # What cannot be read is listed, and stops no training.
    own = {'shuffle': False, 'workers': workers, 'max_bad': None}
    self._data = pipeline.make(split='validation', **{**data, **own})
    clips = len(self._data)
    needed = -(-clips // self._data.batch_size)
    if batches > needed:
      self._batches = needed
      say(
        f'eval.batches={batches}: the {clips} validation clips fill {needed}, '
        'and are all evaluated'
      )

  def due(self, step: int, steps: int) -> bool:
    """Whether to evaluate after `step` of `steps`."""
    # The last step too: a finished run has its final loss.
    return self._every > 0 and (step % self._every == 0 or step == steps)

  def run(
    self, params: Params, step: int, writer: Writer, watchdog: Watchdog
  ) -> None:
    """Evaluates `params` and writes what came out as of `step`."""
    what = f'the evaluation after step {step}'
    feed = Feed(
      *(self._data, self._program.mesh),
      start=0,
      end=self._batches,
      on_bad=writer.quarantine,
    )
    values, pictures = [], {}
    with feed:
      for number, batch in enumerate(feed.all(watchdog, what)):
        # Not fetched yet: the device goes on with the next batch meanwhile.
        values.append(self._program.eval_step(params, batch, np.uint32(number)))
        if number == 0 and self._clips:
          pictures = jax.device_get(self._draw(params, batch))
    means = step_lib.eval_scores(
      self._program.objective, jax.device_get(values)
    )
    writer.scalars(step, means)
    if pictures:
      writer.pictures(step, pictures)
    say(f'step {step}  validation:', *line(means))


def line(means: Mapping[str, float], limit: int = 12) -> list[str]:
  """What fits in a line: of many scalars the losses only."""
  shown = list(means)
  if len(shown) > limit:
    shown = [name for name in means if name.split('/')[-1] == 'loss']
  line = [f'{name.removeprefix("eval/")} {means[name]:.4f}' for name in shown]
  if len(shown) < len(means):
    line.append(f'({len(means) - len(shown)} more in metrics.jsonl)')
  return line
