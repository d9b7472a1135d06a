"""The page: sections of HTML around the figures."""

import html
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import matplotlib
import numpy as np

from evals import report_data, report_plots

# Of each picture that objectives and tasks draw: what its panels show.
PANELS = {
  'reconstruction': ('seen', 'reconstructed', 'truth'),
  'depth': ('video', 'predicted', 'truth'),
}


def write(paths: Sequence[str], out: str) -> str:
  """Writes DIR/index.html and what it shows.

  Args:
    paths: folders of pretraining runs.
    out: folder of the page.

  Returns:
    The path of index.html.

  Raises:
    ValueError: one of `paths` is not a run, or two have the same name.
  """
  runs = [report_data.run(path) for path in paths]
  names = [run.slug for run in runs]
  if len(set(names)) < len(names):
    raise ValueError(f'runs must have different names, got {names}')
  os.makedirs(out, exist_ok=True)
  rows = report_data.rows(runs)
  body = [_readouts(rows, out)]
  for run in runs:
    body += [_pictures(run, rows, out), _pretraining(run, out)]
  body += [_repeat(runs, out)]
  with open(os.path.join(os.path.dirname(__file__), 'report.css')) as file:
    style = file.read()
  path = os.path.join(out, 'index.html')
  temporary = f'{path}.{os.getpid()}'
  with open(temporary, 'w') as file:
    file.write(
      _page(_title(runs), _lead(runs), _tiles(rows, runs), body, style)
    )
  os.replace(temporary, path)
  return path


def _page(title, lead, tiles, body, style) -> str:
  return f"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,">
<title>{title}</title>
<style>
{style}</style>
<header><div>
<div class="brand">scale4d</div>
<h1>{title}</h1>
<p>{lead}</p>
</div></header>
<main>
<div class="tiles">
{tiles}
</div>
{''.join(body)}
</main>
<footer>Every figure here is a PNG and every number a line of a CSV in this
folder.</footer>
</html>
"""


def _title(runs: Sequence[report_data.Run]) -> str:
  return 'What ' + ', '.join(html.escape(run.name) for run in runs) + ' learned'


def _lead(runs: Sequence[report_data.Run]) -> str:
  run = runs[0]
  sources = ', '.join(run.config['data']['sources'])
  name = html.escape(run.config['model']['name'])
  return (
    f'A video model pretrained without labels (objective <i>{name}</i>, data '
    f'<i>{html.escape(sources)}</i>), then frozen: a small readout is trained '
    'on its features, and on those of the same model before any training.'
  )


def _tiles(
  rows: Sequence[report_data.Row], runs: Sequence[report_data.Run]
) -> str:
  tiles = []
  for pretrained, random in report_data.pairs(rows)[:1]:
    metric = pretrained.headline[0]
    ours, base = pretrained.score(metric), random.score(metric)
    title, _, better = report_plots.METRICS[metric]
    change = abs(1 - ours['value'] / base['value'])
    is_better = (ours['value'] < base['value']) == (better == 'lower')
    word = 'lower' if ours['value'] < base['value'] else 'higher'
    tiles.append(
      _tile(
        f'{change:.0%} {word}',
        f'{title} ({pretrained.task}) than at random initialisation'
        + ('' if is_better else ': not better'),
        'main',
      )
    )
    tiles.append(
      _tile(
        f'{ours["value"]:.3f}',
        f'{title} pretrained; {base["value"]:.3f} at random initialisation',
      )
    )
    won = _wins(pretrained, random, metric, better)
    if won:
      text = f'{sum(won)} of {len(won)}'
      tiles.append(_tile(text, 'seeds in which pretraining is better'))
  steps = runs[0].config['steps']
  clips = steps * runs[0].config['data']['batch_size']
  tiles.append(_tile(f'{clips:,}', f'clips seen in {steps:,} steps'))
  return '\n'.join(tiles)


def _tile(value: str, text: str, kind: str = '') -> str:
  return (
    f'<div class="tile {kind}"><b>{html.escape(value)}</b>'
    f'<span>{html.escape(text)}</span></div>'
  )


def _wins(
  pretrained: report_data.Row, random: report_data.Row, metric: str, better: str
) -> list[bool]:
  """Of each seed that both have, whether the pretrained one is better."""
  base = dict(zip(random.seeds, random.values(metric)))
  return [
    (value < base[seed]) == (better == 'lower')
    for seed, value in zip(pretrained.seeds, pretrained.values(metric))
    if seed in base
  ]


def _readouts(rows: Sequence[report_data.Row], out: str) -> str:
  if not rows:
    return (
      '<h2>Readouts</h2><p>None is finished yet. Train one with '
      '<code>python -m evals</code>, into RUN/readouts/.</p>'
    )
  report_plots.write_csv(
    os.path.join(out, 'readouts.csv'), report_plots.readout_table(rows)
  )
  headline = list(dict.fromkeys(name for row in rows for name in row.headline))
  head = ''.join(
    f'<th>{_escape(title)}<br>{better} is better</th>'
    for title, _, better in (report_plots.METRICS[name] for name in headline)
  )
  figures = []
  for number, (pretrained, random) in enumerate(report_data.pairs(rows)):
    png = f'readouts-{number}.png'
    report_plots.comparison(pretrained, random, os.path.join(out, png))
    figures.append(
      f'<figure><img src="{png}" alt="Scores of each seed">'
      f'<figcaption>{_escape(pretrained.run)}, {pretrained.task}: a dot per '
      'seed, with its 95% interval over test clips.</figcaption></figure>'
    )
  return f"""
<h2>Readouts of frozen features</h2>
<p>The backbone is frozen; only the readout's head is trained. The baseline has
the same shape, head and training, with a backbone as it is initialised. Scores
are of held-out clips.</p>
<div class="scroll"><table>
<tr><th>backbone<th>task<th>data<th>steps<th>seeds{head}</tr>
{''.join(_row(row, headline) for row in rows)}
</table></div>
<p class="note">In brackets: 95% bootstrap interval over the test clips. Where
there are several seeds, value and interval are means over them, and &plusmn; is
their standard deviation. All scores:
<a href="readouts.csv">readouts.csv</a>.</p>
{''.join(figures)}"""


def _row(row: report_data.Row, headline: Sequence[str]) -> str:
  kind = 'random' if row.random_init else 'pretrained'
  name = 'random initialisation' if row.random_init else _escape(row.run)
  cells = []
  for metric in headline:
    if metric not in row.headline:
      cells.append('<td></td>')
      continue
    score = row.score(metric)
    spread = f' &plusmn; {score["std"]:.4f}' if len(row.readouts) > 1 else ''
    cells.append(
      f'<td>{score["value"]:.4f}{spread}'
      f'<small>[{score["low"]:.4f}, {score["high"]:.4f}]</small></td>'
    )
  return (
    f'<tr class="{kind}"><td><i></i>{name}</td><td>{_escape(row.task)}</td>'
    f'<td>{_escape(row.source)}</td><td>{row.steps:,}</td>'
    f'<td>{len(row.readouts)}</td>{"".join(cells)}</tr>\n'
  )


def _pictures(
  run: report_data.Run, rows: Sequence[report_data.Row], out: str
) -> str:
  """Predictions of the first seed, pretrained and random side by side."""
  sections = []
  mine = [row for row in rows if row.run == run.name]
  for task in dict.fromkeys(row.task for row in mine):
    figures = []
    for row in (row for row in mine if row.task == task):
      readout = row.readouts[0]
      # A readout's folder has its name: no two files of a page collide.
      prefix = f'{run.slug}-{report_data.slug(os.path.basename(readout.path))}'
      title = 'Random initialisation' if row.random_init else 'Pretrained'
      figures += [
        f'<div><h3>{title}, seed {readout.result["seed"]}</h3>'
        + _sheet(name, path, readout.result['config']['model'], prefix, out)
        + '</div>'
        for name, path in readout.pictures.items()
      ]
    if figures:
      legend = _depth_legend(out) if task == 'depth' else ''
      sections.append(
        f'<h2>{_escape(task.capitalize())}, read out of {_escape(run.name)}'
        f'</h2><p>The first clips of the test split, frame by frame.</p>'
        f'<div class="pair">{"".join(figures)}</div>{legend}'
      )
  return ''.join(sections)


def _depth_legend(out: str) -> str:
  ramp = matplotlib.colormaps['magma'](np.linspace(1, 0, 256))[None, :, 2::-1]
  bar = np.repeat(np.round(255 * ramp), 16, axis=0).astype(np.uint8)
  cv2.imwrite(os.path.join(out, 'depth-colours.png'), bar)
  return (
    '<p class="note scale">near <b style="background: '
    'url(depth-colours.png) 0 0 / 100% 100%"></b> far &middot; predicted and '
    "true depth are coloured over the range of the clip's true depth.</p>"
  )


def _pretraining(run: report_data.Run, out: str) -> str:
  parts = []
  for name, path in run.pictures.items():
    parts.append(
      f'<h2>What {_escape(run.name)} was trained to do</h2>'
      '<p>From the few patches of a clip that are seen, all of it is '
      'reconstructed. Clips of the validation split.</p>'
      + _sheet(name, path, run.config['model'], run.slug, out)
    )
  table = report_plots.loss_table(run)
  if table:
    png, csv = f'{run.slug}-loss.png', f'{run.slug}-loss.csv'
    report_plots.loss(run, os.path.join(out, png))
    report_plots.write_csv(os.path.join(out, csv), table)
    parts.append(
      f'<h2>Loss of {_escape(run.name)}</h2><figure><img src="{png}" '
      f'alt="Loss over steps"><figcaption><a href="{csv}">{csv}</a>'
      '</figcaption></figure>'
    )
  return ''.join(parts)


def _sheet(
  name: str, path: str, model: Mapping[str, Any], prefix: str, out: str
) -> str:
  """A contact sheet, with what its rows show beside it."""
  png = f'{prefix}-{name}.png'
  shutil.copyfile(path, os.path.join(out, png))
  panels: tuple[str, ...] = ()
  if name in PANELS:
    panels = PANELS[name]
  clips = _clips(path, model, len(panels))
  labels = ''.join(f'<li>{panel}</li>' for panel in panels * clips)
  caption = 'Rows are clips, columns frames.'
  if panels and not clips:
    caption += f' In each cell, from left to right: {", ".join(panels)}.'
  return (
    f'<figure><div class="sheet">{f"<ol>{labels}</ol>" if labels else ""}'
    f'<img src="{png}" alt="{_escape(name)}"></div>'
    f'<figcaption>{caption}</figcaption></figure>'
  )


def _clips(path: str, model: Mapping[str, Any], panels: int) -> int:
  """Clips of a sheet whose panels are stacked; 0 where that is not known."""
  if not panels or 'height' not in model:
    return 0
  height, width = cv2.imread(path).shape[:2]
  gap = 2 * 2  # of `train.metrics.contact_sheet`, on both sides
  clips, rest = divmod(height, panels * model['height'] + gap)
  is_stacked = width == model['frames'] * (model['width'] + gap)
  return clips if is_stacked and not rest else 0


def _repeat(runs: Sequence[report_data.Run], out: str) -> str:
  lines = []
  for run in runs:
    lines += [
      f'# {run.name}: losses live, and a readout of it with another seed',
      f'tensorboard --logdir {run.path}',
      'python -m evals --config=configs/readout.py:task=depth,data=world,'
      f'seed=7 \\\n  --checkpoint={run.path} '
      f'--workdir={run.path}/readouts/depth-7',
    ]
  paths = ' '.join(run.path for run in runs)
  lines.append(f'python -m evals.report {paths} --out={out}')
  configs = ''.join(
    f'<details><summary>Config of {_escape(run.name)}</summary>'
    f'<pre>{_escape(json.dumps(run.config, indent=2))}</pre></details>'
    for run in runs
  )
  commands = _escape('\n'.join(lines))
  return f'<h2>Go on from here</h2><pre>{commands}</pre>{configs}'


def _escape(text: str) -> str:
  return html.escape(str(text))
