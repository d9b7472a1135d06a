"""Figures of a panel per task: scores over size, and over training."""

from collections.abc import Sequence

from matplotlib import ticker
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from evals.report import grouping, naming
from evals.report.grouping import Row
from evals.report.naming import SIZES
from evals.report.naming import metric as named
from evals.report.plots import FAINT, FROZEN, KINDS, TUNED, WIDTH, save, style

PUBLISHED = '#b4bdc8'
_DOTS = (0, (1, 3))
_Groups = dict[tuple[str, str], list[Row]]  # by task and source


def scaling(rows: Sequence[Row], path: str) -> Figure:
  """Main scores over the size of the backbone, in the published panels.

  Each task of `naming.PUBLISHED` has a panel, evaluated or not; so has what
  else was evaluated. Curves join models of different sizes; published ones of
  the same score stand behind them in grey.

  Args:
    rows: of any models, sorted by size.
    path: of the PNG.

  Returns:
    What was drawn.
  """
  groups = _with_published(rows)
  sizes = [row.model.parameters for row in rows]
  # A panel without rows has the same axis, so that panels can be compared.
  shown = [*sizes, *naming.parameters()]
  with style():
    figure, panels, corner = _panels(groups)
    for axes, (task, source), mine in panels:
      name = mine[0].headline[0] if mine else naming.PUBLISHED[task].metric
      benchmark = _published(axes, task, name)
      for curve in _curves(mine):
        _line(axes, [row.model.parameters for row in curve], curve, name)
      axes.set(xscale='log', xlim=(min(shown) / 2, max(shown) * 2))
      axes.set_xlabel('backbone parameters')
      axes.margins(y=0.12)  # room for the letters of sizes
      axes.xaxis.set_major_locator(ticker.LogLocator(numticks=6))
      axes.xaxis.set_major_formatter(ticker.FuncFormatter(_count))
      axes.xaxis.set_minor_locator(ticker.NullLocator())
      if mine:
        _trivial(axes, mine)
      else:
        _not_run(axes, name)
      title = naming.task(task)
      notes = [benchmark and f'grey: published 4DS on {benchmark}']
      _titles(axes, f'{title} on {source}' if source else title, name, notes)
    published = [
      Line2D([], [], color=PUBLISHED, ls=dashes, label=f'published 4DS, {how}')
      for dashes, how in ((FROZEN, 'frozen'), (TUNED, 'fine-tuned'))
    ]
    _legend(corner, rows, published)
    save(figure, path)
  return figure


def steps(rows: Sequence[Row], path: str) -> None:
  """Main scores over pretraining steps; random init is a level.

  Args:
    rows: of one model, sorted by step.
    path: of the PNG.
  """
  with style():
    figure, panels, corner = _panels(grouping.by_task(rows))
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
      _trivial(axes, mine)
      _titles(axes, f'{naming.task(task)} on {source}', name, [])
    _legend(corner, rows, [])
    save(figure, path)


def depths(rows: Sequence[Row], path: str) -> Figure:
  """Main scores over the depth of the features, of rows that have several.

  A ring is what was chosen, on validation clips.

  Args:
    rows: see `grouping.of_several_depths`.
    path: of the PNG.
  """
  with style():
    figure, panels, corner = _panels(grouping.by_task(rows))
    for axes, (task, source), mine in panels:
      name = mine[0].headline[0]
      for row in mine:
        colour, marker, dashes = KINDS[row.kind]
        best = grouping.of_depths(row)
        axes.plot(
          *zip(*best.items()),
          color=colour,
          marker=marker,
          markersize=5,
          linestyle=dashes,
          linewidth=1.6,
        )
        for found in row.found:
          chosen = found['heads'][found['head']]
          axes.plot(
            chosen['depth'],
            chosen['test'][name],
            color=colour,
            marker='o',
            markersize=11,
            markerfacecolor='none',
            linestyle='',
          )
      axes.set(xlabel='depth of the features')
      _trivial(axes, mine)
      _titles(axes, f'{naming.task(task)} on {source}', name, [])
    _legend(corner, rows, [])
    save(figure, path)
  return figure


def _with_published(rows: Sequence[Row]) -> _Groups:
  """Rows by task and source; a published task without any has no source."""
  found = grouping.by_task(rows)
  run = {task for task, _ in found}
  found |= {(task, ''): [] for task in naming.PUBLISHED if task not in run}
  order = [*naming.TASKS, *(task for task, _ in found)]
  return dict(sorted(found.items(), key=lambda item: order.index(item[0][0])))


def _panels(groups: _Groups):
  """The figure; axes, key and rows of each panel; axes for the legend."""
  cells = len(groups) + 1
  columns = 2 if cells in (2, 4) else 3
  lines = -(-cells // columns)
  figure = Figure(figsize=(WIDTH, 3.3 * lines), layout='constrained')
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


def _published(axes, task: str, name: str) -> str:
  """Draws published curves of the same score; their benchmark, '' of none."""
  if task not in naming.PUBLISHED or naming.PUBLISHED[task].metric != name:
    return ''
  found, x = naming.PUBLISHED[task], naming.parameters()
  for values, dashes in ((found.frozen, FROZEN), (found.finetuned, TUNED)):
    axes.plot(x, values, color=PUBLISHED, lw=1.4, ls=dashes, zorder=1)
  # Above both curves.
  for at, value, size in zip(x, map(max, found.frozen, found.finetuned), SIZES):
    axes.annotate(
      size,
      (at, value),
      xytext=(0, 4),
      textcoords='offset points',
      ha='center',
      fontsize=7,
      color=FAINT,
    )
  return found.benchmark


def _trivial(axes, rows: Sequence[Row]) -> None:
  level = rows[0].trivial(rows[0].headline[0])
  axes.axhline(level, color=FAINT, ls=_DOTS, lw=1.4, zorder=2)


def _not_run(axes, name: str) -> None:
  """Says so, in the corner that published curves leave free."""
  falls = named(name).better == 'lower'
  axes.text(
    0.04,
    0.06 if falls else 0.94,
    'not run',
    transform=axes.transAxes,
    va='bottom' if falls else 'top',
    fontsize=11,
    fontweight='bold',
    color=FAINT,
  )


def _titles(axes, title: str, name: str, notes: Sequence[str]) -> None:
  """The panel's title, and under it the score and notes."""
  metric = named(name)
  lines = [f'{metric.label} {metric.arrow}', *filter(None, notes)]
  axes.set_title(title, pad=8 + 12.5 * len(lines))
  axes.text(
    0,
    1.04,
    '\n'.join(lines),
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
  axes.legend(
    handles=[*handles, *others],
    loc='center left',
    fontsize=9,
    handlelength=4,  # so that dashes are seen beside the marker
  )


def _count(value: float, _) -> str:
  """As '300', '20K', '3M' or '20B'."""
  for unit, letter in ((1e9, 'B'), (1e6, 'M'), (1e3, 'K')):
    if value >= unit:
      return f'{value / unit:g}{letter}'
  return f'{value:g}'
