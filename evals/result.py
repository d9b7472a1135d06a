"""What a readout job leaves: result.json, clips.npz, pictures, a table."""

from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import jax
import numpy as np

from base import console, files, jsons
from data import contact_sheet
from evals import metrics, readout, score
from evals.job import Job
from evals.task import Task

Result = dict[str, Any]  # of result.json
_REMEDY = (
  "remove it: the job's command tests again, from the job's last checkpoint"
)
# What is read of a result, and of each of its tasks; see `jsons.read`.
_KIND = {
  **{'tasks': dict, 'source': str, 'split': str, 'refused': list},
  **{'steps': int, 'seed': int, 'finetune': float, 'random_init': bool},
  'checkpoint': {'step': object},  # None of random init
  'config': {
    **{'model': dict, 'tasks': dict, 'data': {'sources': dict}},
    **{'test_sources': dict, 'finetune': float},
  },
}
_OF_TASK = {
  **{'headline': [str], 'metrics': dict, 'trivial': dict, 'lr': float},
  **{'head': int, 'heads': [dict], 'clips': int, 'clips_without_labels': int},
}


def read(folder: str) -> Result:
  """The result of a job that was tested.

  Raises:
    ValueError: the file is damaged.
  """
  path = files.path(folder) / 'result.json'
  result = jsons.read(path, _KIND, _REMEDY)
  for name, found in result['tasks'].items():
    jsons.expect(found, _OF_TASK, f'{path}: tasks: {name}', _REMEDY)
  return result


def heads(folder: str) -> dict[str, int]:
  """Of a finished job, the head of each task that was chosen.

  So too of a published head, which was converted and not tested.

  Raises:
    ValueError: the file is damaged.
  """
  path = files.path(folder) / 'result.json'
  tasks = jsons.read(path, {'tasks': dict}, _REMEDY)['tasks']
  for name, found in tasks.items():
    jsons.expect(found, {'head': int}, f'{path}: tasks: {name}', _REMEDY)
  return {name: found['head'] for name, found in tasks.items()}


def summary(
  job: Job,
  unknown: Mapping[str, Any],
  validated: score.Scored | None,
  tested: score.Scored,
) -> Result:
  """What result.json holds.

  Args:
    job: whose result it is.
    unknown: what was left out of the training split, see `score.facts_of`.
    validated: the validation split, by which the head is chosen; None where
      there is one.
    tested: the test split.

  Raises:
    ValueError: no clip of the split can be scored.
  """
  left_out = {'train': unknown, 'test': tested.left_out}
  if validated is not None:
    left_out['validation'] = validated.left_out
  return {
    'tasks': {
      name: _summary_of(name, task, job.heads, validated, tested)
      for name, task in job.objective.tasks.items()
    },
    'source': job.source,
    'split': 'test',
    'interval': metrics.INTERVAL,
    'refused': tested.left_out['refused'],
    'left_out': left_out,
    **{key: job.train[key] for key in ('steps', 'seed', 'finetune')},
    'random_init': job.backbone['random_init'],
    'checkpoint': job.backbone,
    'config': job.train,
  }


def _summary_of(
  name: str,
  task: Task,
  sides: Sequence[Mapping[str, float]],
  validated: score.Scored | None,
  tested: score.Scored,
) -> dict[str, Any]:
  """Of one task: the head that does best on validation clips."""
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
    # On validation clips alone: chosen on test clips it would flatter.
    best = int(np.argmin(main) if task.lower_is_better else np.argmax(main))
  heads = [
    {
      **side,
      'test': _floats(task.scores(metrics.total(score.of_head(sums, place)))),
      'validation': chosen
      and _floats({key: x[place] for key, x in chosen.items()}),
    }
    for place, side in enumerate(sides)
  ]
  ends = metrics.bootstrap(score.of_head(sums, best), task.scores)
  return {
    'headline': list(task.headline),
    'lower_is_better': task.lower_is_better,
    'convention': task.convention,
    'metrics': {
      key: {'value': value, 'low': ends[key][0], 'high': ends[key][1]}
      for key, value in heads[best]['test'].items()
    },
    **sides[best],
    'head': best,
    'heads': heads,
    'trivial': _floats(task.scores(metrics.total(trivial))),
    'clips': len(counts),
    'clips_without_labels': int((counts == 0).sum()),
  }


def _floats(scores: metrics.Scores) -> dict[str, float]:
  return {name: float(value) for name, value in scores.items()}


def write_clips(workdir: str, result: Result, tested: score.Scored) -> None:
  """OUT/clips.npz: each test clip's sums, '<task>/<name>' of the chosen head.

  Two jobs on the same clips are compared clip by clip with them.
  """
  arrays = {
    f'{name}/{key}': value
    for name, found in result['tasks'].items()
    for key, value in score.of_head(tested.heads[name], found['head']).items()
  }
  with files.replacing(files.path(workdir) / 'clips.npz') as draft:
    np.savez_compressed(draft, **arrays)


def write_pictures(
  workdir: str,
  objective: readout.Readout,
  result: Result,
  tested: score.Scored,
) -> None:
  """OUT/pictures/<name>.png: a row for each of the first test clips."""
  folder = files.path(workdir) / 'pictures'
  answers, batch = tested.first
  for name, task in objective.tasks.items():
    head = result['tasks'][name]['head']
    answer = jax.tree.map(lambda x, head=head: x[head], answers[name])
    for title, clips in task.pictures(answer, batch).items():
      sheet = contact_sheet.plain(clips / np.float32(255))
      _, encoded = cv2.imencode('.png', sheet[..., ::-1])
      files.make_parents(folder / f'{title}.png')
      files.write(folder / f'{title}.png', encoded.tobytes())


def table(results: Sequence[Result]) -> str:
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
        'lr': rate_of(found, found['heads']),
        'clips': str(found['clips']),
      }
      for key in found['headline']:
        x = found['metrics'][key]
        cells[f'{key} [95%]'] = (
          f'{x["value"]:.4f} [{x["low"]:.4f}, {x["high"]:.4f}]'
        )
        cells[f'trivial {key}'] = f'{found["trivial"][key]:.4f}'
      # A result of before it was told has none.
      cells['scored as'] = found.get('convention', '')
      lines.append(cells)
    blocks.append(console.table(lines))
  return '\n\n'.join(blocks)


def rate_of(head: Mapping[str, Any], heads: Sequence[Mapping[str, Any]]) -> str:
  """A head's learning rate; its decay and depth where `heads` differ in it."""
  rate = f'{head["lr"]:g}'
  for key, said in (('weight_decay', 'decay'), ('depth', 'depth')):
    # A result of before there was a choice has none.
    if len({each.get(key) for each in heads}) > 1:
      rate += f', {said} {head[key]:g}'
  return rate
