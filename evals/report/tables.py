"""The numbers of a report: lines of CSV, and tables of the page."""

import csv
import html
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from base import console, files
from evals.report import naming, reading
from evals.report.grouping import Row
from evals.report.naming import metric as named
from evals.report.pairing import Pair
from evals.result import rate_of

Line = dict[str, Any]


def write_csv(path: str, lines: Sequence[Line]) -> None:
  """A table with the keys of its lines as header, whole or not at all."""
  text = io.StringIO()
  writer = csv.DictWriter(text, fieldnames=list(lines[0]), lineterminator='\n')
  writer.writeheader()
  writer.writerows(lines)
  files.write(path, text.getvalue())


def _side(head: Mapping[str, Any]) -> Line:
  # A result of before these were a choice has none.
  return {
    'lr': head['lr'],
    **{key: head.get(key, '') for key in ('weight_decay', 'depth')},
  }


def loss_lines(run: reading.Run) -> list[Line]:
  """One line per logged step, with what was logged at it."""
  table: dict[int, Line] = {}
  for name in ('train/loss', 'eval/loss'):
    for step, value in zip(*reading.curve(run, name)):
      line = {'step': step, 'train/loss': '', 'eval/loss': ''}
      table.setdefault(step, line)[name] = value
  return [table[step] for step in sorted(table)]


def score_lines(rows: Iterable[Row]) -> list[Line]:
  """One line per job and score."""
  return [
    {
      'run': job.run,
      **_of(row),
      'readout_steps': row.steps,
      'seed': job.result['seed'],
      **_side(found),
      'clips': found['clips'],
      'clips_without_labels': found['clips_without_labels'],
      **_written(name),
      **score,
      'trivial': found['trivial'][name],
      'scored_as': found.get('convention', ''),
      'job': job.path,
    }
    for row in rows
    for job, found in zip(row.jobs, row.found)
    for name, score in found['metrics'].items()
  ]


def mean_lines(rows: Iterable[Row]) -> list[Line]:
  """One line per row and score: what tables and curves show."""
  return [
    {
      **_of(row),
      'parameters': row.model.parameters,
      'seeds': len(row.jobs),
      **_written(name),
      **row.score(name),
      'trivial': row.trivial(name),
      'scored_as': row.found[0].get('convention', ''),
    }
    for row in rows
    for name in row.found[0]['metrics']
  ]


def head_lines(rows: Iterable[Row]) -> list[Line]:
  """One line per head, split and score of every job."""
  return [
    {
      'run': job.run,
      **_of(row),
      'seed': job.result['seed'],
      **_side(head),
      'chosen': place == found['head'],
      'split': split,
      **_written(name),
      'value': value,
    }
    for row in rows
    for job, found in zip(row.jobs, row.found)
    for place, head in enumerate(found['heads'])
    for split in ('validation', 'test')
    for name, value in (head[split] or {}).items()
  ]


def difference_lines(pairs: Iterable[Pair]) -> list[Line]:
  """One line per pair and score."""
  return [
    {
      **_of(pair.ours),
      'less': naming.KINDS[pair.base.kind],
      'seeds': len(found.seeds),
      'seeds_better': named(name).wins(found.seeds),
      **_written(name),
      'difference': found.value,
      'low': found.low,
      'high': found.high,
    }
    for pair in pairs
    for name, found in pair.differences.items()
  ]


def summary(pairs: Iterable[Pair]) -> str:
  """For a terminal: each task's headline, and what pretraining changed."""
  lines = []
  for pair in pairs:
    for name in pair.ours.headline:
      found, metric = pair.differences[name], named(name)
      lines.append(
        {
          'model': pair.ours.model.name,
          'task': pair.ours.task,
          'score': f'{metric.label} ({metric.better} is better)',
          naming.KINDS[pair.ours.kind]: _spread(pair.ours.score(name)),
          naming.KINDS[pair.base.kind]: _spread(pair.base.score(name)),
          'trivial': f'{pair.ours.trivial(name):.4f}',
          'difference [95%, paired]': f'{found.value:+.4f} '
          f'[{found.low:+.4f}, {found.high:+.4f}]',
          'better': f'{metric.wins(found.seeds)} of {len(found.seeds)} seeds',
        }
      )
  return console.table(lines) if lines else ''


def _spread(score: dict[str, float]) -> str:
  spread = f' +- {score["std"]:.4f}' if score['std'] else ''
  return f'{score["value"]:.4f}{spread}'


def published_lines() -> list[Line]:
  """One line per task and size of 4DS."""
  return [
    {
      'task': task,
      'benchmark': found.benchmark,
      'metric': found.metric,
      'size': size,
      'parameters': parameters,
      'frozen': frozen,
      'fine-tuned': tuned,
    }
    for task, found in naming.PUBLISHED.items()
    for size, parameters, frozen, tuned in zip(
      naming.SIZES,
      naming.parameters(),
      found.frozen,
      found.finetuned,
    )
  ]


def _of(row: Row) -> Line:
  return {
    'model': row.model.name,
    'task': row.task,
    'data': row.source,
    'backbone': naming.KINDS[row.kind],
    'finetune': row.finetune,
    'checkpoint': '' if row.step is None else row.step,
  }


def _written(name: str) -> Line:
  metric = named(name)
  return {'metric': name, 'unit': metric.unit, 'better': metric.better}


def headline(rows: Sequence[Row]) -> str:
  """The table of a task: a line per row, and the trivial predictor."""
  names = rows[0].headline
  has_steps = len({row.step for row in rows if not row.random_init}) > 1
  columns = ['backbone', 'readout', *names, 'scored as', 'seeds']
  columns.append('learning rate')
  if has_steps:
    columns.append('checkpoint')
  head = ''.join(f'<th>{_heading(column)}' for column in columns)
  lines = [_line(row, names, has_steps) for row in rows]
  scores = ''.join(f'<td>{number(rows[0].trivial(x))}</td>' for x in names)
  rest = '<td></td>' * (len(columns) - len(names) - 2)
  lines.append(
    '<tr class="trivial"><td><i></i>none</td>'
    f'<td>{naming.KINDS["trivial"]}</td>{scores}{rest}</tr>'
  )
  return html_table(head, lines)


def _heading(column: str) -> str:
  metric = named(column)
  if not metric.better:
    return escape(column)
  return f'{escape(metric.label)}<br>{metric.better} is better {metric.arrow}'


def _line(row: Row, names: Sequence[str], has_steps: bool) -> str:
  rates = sorted({found['lr'] for found in row.found})
  lr = ' to '.join(f'{x:g}' for x in dict.fromkeys((rates[0], rates[-1])))
  tuned = f' &times; {row.finetune:g}' if row.finetune else ''
  cells = [
    f'<i></i>{escape(row.model.title)}',
    f'{naming.KINDS[row.kind]}{tuned}',
    *(_score(row, name) for name in names),
    escape(row.found[0].get('convention', '')),
    str(len(row.jobs)),
    lr,
  ]
  if has_steps:
    cells.append(f'{row.step:,}' if row.step else '')
  text = ''.join(f'<td>{cell}</td>' for cell in cells)
  return f'<tr class="{row.kind}">{text}</tr>'


def _score(row: Row, name: str) -> str:
  score = row.score(name)
  spread = f' &plusmn; {score["std"]:.4f}' if len(row.jobs) > 1 else ''
  ends = f'[{number(score["low"])}, {number(score["high"])}]'
  return f'{number(score["value"])}{spread}<small>{ends}</small>'


def every_score(rows: Sequence[Row]) -> str:
  """All scores of a task: a line per score, a column per row."""
  head = '<th>score<th>unit<th>better' + ''.join(
    f'<th>{escape(row.model.name)}<br>{naming.KINDS[row.kind]}' for row in rows
  )
  lines = []
  for name in rows[0].found[0]['metrics']:
    metric = named(name)
    cells = [escape(metric.title), metric.unit, metric.better]
    cells += [_score(row, name) for row in rows]
    cells.append(number(rows[0].trivial(name)))
    lines.append(f'<tr>{"".join(f"<td>{cell}</td>" for cell in cells)}</tr>')
  return html_table(f'{head}<th>{naming.KINDS["trivial"]}', lines)


def rates(rows: Sequence[Row]) -> str:
  """The main score of every head; '' where each job has one."""
  name = rows[0].headline[0]
  lines = []
  for row in rows:
    for job, found in zip(row.jobs, row.found):
      for place, head in enumerate(found['heads']):
        if len(found['heads']) == 1:
          continue
        cells = [
          escape(job.run),
          naming.KINDS[row.kind],
          str(job.result['seed']),
          rate_of(head, found['heads']),
          number(head['validation'][name]),
          number(head['test'][name]),
          'chosen' if place == found['head'] else '',
        ]
        text = ''.join(f'<td>{cell}</td>' for cell in cells)
        lines.append(f'<tr>{text}</tr>')
  title = escape(named(name).title)
  head = (
    '<th>run<th>readout<th>seed<th>learning rate'
    f'<th>{title}, validation<th>{title}, test<th>'
  )
  return html_table(head, lines) if lines else ''


def difference(pair: Pair) -> str:
  """What pairing says of the main score, as an item of a list."""
  name = pair.ours.headline[0]
  metric, found = named(name), pair.differences[name]
  count = len(found.seeds)
  kind = verdict(pair)
  says = {'open': ': the interval includes 0', 'worse': ': worse', 'better': ''}
  ends = f'[{signed(found.low)}, {signed(found.high)}]'
  lost = len(pair.left_out)
  note = (
    f' Not counted: {lost} without a random init of the same seed and clips.'
    if lost
    else ''
  )
  return (
    f'<li class="{kind}"><b>{escape(pair.ours.model.title)}, '
    f'{naming.KINDS[pair.ours.kind]}</b>: better than random init on '
    f'<b>{metric.wins(found.seeds)} of {count}</b> '
    f'{"seed" if count == 1 else "seeds"}, difference in '
    f'{escape(metric.title)} <b>{signed(found.value)} {ends}</b>'
    f'{says[kind]}.{note}</li>'
  )


def verdict(pair: Pair) -> str:
  """'better' or 'worse' than random init by the main score, or 'open'."""
  name = pair.ours.headline[0]
  found = pair.differences[name]
  if found.low <= 0 <= found.high:
    return 'open'
  return 'better' if named(name).wins([found.value]) else 'worse'


def escape(text: str) -> str:
  """Any text, as HTML."""
  return html.escape(str(text))


def html_table(head: str, lines: Sequence[str]) -> str:
  """Rows under a heading; a narrow screen scrolls it."""
  rows = '\n'.join(lines)
  return f'<div class="scroll"><table>\n<tr>{head}</tr>\n{rows}\n</table></div>'


def number(value: float) -> str:
  """A score."""
  return f'{value:.4f}'


def signed(value: float) -> str:
  """A difference."""
  sign = '&minus;' if value < 0 else '+'
  return f'{sign}{abs(value):.4f}'
