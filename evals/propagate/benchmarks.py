"""The benchmarks: sequences, how labels are carried there, and their scores."""

import dataclasses
from collections.abc import Callable
from collections.abc import Sequence as Listed
from typing import Any

from base.names import choose
from data import sequences
from data.sequences import davis, world
from evals import metrics
from evals.metrics import Scores, Sums
from evals.propagate import labels, walk

# The code of DINO (eval_video_segmentation.py): 7 frames, 12 places around, of
# which the 5 nearest, exp(likeness / 0.1).
_DINO = walk.Options(context=7, neighbourhood=12, topk=5, temperature=0.1)


@dataclasses.dataclass(frozen=True)
class Benchmark:
  """What `run.propagate` runs.

  Attributes:
    size: height and width of frames that a backbone sees; None: its own.
    options: how labels are carried, as published.
    find: (path, how many, size) -> the sequences.
    carried: (sequence, size) -> its labels.
    scores: from sums to scores.
    headline: the scores that are shown.
    needs_path: whether it is of files.
  """

  size: tuple[int, int] | None
  options: walk.Options
  find: Callable[..., Listed[sequences.Sequence]]
  carried: Callable[[Any, tuple[int, int]], labels.Carried]
  scores: Callable[[Sums], Scores]
  headline: tuple[str, ...]
  needs_path: bool = True


_FRAMES = 24  # of a sequence of the world (ours), two seconds
# Of a picture of the world, that an object has at least (ours): a square of a
# sixteenth of its sides.
_LEAST = 1 / 256


def _of_world(path, count, size):
  del path
  return world.sequences(
    count=count or 32, frames=_FRAMES, height=size[0], width=size[1]
  )


def _solids(sequence, size):
  true = sequence.segmentation()
  return labels.Objects(
    *(true, size),
    soft=True,
    stretch=False,
    last=True,
    least=max(1, round(_LEAST * true[0].size)),
  )


def _some(found, count):
  return found[: count or None]


BENCHMARKS = {
  # Ours: numbers of DINO, soft labels, all frames.
  'world': Benchmark(
    size=None,
    options=_DINO,
    find=_of_world,
    carried=_solids,
    scores=metrics.region_scores,
    headline=('j_and_f', 'j', 'f'),
    needs_path=False,
  ),
  'davis': Benchmark(
    size=(480, 832),  # DINO's, of pictures of 480 x 854
    options=_DINO,
    find=lambda path, count, size: _some(davis.sequences(path), count),
    carried=lambda sequence, size: labels.Objects(
      *(sequence.segmentation(), size), soft=False, stretch=True, last=False
    ),
    scores=metrics.region_scores,
    headline=('j_and_f', 'j', 'f'),
  ),
}


def get(name: str) -> Benchmark:
  """The benchmark of a name.

  Raises:
    ValueError: none; the nearest is named.
  """
  choose('--data', name, BENCHMARKS)
  return BENCHMARKS[name]
