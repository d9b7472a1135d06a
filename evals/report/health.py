"""Whether a run stayed healthy: features, gradients, waits, over its steps."""

import os
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from evals.report import plots, reading, tables
from evals.report.tables import escape

_LAYER = 'health/grad_norm/'
_SPIKES, _OVER = 'optim/grad_norm_spikes', 'optim/grad_norm_over_median'
_WAIT = 'time/data_wait_fraction'
_MOST_NAMES = 24  # of layers that an axis has room for
_Curve = tuple[list[int], list[float]]

# What a person looks for, in the order of the panels.
_LOOK_FOR = (
  (
    'Rank',
    'in how many directions features differ. It rises, or stays; a fall '
    'towards 1 is a collapse, whatever the loss says. Tokens are 256 of a '
    'batch, and clips few: it is at most the number of either, less 1.',
  ),
  (
    'Deviation',
    'how much features differ, as a share of their size. Near 0 of tokens: all '
    'places of a clip say the same. Near 0 of clips while tokens differ: '
    'features tell the place and not what is there.',
  ),
  (
    'Gradient norm',
    'a spike is above four times the median of 128 steps. One is bad luck; '
    'more and more of them come before a divergence: lower '
    '<code>optim.lr</code>, or leave outliers out with '
    '<code>step.outlier</code>.',
  ),
  (
    'Waiting for data',
    'more than a few per cent: more <code>data.workers</code>, or ingest the '
    'videos smaller.',
  ),
  (
    'Layers',
    'gradients of a few clips, blocks from the first down. Neighbours are '
    'alike: a dark row learns nothing, a bright one may be about to diverge, '
    'and rows that darken from the last block to the first are gradients that '
    'vanish.',
  ),
)


def section(runs: Iterable[reading.Run], out: str) -> str:
  """A figure of each run, and what to look for; '' where nothing was logged."""
  parts = [part for part in (_run(run, out) for run in runs) if part]
  if not parts:
    return ''
  items = ''.join(f'<li><b>{what}</b>: {why}</li>' for what, why in _LOOK_FOR)
  return (
    '<h2>Health of training</h2><p>What can go wrong while the loss falls. '
    f'What to look for:</p><ul class="left">{items}</ul>{"".join(parts)}'
  )


def _run(run: reading.Run, out: str) -> str:
  if not curves(run):
    return ''
  png, csv = f'{run.slug}-health.png', f'{run.slug}-health.csv'
  figure(run, os.path.join(out, png))
  tables.write_csv(os.path.join(out, csv), lines(run))
  return (
    f'<h3>{escape(run.name)}</h3><p class="note">{" ".join(said(run))}</p>'
    f'<figure class="scroll wide"><a href="{png}"><img src="{png}" '
    'alt="Rank, deviation, gradients and waits over steps"></a></figure>'
    f'<p class="note">Numbers: <a href="{csv}">{csv}</a>.</p>'
  )


def curves(run: reading.Run) -> dict[str, _Curve]:
  """Steps and values of all that is watched, by name."""
  watched = dict.fromkeys(
    name
    for line in run.metrics
    for name in line
    if name.startswith('health/')
    or name in ('optim/grad_norm', _SPIKES, _OVER, _WAIT)
  )
  return {name: reading.curve(run, name) for name in watched}


def lines(run: reading.Run) -> list[dict[str, Any]]:
  """One line per step at which something was logged."""
  found = curves(run)
  table: dict[int, dict[str, Any]] = {}
  for name, (steps, values) in found.items():
    for step, value in zip(steps, values):
      table.setdefault(step, dict.fromkeys(found, ''))[name] = value
  return [{'step': step, **table[step]} for step in sorted(table)]


def said(run: reading.Run) -> list[str]:
  """The ends of the curves, in sentences."""
  found, text = curves(run), []

  def ends(name, form):
    values = found[name][1]
    return f'{values[0]:{form}} to {values[-1]:{form}}'

  if 'health/feature_rank' in found:
    text.append(
      f'The rank of tokens went from {ends("health/feature_rank", ".1f")}, '
      f'of clips from {ends("health/feature_rank_of_clips", ".1f")}; the '
      f'deviation of tokens from {ends("health/feature_deviation", ".2f")}, '
      f'of clips from {ends("health/feature_deviation_of_clips", ".2f")}.'
    )
  if _OVER in found:
    steps, over = found[_OVER]
    count, most = sum(found[_SPIKES][1]), int(np.argmax(over))
    text.append(
      f'{count:.0f} gradients were spikes; the largest was {over[most]:.1f} '
      f'times the median, by step {steps[most]:,}.'
    )
  if _WAIT in found:
    text.append(
      f'It waited for data {np.mean(found[_WAIT][1]):.1%} of its time.'
    )
  return text


def figure(run: reading.Run, path: str) -> Figure:
  """A panel for each item of what to look for, of what was logged.

  Args:
    run: whose.
    path: of the PNG.

  Returns:
    What was drawn.
  """
  found = curves(run)
  layers = {
    name.removeprefix(_LAYER): curve
    for name, curve in found.items()
    # Of zeros alone there is nothing to colour.
    if name.startswith(_LAYER) and any(curve[1])
  }
  panels: list[Callable] = [
    draw for draw in (_rank, _deviation, _gradient, _wait) if draw(None, found)
  ]
  rows = -(-len(panels) // 2)
  names = min(len(layers), _MOST_NAMES)
  tall = 1.2 + 0.17 * names if layers else 0.0
  with plots.style():
    drawn = Figure(
      figsize=(plots.WIDTH, 2.6 * rows + tall), layout='constrained'
    )
    grid = drawn.add_gridspec(
      rows + bool(layers), 2, height_ratios=[2.6] * rows + [tall] * bool(layers)
    )
    for place, draw in enumerate(panels):
      axes = drawn.add_subplot(grid[place // 2, place % 2])
      draw(axes, found)
      axes.set_xlabel('step')
      axes.xaxis.grid(False)
    if layers:
      _layers(drawn, drawn.add_subplot(grid[rows, :]), layers)
    plots.save(drawn, path)
  return drawn


def _pair(axes, found: dict[str, _Curve], name: str, title: str) -> bool:
  """Curves of tokens and clips, from 0; whether there are any."""
  if name in found and axes is not None:
    of_clips = found[f'{name}_of_clips']
    axes.plot(*found[name], color=plots.PRETRAINED, marker='o', ms=3)
    axes.plot(*of_clips, color=plots.RANDOM, marker='o', ms=3)
    axes.legend(['tokens', 'clips'], loc='best')
    axes.set(title=title)
    axes.set_ylim(bottom=0)
  return name in found


def _rank(axes, found: dict[str, _Curve]) -> bool:
  return _pair(axes, found, 'health/feature_rank', 'Effective rank of features')


def _deviation(axes, found: dict[str, _Curve]) -> bool:
  title = 'Deviation of features, share'
  return _pair(axes, found, 'health/feature_deviation', title)


def _gradient(axes, found: dict[str, _Curve]) -> bool:
  """The norm as logged, and where one since the line before was a spike."""
  if axes is not None:
    steps, norms = found['optim/grad_norm']
    axes.plot(steps, norms, color=plots.PRETRAINED, lw=1.2)
    counts = dict(zip(*found.get(_SPIKES, ([], []))))
    spikes = [(s, x) for s, x in zip(steps, norms) if counts.get(s)]
    if spikes:
      axes.plot(*zip(*spikes), 'v', color='#c8453b', ms=6, label='spikes')
      axes.legend(loc='best')
    axes.set(title='Gradient norm', yscale='log')
  return 'optim/grad_norm' in found


def _wait(axes, found: dict[str, _Curve]) -> bool:
  if _WAIT in found and axes is not None:
    steps, shares = found[_WAIT]
    axes.plot(steps, [100 * x for x in shares], color=plots.PRETRAINED, lw=1.2)
    axes.set(title='Waiting for data, % of the time')
    axes.set_ylim(bottom=0)
  return _WAIT in found


def _layers(drawn: Figure, axes, layers: dict[str, _Curve]) -> None:
  """A row for each layer, blocks from the first down, coloured by its norm."""
  steps = sorted({step for found, _ in layers.values() for step in found})
  norms = np.full((len(layers), len(steps)), np.nan)
  for row, curve in enumerate(layers.values()):
    for step, value in zip(*curve):
      norms[row, steps.index(step)] = value
  # A norm of 0 has no logarithm: left white, and seen.
  norms[norms <= 0] = np.nan
  mesh = axes.imshow(
    norms,
    norm=LogNorm(),
    cmap='viridis',
    aspect='auto',
    interpolation='nearest',
  )
  each = -(-len(layers) // _MOST_NAMES)
  axes.set_yticks(range(0, len(layers), each), list(layers)[::each], fontsize=8)
  shown = np.unique(np.linspace(0, len(steps) - 1, 6).round().astype(int))
  axes.set_xticks(shown, [f'{steps[place]:,}' for place in shown])
  axes.set(title='Gradient norm by layer', xlabel='step')
  axes.grid(False)
  drawn.colorbar(mesh, ax=axes, pad=0.01)
