"""The planner's ladder as it is written down, and what a budget says."""

import pathlib
from collections.abc import Sequence

from base.names import choose
from evals.report import naming
from launch import marked
from launch.ladder import table
from launch.scaling.budget.choice import Choice, Planned
from launch.scaling.budget.law import Law, Run


def ladder(path: str, generation: str) -> list[Planned]:
  """Rows of one chip generation, of sizes of 4DS.

  Args:
    path: of a file with the table of `python -m launch.ladder`.
    generation: as 'v5p'.

  Raises:
    ValueError: no such table, or no row of that generation in it.
  """
  if not pathlib.Path(path).is_file():
    raise ValueError(f'--pods={path} is no file: expected docs/pods.md')
  part = marked.get(pathlib.Path(path).read_text(), table.BEGIN)
  sizes = dict(zip(naming.SIZES, naming.parameters()))
  rows = [
    [cell.strip() for cell in line.strip('| ').split('|')]
    for line in part.splitlines()
  ]
  planned = [
    Planned(
      size=row[0],
      slice=row[1],
      mesh=row[2],
      batch=int(row[3]),
      step_sec=float(row[5]) / 1e3,
      parameters=sizes[row[0]],
    )
    for row in rows
    if row[0] in sizes and row[5].isdigit()
  ]
  known = dict.fromkeys(row.slice.partition(':')[0] for row in planned)
  choose('generation in --budget', generation, known)
  return [x for x in planned if x.slice.startswith(f'{generation}:')]


def law(fitted: Law, runs: Sequence[Run]) -> str:
  """The law, and of how many runs it is."""
  p, q = fitted.powers
  return (
    f'loss = {fitted.floor:.4f} + {fitted.by_size:.4f} (parameters / '
    f'{fitted.middle[0]:.3g})^-{p:.2f} + {fitted.by_clips:.4f} (clips / '
    f'{fitted.middle[1]:.3g})^-{q:.2f}, of {len(runs)} sizes and lengths'
  )


def lines(
  choices: Sequence[Choice], runs: Sequence[Run]
) -> list[dict[str, str]]:
  """A line for each row of the ladder that can spend the budget."""
  return [
    {
      'size': choice.planned.size,
      'slice': choice.planned.slice,
      'mesh': choice.planned.mesh,
      'batch': f'{choice.planned.batch}',
      'steps': f'{choice.steps:,}',
      'days': f'{choice.days:.1f}',
      'loss by the law': f'{choice.loss:.4f}',
      '90%': f'{choice.low:.4f} to {choice.high:.4f}',
      'best in': f'{choice.wins:.0%}',
      'beyond what was run': _beyond(choice, runs),
    }
    for choice in choices
  ]


def _beyond(choice: Choice, runs: Sequence[Run]) -> str:
  """By how much a law is drawn on; all rows of a pod are, of a laptop's."""
  size = choice.planned.parameters / max(run.parameters for run in runs)
  clips = choice.clips / max(run.clips for run in runs)
  far = [
    f'{ratio:,.0f} x the {what}'
    for ratio, what in ((size, 'parameters'), (clips, 'clips'))
    if ratio > 1
  ]
  return ', '.join(far)


def words(choice: Choice, runs: Sequence[Run]) -> str:
  """The row that the law prefers, and what it does not know."""
  planned = choice.planned
  at = naming.SIZES.index(planned.size)
  published = ', '.join(
    f'{found.benchmark} {naming.metric(found.metric).title} {found.frozen[at]}'
    for found in naming.PUBLISHED.values()
  )
  beyond = _beyond(choice, runs)
  return (
    f'{planned.size} on {planned.slice} ({planned.mesh}), batch '
    f'{planned.batch}, {choice.steps:,} steps, {choice.days:.1f} days: the '
    f'best by the law in {choice.wins:.0%} of its draws'
    + (f', EXTRAPOLATED ({beyond})' if beyond else '')
    + '. The law is of losses on the data and at the resolution of the runs; '
    "steps are the roofline model's, without input, checkpoints and "
    f'evaluation. Published of {planned.size}, frozen, other data and budget: '
    f'{published}.'
  )
