"""The figures of a report. Each is saved as PNG; its numbers as CSV."""

import csv
from collections.abc import Iterable, Sequence
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from evals import report_data

INK, FAINT, LINE = '#1f2933', '#7b8794', '#e4e7eb'
PRETRAINED, RANDOM = '#2f6fde', '#9aa5b1'
# How a metric is called, its unit, and which way is good.
METRICS = {
  'abs_rel': ('AbsRel', '', 'lower'),
  'rmse': ('RMSE', 'm', 'lower'),
  'log_rmse': ('log RMSE', '', 'lower'),
  'delta1': ('delta < 1.25', '', 'higher'),
  'delta2': ('delta < 1.25^2', '', 'higher'),
  'delta3': ('delta < 1.25^3', '', 'higher'),
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


def loss(run: report_data.Run, path: str) -> None:
  """Training and validation loss over steps, on a logarithmic axis."""
  with matplotlib.rc_context(_STYLE):
    figure = Figure(figsize=(7.6, 3.2), layout='constrained')
    axes = figure.subplots()
    steps, values = report_data.curve(run, 'train/loss')
    axes.plot(steps, values, color=RANDOM, linewidth=1.2, label='training')
    steps, values = report_data.curve(run, 'eval/loss')
    axes.plot(
      steps,
      values,
      color=PRETRAINED,
      linewidth=1.6,
      marker='o',
      markersize=4,
      label='validation',
    )
    axes.set(title='Reconstruction loss', xlabel='step', yscale='log')
    axes.yaxis.set_major_formatter(matplotlib.ticker.FormatStrFormatter('%g'))
    axes.yaxis.set_minor_formatter(matplotlib.ticker.FormatStrFormatter('%g'))
    axes.xaxis.grid(False)
    axes.legend(loc='upper right')
    figure.savefig(path)


def loss_table(run: report_data.Run) -> list[dict[str, Any]]:
  """One line per logged step, with what was logged at it."""
  table: dict[int, dict[str, Any]] = {}
  for name in ('train/loss', 'eval/loss'):
    for step, value in zip(*report_data.curve(run, name)):
      line = {'step': step, 'train/loss': '', 'eval/loss': ''}
      table.setdefault(step, line)[name] = value
  return [table[step] for step in sorted(table)]


def comparison(
  pretrained: report_data.Row, random: report_data.Row, path: str
) -> None:
  """The headline scores of every seed, with their intervals."""
  with matplotlib.rc_context(_STYLE):
    names = pretrained.headline
    figure = Figure(figsize=(7.6, 2.1), layout='constrained')
    for axes, name in zip(
      figure.subplots(1, len(names), squeeze=False)[0], names
    ):
      _dots(axes, pretrained, name, height=1, colour=PRETRAINED)
      _dots(axes, random, name, height=0, colour=RANDOM)
      title, unit, better = METRICS[name]
      axes.set(
        title=f'{title}{f", {unit}" if unit else ""}  ({better} is better)',
        yticks=[0, 1],
        yticklabels=['random init', 'pretrained'],
        ylim=(-0.6, 1.6),
      )
      axes.margins(x=0.12)
      axes.yaxis.grid(False)
      axes.tick_params(axis='y', length=0)
    figure.savefig(path)


def _dots(
  axes, row: report_data.Row, name: str, *, height: int, colour: str
) -> None:
  """A dot per seed, spread a little, with its interval over clips."""
  scores = [readout.result['metrics'][name] for readout in row.readouts]
  for number, score in enumerate(scores):
    at = height + 0.18 * (number - (len(scores) - 1) / 2)
    axes.plot(
      [score['low'], score['high']],
      [at, at],
      color=colour,
      linewidth=2.5,
      alpha=0.45,
      solid_capstyle='round',
    )
    axes.plot(score['value'], at, 'o', color=colour, markersize=6)


def write_csv(path: str, lines: Sequence[dict[str, Any]]) -> None:
  """A table with the keys of its lines as header."""
  with open(path, 'w', newline='') as file:
    writer = csv.DictWriter(file, fieldnames=list(lines[0]))
    writer.writeheader()
    writer.writerows(lines)


def readout_table(rows: Iterable[report_data.Row]) -> list[dict[str, Any]]:
  """One line per readout and metric."""
  return [
    {
      'run': row.run,
      'task': row.task,
      'data': row.source,
      'backbone': 'random init' if row.random_init else 'pretrained',
      'steps': row.steps,
      'seed': readout.result['seed'],
      'metric': name,
      **score,
    }
    for row in rows
    for readout in row.readouts
    for name, score in readout.result['metrics'].items()
  ]
