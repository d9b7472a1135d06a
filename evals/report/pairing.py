"""Pretrained against random init, clip by clip.

Some clips are hard for any backbone, so two scores with wide intervals over
clips can still differ surely: both jobs see the same clips, and what is
resampled is their difference.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from evals import task as task_lib
from evals.metrics import Scores, Sums
from evals.report.grouping import Row
from evals.report.reading import Job


@dataclasses.dataclass(frozen=True)
class Difference:
  """Of one score, ours less the baseline's, mean over seeds."""

  value: float
  low: float
  high: float
  seeds: tuple[float, ...]  # of each


@dataclasses.dataclass(frozen=True)
class Pair:
  """A row and its baseline: the same readout at random initialisation."""

  ours: Row
  base: Row
  jobs: tuple[tuple[Job, Job], ...]  # of the same seed, on the same clips
  left_out: tuple[Job, ...]  # ours, without such a baseline

  @functools.cached_property
  def differences(self) -> dict[str, Difference]:
    """Of every score."""
    task = self.ours.task
    options = self.jobs[0][0].result['config']['tasks'][task]
    return paired(
      [ours.sums(task) for ours, _ in self.jobs],
      [base.sums(task) for _, base in self.jobs],
      task_lib.make(task, **options).scores,
    )


def paired(
  ours: Sequence[Mapping[str, np.ndarray]],
  base: Sequence[Mapping[str, np.ndarray]],
  scores: Callable[[Sums], Scores],
  *,
  draws: int = 1000,
  level: float = 0.95,
  seed: int = 0,
) -> dict[str, Difference]:
  """Percentile interval of ours less base over clips resampled together.

  A draw is one set of clips, the same for both, and for every seed that was
  tested on these clips; of it, the mean over seeds of the difference. So the
  interval is over clips, of the seeds that there are.

  Args:
    ours: of each seed, sums [n ...] of n clips.
    base: of the same seeds, on the same clips.
    scores: from summed sums to scores, elementwise.
    draws: resampled test sets, each of n clips drawn with replacement.
    level: of the interval.
    seed: of the draws; the same clips give the same interval.

  Raises:
    ValueError: no seed, not as many on both sides, or not as many clips.
  """
  sizes = {len(x) for sums in (*ours, *base) for x in sums.values()}
  if len(sizes) != 1 or len(ours) != len(base):
    raise ValueError(
      f'paired() needs the same clips in all jobs, got {len(ours)} against '
      f'{len(base)} seeds of {sorted(sizes)} clips'
    )
  (count,) = sizes
  rng, once = np.random.default_rng(seed), np.ones((1, count))
  whole, drawn, times = [], [], {}
  for both in zip(ours, base):
    clips = np.asarray(both[0]['count']).tobytes()
    if clips not in times:
      times[clips] = rng.multinomial(
        count, np.full(count, 1 / count), size=draws
      )
    whole.append(_differ(*both, scores, once))
    drawn.append(_differ(*both, scores, times[clips]))
  tails = 50 * (1 - level), 50 * (1 + level)
  found = {}
  for name in whole[0]:
    seeds = tuple(float(each[name][0]) for each in whole)
    ends = np.percentile(np.mean([x[name] for x in drawn], axis=0), tails)
    found[name] = Difference(float(np.mean(seeds)), *map(float, ends), seeds)
  return found


def pairs(rows: Sequence[Row]) -> list[Pair]:
  """Each pretrained row with its baseline, where jobs can be compared.

  The baseline has the same model, task, readout and fine-tuning; a job's own
  has the same run and seed, and was tested on the same clips.
  """
  bases = {row.readout: row for row in rows if row.random_init}
  found = []
  for row in rows:
    if not row.random_init and row.readout in bases:
      pair = _pair(row, bases[row.readout])
      found += [pair] if pair.jobs else []
  return found


def _pair(ours: Row, base: Row) -> Pair:
  baselines = {job.seed: job for job in base.jobs}
  kept, left_out = [], []
  for job in ours.jobs:
    other = baselines.get(job.seed)
    sums = [x.sums(ours.task) for x in (job, other) if x]
    # Both, not damaged, and of this version's options, whose sums these are.
    options = job.result['config']['tasks'][ours.task]
    is_whole = len(sums) == 2 and None not in sums
    is_whole &= task_lib.takes(ours.task, options)
    if is_whole and np.array_equal(*(x['count'] for x in sums)):
      kept.append((job, other))
    else:
      left_out.append(job)
  return Pair(ours, base, tuple(kept), tuple(left_out))


def _differ(
  ours: Mapping[str, np.ndarray],
  base: Mapping[str, np.ndarray],
  scores: Callable[[Sums], Scores],
  times: np.ndarray,
) -> Scores:
  """Differences of scores of clips taken so many times each."""

  def score(clips):
    return scores({k: times @ x.astype(np.float64) for k, x in clips.items()})

  left, right = score(ours), score(base)
  return {name: left[name] - right[name] for name in left}
