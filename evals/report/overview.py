"""One table of all tasks: pretrained, random init, trivial predictor."""

from collections.abc import Mapping, Sequence

from evals.report import grouping, naming, tables
from evals.report.grouping import Row
from evals.report.naming import metric as named
from evals.report.pairing import Pair
from evals.report.tables import escape, number, signed

_NOT_RUN = 'not run'
_SAYS = {'better': 'better', 'worse': 'worse', 'open': 'includes 0'}


def table(rows: Sequence[Row], pairs: Sequence[Pair]) -> str:
  """The main score of each task: a line per readout, and tasks not run.

  Args:
    rows: of the last checkpoints.
    pairs: of any of them.
  """
  paired = {pair.ours.readout: pair for pair in pairs if pair.ours in rows}
  lines, groups = [], grouping.by_task(rows)
  for (task, source), mine in groups.items():
    both: dict[tuple, dict[bool, Row]] = {}
    for row in mine:
      both.setdefault(row.readout, {})[row.random_init] = row
    lines += [
      _compared(f'{naming.task(task)} on {source}', found, paired.get(readout))
      for readout, found in both.items()
    ]
  run = {task for task, _ in groups}
  # Those of the paper; others are there if they were run.
  for task in (task for task in naming.PUBLISHED if task not in run):
    cells = [naming.task(task), '', *[_NOT_RUN] * 3, '', '']
    lines.append(_cells(cells))
  head = ''.join(
    f'<th>{column}'
    for column in (
      *('task', 'backbone', 'pretrained', 'random init', 'trivial'),
      *('difference [95%, paired]', 'seeds better'),
    )
  )
  return tables.html_table(head, lines)


def _compared(task: str, found: Mapping[bool, Row], pair: Pair | None) -> str:
  """A line of `table`: a readout, by whether its backbone is random."""
  row = found[min(found)]  # pretrained, if there is one
  name = row.headline[0]
  metric = named(name)
  scores = [
    number(found[key].score(name)['value']) if key in found else _NOT_RUN
    for key in (False, True)
  ]
  says, wins = '', ''
  if pair:
    it = pair.differences[name]
    ends = f'[{signed(it.low)}, {signed(it.high)}]'
    says = (
      f'{signed(it.value)} {ends}<small>{_SAYS[tables.verdict(pair)]}</small>'
    )
    wins = f'{metric.wins(it.seeds)} of {len(it.seeds)}'
  elif len(found) == 2:
    says = 'not the same seeds and clips'
  how = f'fine-tuned &times; {row.finetune:g}' if row.finetune else 'frozen'
  cells = [
    f'{escape(task)}<small>{escape(metric.title)} {metric.arrow}</small>',
    f'{escape(row.model.title)}<small>{how}</small>',
    *scores,
    number(row.trivial(name)),
    says,
    wins,
  ]
  return _cells(cells)


def _cells(cells: Sequence[str]) -> str:
  return f'<tr>{"".join(f"<td>{cell}</td>" for cell in cells)}</tr>'
