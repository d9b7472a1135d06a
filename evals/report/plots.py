"""The look of a report's figures; its loss, and scores beside baselines."""

import textwrap
from collections.abc import Sequence

import matplotlib
from matplotlib import ticker
from matplotlib.figure import Figure

from base import files
from evals.report import naming, reading
from evals.report.grouping import Row
from evals.report.pairing import Pair

INK, FAINT, LINE = '#1f2933', '#7b8794', '#e4e7eb'
PRETRAINED, RANDOM = '#2f6fde', '#9aa5b1'
WIDTH = 9.3  # inches: a page's 890 pixels, so that 10 points look like 13 px
FROZEN, TUNED = '-', '--'  # lines of curves, ours and published
# Colour, marker and line of each kind of readout.
KINDS = {
  'frozen': (PRETRAINED, 'o', FROZEN),
  'fine-tuned': ('#e2762b', 's', TUNED),
  'random': ('#7b8794', 'D', FROZEN),
  'scratch': ('#c9a227', '^', TUNED),
}
_STYLE = {
  'font.size': 10,
  'font.family': 'DejaVu Sans',
  'text.color': INK,
  'axes.labelcolor': INK,
  'axes.edgecolor': LINE,
  'axes.titlesize': 11,
  'axes.titleweight': 'bold',
  'axes.titlelocation': 'left',
  'axes.titlepad': 12,
  'axes.spines.top': False,
  'axes.spines.right': False,
  'axes.grid': True,
  'axes.axisbelow': True,
  'grid.color': LINE,
  'grid.linewidth': 0.8,
  'xtick.color': FAINT,
  'ytick.color': FAINT,
  'xtick.labelcolor': INK,
  'ytick.labelcolor': INK,
  'legend.frameon': False,
  'figure.facecolor': 'white',
  'savefig.dpi': 180,
}


def style():
  """What every figure is drawn within."""
  return matplotlib.rc_context(_STYLE)


def save(figure: Figure, path: str) -> None:
  """Writes a PNG whole or not at all, over what was there."""
  with files.replacing(path) as draft:
    figure.savefig(draft, format='png')


def loss(run: reading.Run, path: str) -> None:
  """Training and validation loss over steps, on a logarithmic axis."""
  with style():
    figure = Figure(figsize=(WIDTH, 3.4), layout='constrained')
    axes = figure.subplots()
    steps, values = reading.curve(run, 'train/loss')
    axes.plot(steps, values, color=RANDOM, linewidth=1.2, label='training')
    steps, values = reading.curve(run, 'eval/loss')
    axes.plot(
      steps,
      values,
      color=PRETRAINED,
      linewidth=1.6,
      marker='o',
      markersize=4,
      label='validation',
    )
    axes.set(title='Pretraining loss', xlabel='step', yscale='log')
    axes.yaxis.set_major_formatter(ticker.FormatStrFormatter('%g'))
    axes.yaxis.set_minor_formatter(ticker.FormatStrFormatter('%g'))
    axes.xaxis.grid(False)
    axes.legend(loc='upper right')
    save(figure, path)


def comparison(rows: Sequence[Row], pairs: Sequence[Pair], path: str) -> None:
  """The headline scores of every seed, and what pairing says of the main one.

  Args:
    rows: of one task and source, from top to bottom.
    pairs: of some of them.
    path: of the PNG.
  """
  names = rows[0].headline
  with style():
    figure = Figure(
      figsize=(WIDTH, 1.1 + 0.42 * len(rows)), layout='constrained'
    )
    columns = figure.subplots(
      1, len(names) + bool(pairs), squeeze=False, sharey=True
    )[0]
    for axes, name in zip(columns, names):
      for place, row in enumerate(rows):
        _dots(axes, row, name, -float(place))
      axes.axvline(rows[0].trivial(name), color=FAINT, ls=':', lw=1.2)
      metric = naming.metric(name)
      axes.set(
        title=textwrap.fill(f'{metric.title} {metric.arrow}', 20),
        xlabel=metric.unit,
      )
    if pairs:
      _differences(columns[-1], rows, pairs)
    several = len({row.model.name for row in rows}) > 1
    columns[0].set(
      yticks=[-place for place in range(len(rows))],
      yticklabels=[_label(row, several) for row in rows],
      ylim=(0.6 - len(rows), 0.6),
    )
    for axes in columns:
      axes.margins(x=0.12)
      axes.yaxis.grid(False)
      axes.xaxis.set_major_locator(ticker.MaxNLocator(4))
      axes.tick_params(axis='y', length=0)
    save(figure, path)


def _label(row: Row, several: bool) -> str:
  title = naming.KINDS[row.kind]
  return f'{row.model.name}: {title}' if several else title


def _dots(axes, row: Row, name: str, at: float) -> None:
  """A dot per seed, spread a little, with its interval over clips."""
  colour = KINDS[row.kind][0]
  scores = [found['metrics'][name] for found in row.found]
  for number, score in enumerate(scores):
    y = at - 0.16 * (number - (len(scores) - 1) / 2)
    ends = [score['low'], score['high']]
    _bar(axes, ends, y, colour)
    axes.plot(score['value'], y, 'o', color=colour, markersize=5)


def _bar(axes, ends: Sequence[float], y: float, colour: str) -> None:
  axes.plot(
    ends,
    [y, y],
    color=colour,
    linewidth=2.5,
    alpha=0.4,
    solid_capstyle='round',
  )


def _differences(axes, rows: Sequence[Row], pairs: Sequence[Pair]) -> None:
  name = rows[0].headline[0]
  for pair in pairs:
    at, colour = -float(rows.index(pair.ours)), KINDS[pair.ours.kind][0]
    found = pair.differences[name]
    _bar(axes, [found.low, found.high], at, colour)
    axes.plot(found.value, at, 'o', color=colour, markersize=6)
    axes.plot(found.seeds, [at] * len(found.seeds), '|', color=colour, ms=9)
  axes.axvline(0, color=FAINT, linewidth=1.2)
  title = f'{naming.metric(name).title}, less random init'
  axes.set_title(textwrap.fill(title, 20))
