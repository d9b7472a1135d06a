"""Sections of the page: sizes, tasks, training."""

import os
from collections.abc import Iterable, Sequence

from evals.report import (
  bill,
  curves,
  grouping,
  naming,
  pictures,
  plots,
  reading,
  tables,
)
from evals.report import overview as overview_lib
from evals.report.grouping import Model, Row
from evals.report.pairing import Pair
from evals.report.tables import escape


def overview(rows: Sequence[Row], pairs: Sequence[Pair]) -> str:
  """One table of all tasks; '' where none was run."""
  if not rows:
    return ''
  return f"""
<h2>Pretrained, random, trivial</h2>
<p>The main score of each task at the last checkpoint, mean over seeds; and the
difference between pretrained and random init, of the same seeds on the same
clips. Arrows say which way is better.</p>
{overview_lib.table(rows, pairs)}"""


def sizes(rows: Sequence[Row], out: str) -> str:
  """The scaling figure; what to do where there is nothing to show."""
  if not rows:
    return (
      '<h2>Readouts</h2><p>None is finished yet. Train one with '
      '<code>python -m evals</code>, into RUN/readouts/.</p>'
    )
  curves.scaling(rows, os.path.join(out, 'scaling.png'))
  return f"""
<h2>Scores by size</h2>
<p>The main score of each task over the parameters of the backbone; bars are
95% intervals over test clips, arrows say which way is better. Grey is what 4DS
published (arXiv 2412.15212), read off its figure, with the letters of its
sizes: far more and other data, and in each panel another benchmark. It shows
what curves look like, not what to beat. A task without a finished readout says
&lsquo;not run&rsquo;.</p>
{_wide('scaling.png', 'Scores over backbone parameters, a panel per task')}
<p class="note">Numbers: <a href="means.csv">means.csv</a>,
<a href="published.csv">published.csv</a>.</p>"""


def tasks(rows: Sequence[Row], pairs: Sequence[Pair], out: str) -> str:
  """A section per task and source."""
  return ''.join(
    _task(task, source, mine, [x for x in pairs if x.ours in mine], out)
    for (task, source), mine in grouping.by_task(rows).items()
  )


def _task(
  task: str, source: str, rows: Sequence[Row], pairs: Sequence[Pair], out: str
) -> str:
  """Table, differences, figure, predictions."""
  png = f'{reading.slug(f"{task}-{source}")}.png'
  plots.comparison(rows, pairs, os.path.join(out, png))
  figure = _wide(png, 'Scores of each seed')
  folded = {
    'All scores': tables.every_score(rows),
    'All learning rates': tables.rates(rows),
  }
  details = ''.join(
    f'<details><summary>{title}</summary>{table}</details>'
    for title, table in folded.items()
    if table
  )
  return f"""
<h2>{escape(naming.task(task))} on {escape(source)}</h2>
<p>{_about(task, rows)}</p>
{tables.headline(rows)}
<p class="note">In brackets: 95% bootstrap interval over the test clips. Where
there are several seeds, value and interval are means over them, and &plusmn; is
their standard deviation.</p>
{_differences(rows, pairs)}
{figure}
<p class="note">A dot per seed, with its interval over clips; dotted: the
trivial predictor.{' On the right, paired differences.' if pairs else ''}</p>
{_predictions(task, source, rows, out)}
{details}"""


def _about(task: str, rows: Sequence[Row]) -> str:
  found = rows[0].found[0]
  text = f'{found["clips"]:,} held-out clips'
  if found['clips_without_labels']:
    text += f', {found["clips_without_labels"]:,} of them without labels'
  refused = len(rows[0].jobs[0].result['refused'])
  if refused:
    text += f', and {refused:,} that could not be read'
  steps = ' or '.join(dict.fromkeys(f'{row.steps:,}' for row in rows))
  text += f'; readouts trained for {steps} steps.'
  if task in naming.TRIVIAL:
    text += f' The trivial predictor: {naming.TRIVIAL[task]}.'
  return text


def _differences(rows: Sequence[Row], pairs: Sequence[Pair]) -> str:
  """Each pair in a sentence, and which rows have no baseline."""
  items = [tables.difference(pair) for pair in pairs]
  paired = [pair.ours for pair in pairs]
  alone = [
    f'{escape(row.model.title)} ({naming.KINDS[row.kind]})'
    for row in rows
    if not row.random_init and row not in paired
  ]
  if alone:
    items.append(
      f'<li class="open">Without a random init of the same readout and seed to '
      f'compare with: {", ".join(alone)}.</li>'
    )
  text = f'<ul class="says">{"".join(items)}</ul>' if items else ''
  if pairs:
    text += (
      '<p class="note">Paired: clips are resampled together for both '
      'backbones, so what is hard for both cancels. All scores: '
      '<a href="differences.csv">differences.csv</a>.</p>'
    )
  return text


def _predictions(task: str, source: str, rows: Sequence[Row], out: str) -> str:
  """Of the largest model with pictures: the first seed of each row."""
  drawn = [row for row in rows if task in row.jobs[0].pictures]
  figures = []
  for number, row in enumerate(drawn):
    if row.model is not drawn[-1].model:
      continue
    job = row.jobs[0]
    prefix = reading.slug(f'{job.run}-{source}-{row.kind}-{number}')
    picture = pictures.figure(
      task, job.pictures[task], job.result['config']['model'], prefix, out
    )
    title = naming.KINDS[row.kind].capitalize()
    figures.append(f'<div><h3>{title}</h3>{picture}</div>')
  if not figures:
    return ''
  legend = pictures.depth_legend(out) if task == 'depth' else ''
  note = pictures.note(task)
  return (
    f'<div class="pair">{"".join(figures)}</div>{legend}<p class="note">First '
    f'test clips, features of {escape(drawn[-1].model.name)}. {note}</p>'
  )


def steps(models: Sequence[Model], rows: Sequence[Row], out: str) -> str:
  """Curves over pretraining, of models read out at several checkpoints."""
  text = ''
  for model in models:
    mine = [row for row in rows if row.model is model]
    shown = grouping.of_several_steps(mine)
    if not shown:
      continue
    png = f'{reading.slug(model.name)}-steps.png'
    curves.steps(shown, os.path.join(out, png))
    text += (
      f'<h2>{escape(model.title)}, while it learned</h2><p>Readouts of several '
      'checkpoints: the main score of each task over pretraining steps.</p>'
      f'{_wide(png, "Scores over pretraining steps, a panel per task")}'
      '<p class="note">Numbers: <a href="means.csv">means.csv</a>.</p>'
    )
  return text


def depths(models: Sequence[Model], rows: Sequence[Row], out: str) -> str:
  """Which depth knows what, of readouts of several; '' where there is none."""
  text = ''
  for model in models:
    shown = grouping.of_several_depths([x for x in rows if x.model is model])
    if not shown:
      continue
    png = f'{reading.slug(model.name)}-depths.png'
    curves.depths(shown, os.path.join(out, png))
    text += (
      f'<h2>Which depth of {escape(model.title)} knows what</h2><p>The main '
      'score of each task over the depth of the features that its head reads; '
      'of several heads of a depth the one that is best on validation clips. '
      'A ring is the depth that was chosen.</p>'
      f'{_wide(png, "Scores over depths, a panel per task")}'
      '<p class="note">Numbers: <a href="learning-rates.csv">'
      'learning-rates.csv</a>.</p>'
    )
  return text


def pretraining(runs: Iterable[reading.Run], out: str) -> str:
  """What each run was trained to do, its loss, and where its time went."""
  return ''.join(
    _pretraining(run, out) + bill.section(run, out) for run in runs
  )


def _pretraining(run: reading.Run, out: str) -> str:
  sheets = [
    pictures.figure(name, path, run.config['model'], run.slug, out)
    + f'<p class="note">{pictures.note(name)}</p>'
    for name, path in run.pictures.items()
  ]
  lines = tables.loss_lines(run)
  if not sheets and not lines:
    return ''
  text = f'<h2>Pretraining of {escape(run.name)}</h2>'
  if sheets:
    text += f'<p>Clips of the validation split.</p>{"".join(sheets)}'
  if lines:
    png, csv = f'{run.slug}-loss.png', f'{run.slug}-loss.csv'
    plots.loss(run, os.path.join(out, png))
    tables.write_csv(os.path.join(out, csv), lines)
    text += (
      f'{_wide(png, "Loss over steps")}<p class="note">Numbers: '
      f'<a href="{csv}">{csv}</a>.</p>'
    )
  return text


def _wide(png: str, alt: str) -> str:
  """A figure that a narrow screen scrolls, so that it can be read."""
  return (
    f'<figure class="scroll wide"><a href="{png}"><img src="{png}" '
    f'alt="{alt}"></a></figure>'
  )
