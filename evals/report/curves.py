"""Figures of a panel per task: scores over size, and over training."""

from collections.abc import Sequence

from matplotlib import ticker
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from evals.report import grouping, naming
from evals.report.grouping import Row
from evals.report.naming import metric as named
from evals.report.plots import FAINT, KINDS, WIDTH, save, style

PUBLISHED = '#b4bdc8'
_DOTS = (0, (1, 3))


def scaling(rows: Sequence[Row], path: str) -> None:
  """Main scores over the size of the backbone.

  Curves join models of different sizes; published ones of the same score
  stand behind them in grey.

  Args:
    rows: of any models, sorted by size.
    path: of the PNG.
  """
  with style():
    figure, panels, corner = _panels(rows)
    for axes, (task, source), mine in panels:
      name = mine[0].headline[0]
      _published(axes, task, name)
      for curve in _curves(mine):
        _line(axes, [row.model.parameters for row in curve], curve, name)
      axes.set(xscale='log', xlabel='backbone parameters', xlim=(1e6, 5e10))
      axes.xaxis.set_major_locator(ticker.LogLocator(numticks=6))
      axes.xaxis.set_major_formatter(ticker.FuncFormatter(_count))
      axes.xaxis.set_minor_locator(ticker.NullLocator())
      _finish(axes, task, source, mine)
    published = [
      Line2D([], [], color=PUBLISHED, ls=dashes, label=label)
      for dashes, label in (
        ('-', 'published 4DS (other data), frozen'),
        ('--', 'published 4DS (other data), fine-tuned'),
      )
    ]
    _legend(corner, rows, published)
    save(figure, path)


def steps(rows: Sequence[Row], path: str) -> None:
  """Main scores over pretraining steps; random init is a level.

  Args:
    rows: of one model, sorted by step.
    path: of the PNG.
  """
  with style():
    figure, panels, corner = _panels(rows)
    for axes, (task, source), mine in panels:
      name = mine[0].headline[0]
      for curve in _curves(mine):
        if curve[0].random_init:
          colour, _, dashes = KINDS[curve[0].kind]
          level = curve[0].score(name)['value']
          axes.axhline(level, color=colour, ls=dashes, lw=1.6)
        else:
          _line(axes, [row.step for row in curve], curve, name)
      axes.set(xlabel='pretraining steps')
      axes.xaxis.set_major_locator(ticker.MaxNLocator(4, integer=True))
      _finish(axes, task, source, mine)
    _legend(corner, rows, [])
    save(figure, path)


def _panels(rows: Sequence[Row]):
  """The figure; axes, key and rows of each panel; axes for the legend."""
  groups = grouping.by_task(rows)
  cells = len(groups) + 1
  columns = 2 if cells in (2, 4) else 3
  lines = -(-cells // columns)
  figure = Figure(figsize=(WIDTH, 3.1 * lines), layout='constrained')
  figure.get_layout_engine().set(hspace=0.1, wspace=0.08)
  axes = list(figure.subplots(lines, columns, squeeze=False).flat)
  for rest in axes[len(groups) :]:
    rest.axis('off')
  return figure, zip(axes, groups, groups.values()), axes[len(groups)]


def _curves(rows: Sequence[Row]) -> list[list[Row]]:
  """Rows of the same readout."""
  groups: dict[tuple, list[Row]] = {}
  for row in rows:
    groups.setdefault((row.kind, row.settings, row.finetune), []).append(row)
  return list(groups.values())


def _line(axes, x: Sequence[int], curve: Sequence[Row], name: str) -> None:
  """Scores with their intervals over clips; joined if no two share an x."""
  colour, marker, dashes = KINDS[curve[0].kind]
  scores = [row.score(name) for row in curve]
  values = [score['value'] for score in scores]
  down = [score['value'] - score['low'] for score in scores]
  up = [score['high'] - score['value'] for score in scores]
  axes.errorbar(
    x,
    values,
    yerr=[down, up],
    color=colour,
    marker=marker,
    markerfacecolor='white' if curve[0].random_init else colour,
    markersize=5.5,
    linewidth=1.8,
    linestyle=dashes if len(set(x)) == len(x) else '',
    elinewidth=1.2,
    zorder=3,
  )


def _published(axes, task: str, name: str) -> None:
  """The published curves, if they are of the same score."""
  if task not in naming.PUBLISHED:
    return
  found, x = naming.PUBLISHED[task], naming.parameters()
  if found.metric != name:
    return
  axes.plot(x, found.frozen, color=PUBLISHED, lw=1.4, zorder=1)
  axes.plot(x, found.finetuned, color=PUBLISHED, lw=1.4, ls='--', zorder=1)
  for at, value, size in zip(x, found.frozen, naming.SIZES):
    axes.annotate(
      size,
      (at, value),
      xytext=(0, 5),
      textcoords='offset points',
      ha='center',
      fontsize=7,
      color=FAINT,
    )
  # Scores rise or fall with size: a lower or an upper corner stays free.
  falls = named(name).better == 'lower'
  axes.text(
    0.98,
    0.86 if falls else 0.1,
    f'grey: {found.benchmark}',
    transform=axes.transAxes,
    ha='right',
    fontsize=8,
    color=FAINT,
  )


def _finish(axes, task: str, source: str, rows: Sequence[Row]) -> None:
  """Titles, and the trivial predictor."""
  name = rows[0].headline[0]
  axes.axhline(rows[0].trivial(name), color=FAINT, ls=_DOTS, lw=1.4, zorder=2)
  axes.set_title(f'{naming.task(task)} on {source}', pad=24)
  metric = named(name)
  axes.text(
    0,
    1.05,
    f'{metric.label} {metric.arrow}',
    transform=axes.transAxes,
    fontsize=9,
    color=FAINT,
  ).set_in_layout(False)


def _legend(axes, rows: Sequence[Row], others: Sequence[Line2D]) -> None:
  handles = []
  for kind in dict.fromkeys(row.kind for row in rows):
    colour, marker, dashes = KINDS[kind]
    face = 'white' if kind in ('random', 'scratch') else colour
    handles.append(
      Line2D(
        [],
        [],
        color=colour,
        marker=marker,
        markerfacecolor=face,
        linestyle=dashes,
        label=naming.KINDS[kind],
      )
    )
  trivial = naming.KINDS['trivial']
  handles.append(Line2D([], [], color=FAINT, ls=_DOTS, label=trivial))
  axes.legend(handles=[*handles, *others], loc='center left', fontsize=9)


def _count(value: float, _) -> str:
  """As '3M' or '20B'."""
  unit, letter = (1e9, 'B') if value >= 1e9 else (1e6, 'M')
  return f'{value / unit:g}{letter}'
