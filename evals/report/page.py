"""The page of a report."""

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from base import files
from base.console import say
from evals.report import (
  grouping,
  health,
  naming,
  pairing,
  reading,
  sections,
  shell,
  tables,
)
from evals.report.grouping import Model, Row
from evals.report.pairing import Pair
from evals.report.tables import escape


def write(paths: Sequence[str], out: str) -> tuple[str, str]:
  """Writes DIR/index.html and what it shows.

  Args:
    paths: folders of pretraining runs.
    out: folder of the page.

  Returns:
    The path of index.html, and `tables.summary` of the last checkpoints.

  Raises:
    ValueError: one of `paths` is not a pretraining run, or is there twice; or
      another process writes to `out`.
  """
  runs = reading.runs(paths)
  for why in (why for run in runs for why in run.damaged):
    say(f'not shown: {why}')
  files.make_folder(out, '--out', stores_too=True)
  with files.lock(os.path.join(out, '.lock')) as held_by:
    if held_by:
      raise ValueError(
        f'--out={out} is being written by {held_by}: wait for it, or choose '
        'another --out'
      )
    files.remove_drafts(out)  # of a report that was killed
    return _written(runs, out)


def _written(runs: Sequence[reading.Run], out: str) -> tuple[str, str]:
  models = grouping.models(runs)
  rows = grouping.rows(models)
  latest = grouping.last(rows)
  pairs = pairing.pairs(rows)
  _write_numbers(rows, pairs, out)
  body = (
    sections.overview(latest, pairs)
    + sections.sizes(latest, out)
    + sections.tasks(latest, pairs, out)
    + sections.depths(models, latest, out)
    + sections.steps(models, rows, out)
    + sections.pretraining(runs, out)
    + health.section(runs, out)
    + _go_on(runs, rows, out)
  )
  path = os.path.join(out, 'index.html')
  # Last, so that whatever the page shows is there.
  shell.write(path, _title(models), _lead(models), _tiles(latest, pairs), body)
  return path, tables.summary(pair for pair in pairs if pair.ours in latest)


def _write_numbers(
  rows: Sequence[Row], pairs: Sequence[Pair], out: str
) -> None:
  written = {
    'readouts': tables.score_lines(rows),
    'means': tables.mean_lines(rows),
    'learning-rates': tables.head_lines(rows),
    'differences': tables.difference_lines(pairs),
    'published': tables.published_lines(),
  }
  for name, lines in written.items():
    if lines:
      tables.write_csv(os.path.join(out, f'{name}.csv'), lines)


def _title(models: Sequence[Model]) -> str:
  if len(models) == 1:
    return f'What {escape(models[0].name)} learned'
  return f'What {len(models)} models learned'


def _lead(models: Sequence[Model]) -> str:
  runs = [run for model in models for run in model.runs]
  config = runs[0].config
  sources = ', '.join(
    dict.fromkeys(map(_data, config['data']['sources'].values()))
  )
  clips = config['steps'] * config['data']['batch_size']
  who = 'A video model' if len(runs) == 1 else f'{len(runs)} video models'
  return (
    f'{who} pretrained without labels (objective '
    f'<i>{escape(config["model"]["name"])}</i>, data <i>{escape(sources)}</i>, '
    f'{clips:,} clips in {config["steps"]:,} steps), judged by small readouts '
    'that are trained on the features, and on those of the same model before '
    'any training.'
  )


def _data(source: Mapping[str, Any]) -> str:
  """What a model was trained on: 'world', 'videos in data/clips'."""
  # Not its label, which is 'train' of any source in `configs/mae.py`.
  if 'path' not in source:
    return source['name']
  return f'{source["name"]} in {source["path"]}'


def _tiles(rows: Sequence[Row], pairs: Sequence[Pair]) -> str:
  """The main score of each task, of the largest model, frozen if it is."""
  tiles = []
  for mine in grouping.by_task(rows).values():
    frozen = [row for row in mine if row.kind == 'frozen']
    row = (frozen or mine)[-1]
    pair = next((pair for pair in pairs if pair.ours is row), None)
    tiles.append(_tile(row, pair))
  return '\n'.join(tiles)


def _tile(row: Row, pair: Pair | None) -> str:
  name = row.headline[0]
  metric, kind = naming.metric(name), ''
  facts = [f'trivial {row.trivial(name):.3f}']
  if pair:
    found = pair.differences[name]
    facts.insert(0, f'random init {pair.base.score(name)["value"]:.3f}')
    won, count = metric.wins(found.seeds), len(found.seeds)
    facts.append(f'wins {won} of {count} {"seed" if count == 1 else "seeds"}')
    if not found.low <= 0 <= found.high and metric.wins([found.value]):
      kind = 'main'
  return (
    f'<div class="tile {kind}"><i>{escape(naming.task(row.task))}</i>'
    f'<b>{row.score(name)["value"]:.3f}</b>'
    f'<span>{escape(metric.title)} {metric.arrow}</span>'
    f'<small>{"<br>".join(facts)}</small></div>'
  )


def _go_on(runs: Sequence[reading.Run], rows: Sequence[Row], out: str) -> str:
  """Commands, what was left out, and configs."""
  lines = []
  for run in runs:
    lines += [
      f'# {run.name}: losses live, and readouts of it with another seed',
      f'tensorboard --logdir {run.path}',
      'python -m evals --config=configs/readout.py:task=all,data=world,'
      f'seed=7 \\\n  --checkpoint={run.path} '
      f'--workdir={run.path}/readouts/all-7',
    ]
  paths = ' '.join(run.path for run in runs)
  lines.append(f'python -m evals.report {paths} --out={out}')
  commands = escape('\n'.join(lines))
  text = f'<h2>Go on from here</h2><pre>{commands}</pre>'
  if rows:
    text += (
      '<p class="note">Every job: <a href="readouts.csv">readouts.csv</a>; '
      'every head: <a href="learning-rates.csv">learning-rates.csv</a>.</p>'
    )
  text += _list(
    'Not finished, so not shown', [x for run in runs for x in run.unfinished]
  )
  text += _list(
    'Damaged, so not shown', [why for run in runs for why in run.damaged]
  )
  text += _list(
    'Failed',
    [f'{task}: {why}' for run in runs for task, why in run.failed.items()],
  )
  text += _list(
    'With the seed of another job of the same kind, so not counted',
    dict.fromkeys(job.path for row in rows for job in row.repeated),
  )
  for run in runs:
    config = escape(json.dumps(run.config, indent=2))
    text += (
      f'<details><summary>Config of {escape(run.name)}</summary>'
      f'<pre>{config}</pre></details>'
    )
  return text


def _list(title: str, lines: Iterable[str]) -> str:
  items = ''.join(f'<li>{escape(line)}</li>' for line in lines)
  return (
    f'<p class="note">{title}:</p><ul class="left">{items}</ul>'
    if items
    else ''
  )
