"""What each size of the ladder would reach with as many chip-hours."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from launch.plan import topology
from launch.scaling.budget.law import Law

# Ours, as in configs/sweeps/scaling.py: fewer are not a schedule.
_LEAST_STEPS = 10_000


@dataclasses.dataclass(frozen=True)
class Planned:
  """A row of the planner's ladder.

  Attributes:
    size: of configs/mae.py.
    slice: as 'v5p:4x4x4'.
    mesh: replica x fsdp x tensor.
    batch: clips of a step.
    step_sec: of a step, by the roofline model.
    parameters: of the backbone.
  """

  size: str
  slice: str
  mesh: str
  batch: int
  step_sec: float
  parameters: int


@dataclasses.dataclass(frozen=True)
class Choice:
  """A row with the steps that a budget pays for.

  Attributes:
    planned: the row.
    steps: of training.
    days: that they take.
    loss: by the law; on the laptop's data, of which alone it knows.
    low: of 90 in 100 laws; see `law.draws`.
    high: likewise.
    wins: share of the laws by which it is the best of all.
  """

  planned: Planned
  steps: int
  days: float
  loss: float
  low: float
  high: float
  wins: float

  @property
  def clips(self) -> int:
    return self.steps * self.planned.batch


def choices(
  ladder: Sequence[Planned],
  chip_hours: float,
  law: Law,
  drawn: Sequence[Law],
) -> list[Choice]:
  """Rows that can spend it, the best by the law first.

  Args:
    ladder: rows of one chip generation.
    chip_hours: of its chips.
    law: of all runs.
    drawn: laws as they might have been.

  Raises:
    ValueError: it is too little for any of them.
  """
  found = []
  for row in ladder:
    hours = chip_hours / topology.parse(row.slice).chips
    steps = int(3600 * hours / row.step_sec)
    if steps >= _LEAST_STEPS:
      found.append((row, steps, hours / 24))
  if not found:
    raise ValueError(
      f'{chip_hours:g} chip-hours are fewer than {_LEAST_STEPS:,} steps of any '
      'size of the ladder: give more'
    )
  losses = np.array(
    [
      [each.at(row.parameters, steps * row.batch) for row, steps, _ in found]
      for each in drawn
    ]
  )
  low, high = np.quantile(losses, [0.05, 0.95], axis=0)
  won = np.bincount(losses.argmin(1), minlength=len(found)) / len(drawn)
  made = [
    Choice(
      *each,
      law.at(each[0].parameters, each[1] * each[0].batch),
      *map(float, numbers),
    )
    for each, *numbers in zip(found, low, high, won)
  ]
  return sorted(made, key=lambda choice: choice.loss)
