"""What a readout job leaves: result.json, clips.npz, pictures, a table."""

import os
from typing import Any

import cv2
import jax
import numpy as np

from base import console
from data import contact_sheet
from evals import metrics, readout, score

Config = dict[str, Any]


def summary(
  config: Config,
  objective: readout.Readout,
  unknown: Config,
  validated: score.Scored | None,
  tested: score.Scored,
) -> Config:
  """What result.json holds.

  Args:
    config: resolved.
    objective: whose tasks they are.
    unknown: what was left out of the training split, see `score.facts_of`.
    validated: the validation split, by which the learning rate is chosen;
      None where there is one.
    tested: the test split.

  Raises:
    ValueError: no clip of the split can be scored.
  """
  sources = config['test_sources'] or config['data']['sources']
  (source,) = sources.values()
  if config['feature_cache']:
    source = source['source']
  left_out = {'train': unknown, 'test': tested.left_out}
  if validated is not None:
    left_out['validation'] = validated.left_out
  return {
    'tasks': {
      name: _summary_of(config, task, name, validated, tested)
      for name, task in objective.tasks.items()
    },
    'source': source['name'],
    'split': 'test',
    'interval': '95%, bootstrap over test clips, 1000 draws',
    'refused': tested.left_out['refused'],
    'left_out': left_out,
    'steps': config['steps'],
    'seed': config['seed'],
    'finetune': config['finetune'],
    'random_init': config['backbone']['random_init'],
    'checkpoint': config['backbone'],
    'config': config,
  }


def _summary_of(config, task, name, validated, tested) -> Config:
  sums, trivial = tested.heads[name], tested.trivial[name]
  counts = trivial['count']
  if not counts.any():
    raise ValueError(
      f'none of the {len(counts)} test clips has a valid label for task '
      f'{name!r}: look at the data, or at config.tasks.{name}'
    )
  best, chosen = 0, None
  if validated is not None:
    chosen = task.scores(metrics.total(validated.heads[name]))
    main = np.asarray(chosen[task.headline[0]])
    best = int(np.argmin(main) if task.lower_is_better else np.argmax(main))
  heads = [
    {
      'lr': lr,
      'test': _floats(task.scores(metrics.total(score.of_head(sums, place)))),
      'validation': chosen
      and _floats({key: x[place] for key, x in chosen.items()}),
    }
    for place, lr in enumerate(config['lrs'])
  ]
  ends = metrics.bootstrap(score.of_head(sums, best), task.scores)
  return {
    'headline': list(task.headline),
    'lower_is_better': task.lower_is_better,
    'metrics': {
      key: {'value': value, 'low': ends[key][0], 'high': ends[key][1]}
      for key, value in heads[best]['test'].items()
    },
    'lr': config['lrs'][best],
    'head': best,
    'heads': heads,
    'trivial': _floats(task.scores(metrics.total(trivial))),
    'clips': len(counts),
    'clips_without_labels': int((counts == 0).sum()),
  }


def _floats(scores: metrics.Scores) -> dict[str, float]:
  return {name: float(value) for name, value in scores.items()}


def write_clips(workdir: str, result: Config, tested: score.Scored) -> None:
  """OUT/clips.npz: each test clip's sums, '<task>/<name>' of the chosen head.

  Two jobs on the same clips are compared clip by clip with them.
  """
  arrays = {
    f'{name}/{key}': value
    for name, found in result['tasks'].items()
    for key, value in score.of_head(tested.heads[name], found['head']).items()
  }
  np.savez_compressed(os.path.join(workdir, 'clips.npz'), **arrays)


def write_pictures(
  workdir: str,
  objective: readout.Readout,
  result: Config,
  tested: score.Scored,
) -> None:
  """OUT/pictures/<name>.png: a row for each of the first test clips."""
  folder = os.path.join(workdir, 'pictures')
  os.makedirs(folder, exist_ok=True)
  answers, batch = tested.first
  for name, task in objective.tasks.items():
    head = result['tasks'][name]['head']
    answer = jax.tree.map(lambda x, head=head: x[head], answers[name])
    for title, clips in task.pictures(answer, batch).items():
      path = os.path.join(folder, f'{title}.png')
      sheet = contact_sheet.plain(clips / np.float32(255))
      if not cv2.imwrite(path, sheet[..., ::-1]):
        raise OSError(f'cannot write {path}: is the disk full?')


def table(results: list[Config]) -> str:
  """A line per result and task, under a line of names, a block per task."""
  blocks = []
  for name in dict.fromkeys(name for x in results for name in x['tasks']):
    lines = []
    for result in results:
      if name not in result['tasks']:
        continue
      found = result['tasks'][name]
      cells = {
        'task': name,
        'data': result['source'],
        'backbone': 'random init' if result['random_init'] else 'pretrained',
        'steps': str(result['steps']),
        'seed': str(result['seed']),
        'lr': f'{found["lr"]:g}',
        'clips': str(found['clips']),
      }
      for key in found['headline']:
        x = found['metrics'][key]
        cells[f'{key} [95%]'] = (
          f'{x["value"]:.4f} [{x["low"]:.4f}, {x["high"]:.4f}]'
        )
        cells[f'trivial {key}'] = f'{found["trivial"][key]:.4f}'
      lines.append(cells)
    blocks.append(console.table(lines))
  return '\n\n'.join(blocks)
