"""Runs and readout jobs as they lie on disk, of a hundred bytes each."""

import dataclasses
import json

import cv2
import numpy as np
import pytest

from evals import metrics, task
from evals.report import pictures
from tests.evals import recipes as readouts
from tests.models import recipes
from train import progress

CLIPS = 40
MODEL = {
  **recipes.MAE,
  'name': 'mae',
  'size': 'tiny',
  'dim': 8,
  'depth': 2,
  'mlp': 16,
  'heads': 2,
  'frames': 4,
  'height': 16,
  'width': 24,
  'patch': [2, 8, 8],
  'output_patch': [4, 8, 8],
  'mask_ratio': 0.5,
}
TASKS = {
  'classify': readouts.options('classify', classes=16),
  'depth': readouts.options('depth', loss='relative'),
  'pose': readouts.options('pose', start='identity'),
  'points': readouts.options('points', residual=True),
  'boxes': readouts.options('boxes', residual=True),
}


class Maker:
  """Writes runs and jobs under a folder."""

  def __init__(self, folder):
    self.folder = folder

  def run(self, name, *, seed=0, **model):
    """A pretraining run with a loss and two steps of pictures."""
    path = self.folder / name
    path.mkdir(parents=True)
    config = {
      'seed': seed,
      'steps': 20,
      'model': MODEL | model,
      'data': {
        'batch_size': 8,
        'seed': seed,
        'sources': {'world': {'name': 'world', 'cache': f'cache-{name}'}},
      },
    }
    (path / 'config.json').write_text(json.dumps(config))
    lines = [{'step': s, 'train/loss': 1 / s} for s in (5, 10, 15, 20)]
    lines += [{'step': s, 'eval/loss': 2 / s} for s in (10, 20)]
    # A run that is being written to can have half a line at the end.
    text = '\n'.join(map(json.dumps, lines)) + '\n{"step": 2'
    (path / 'metrics.jsonl').write_text(text)
    bill = progress.Bill(
      **{'began': 0.0, 'seen': 100.0, 'starts': 3, 'step': 20, 'redone': 7},
      seconds={'step': 60.0, 'redone': 21.0, 'imports': 12.0, 'other': 7.0},
      last={'steps': 5, 'seconds': 15.0},
    )
    (path / 'goodput.json').write_text(json.dumps(dataclasses.asdict(bill)))
    for step in (9, 10):
      self.picture(path / 'pictures' / str(step) / 'reconstruction.png', 3)
    return path

  def job(
    self,
    run,
    folder,
    *,
    error=0.3,
    seed=0,
    random_init=False,
    finetune=0.0,
    step=20,
    tasks=('depth', 'classify'),
    lrs=(0.01,),
    clips=CLIPS,
    source='world',
    **changes,
  ):
    """A finished readout job whose depth error and wrong classes are known.

    Clips differ much in their error, in the same way for every job.
    """
    path = run / 'readouts' / folder
    path.mkdir(parents=True)
    config = {
      'seed': seed,
      'steps': 50,
      'lrs': lrs,
      'finetune': finetune,
      'feature_cache': '',
      'model': json.loads((run / 'config.json').read_text())['model'],
      'tasks': {name: TASKS[name] for name in tasks},
      'test_sources': {},
      'data': {
        'batch_size': 4,
        'seed': seed,
        'sources': {source: {'name': source, 'frames': 4}},
      },
      'optim': {'lr': max(lrs), 'weight_decay': 1e-4},
      'backbone': {'run': str(run), 'random_init': random_init},
    }
    config |= changes
    sums = {name: _sums(name, error, clips) for name in tasks}
    result = {
      'tasks': {name: _found(name, sums[name], lrs) for name in tasks},
      **{'source': source, 'split': 'test', 'refused': [], 'steps': 50},
      **{'seed': seed, 'finetune': finetune, 'random_init': random_init},
      'checkpoint': {
        **{'run': str(run), 'step': None if random_init else step},
        'random_init': random_init,
      },
      'config': config,
    }
    arrays = {f'{t}/{k}': x for t in tasks for k, x in sums[t].items()}
    np.savez_compressed(path / 'clips.npz', **arrays)
    (path / 'config.json').write_text(json.dumps(config))
    (path / 'result.json').write_text(json.dumps(result))
    for name in tasks:
      panels = len(pictures.PANELS[name])
      zoom = 2 if name == 'classify' else 1
      self.picture(path / 'pictures' / f'{name}.png', panels, zoom)
    return path

  def picture(self, path, panels, zoom=1):
    """A contact sheet of two clips; the first clip's frames are 0, 40, 80..."""
    path.parent.mkdir(parents=True, exist_ok=True)
    h, w = panels * MODEL['height'] * zoom, MODEL['width'] * zoom
    sheet = np.full((2, MODEL['frames'], h + 4, w + 4, 3), 255, np.uint8)
    for clip in range(2):
      for frame in range(MODEL['frames']):
        sheet[clip, frame, 2:-2, 2:-2] = 40 * frame + 10 * clip
    sheet = np.concatenate([np.concatenate(list(x), 1) for x in sheet])
    assert cv2.imwrite(str(path), sheet)


def _sums(name, error, clips):
  rng = np.random.default_rng(0)
  hard = np.exp(rng.normal(0, 0.5, clips))
  if name == 'depth':
    count = rng.integers(100, 400, clips).astype(np.float32)
    wrong = error * hard
    return {
      'count': count,
      'abs_rel': count * wrong,
      'square': count * wrong**2,
      'square_log': count * wrong**2,
      **{f'delta{k}': count * np.clip(1 - wrong / k, 0, 1) for k in (1, 2, 3)},
    }
  once, right = np.ones(clips), np.clip(1 - error * hard, 0, 1)
  if name == 'pose':
    angles = dict.fromkeys(('rotation_angle', 'translation_angle'), 30 * error)
    shares = ('rra_5', 'rra_15', 'rra_30', 'rta_5', 'rta_15', 'rta_30')
    shares = dict.fromkeys((*shares, 'auc_30'), right)
    angles = {key: x * hard for key, x in angles.items()}
    wrong = {'end_point_error': error * hard}
    return {'count': once, 'moving': once} | wrong | angles | shares
  if name == 'points':
    found = ('average_jaccard', 'position_accuracy', 'occlusion_accuracy')
    over = ('count', 'with_jaccard', 'with_position')
    return dict.fromkeys(over, once) | dict.fromkeys(found, right)
  if name == 'boxes':
    shares = dict.fromkeys(('iou', 'video_iou', 'track_iou'), right)
    return {'count': once, 'videos': once} | shares
  top1 = (rng.random(clips) > error).astype(np.float32)
  return {'count': once, 'top1': top1, 'top5': once}


def _found(name, sums, lrs):
  made = task.make(name, **TASKS[name])

  def scores(factor):
    # Only the denominator differs between heads.
    over = sums.keys() & {'count', 'with_jaccard', 'with_position'}
    scaled = sums | {key: sums[key] * factor for key in over}
    found = made.scores(metrics.total(scaled))
    return {key: float(x) for key, x in found.items()}

  heads = [
    {
      'lr': lr,
      'test': scores(1 + place),
      'validation': scores(1 + place) if len(lrs) > 1 else None,
    }
    for place, lr in enumerate(lrs)
  ]
  return {
    'headline': list(made.headline),
    'lower_is_better': made.lower_is_better,
    'metrics': {
      key: {'value': x, 'low': x - 0.01, 'high': x + 0.02}
      for key, x in heads[0]['test'].items()
    },
    'lr': lrs[0],
    'head': 0,
    'heads': heads,
    'trivial': dict.fromkeys(heads[0]['test'], 0.5),
    'clips': len(sums['count']),
    'clips_without_labels': 0,
  }


@pytest.fixture
def make(tmp_path):
  """Writes runs and jobs."""
  return Maker(tmp_path)


@pytest.fixture(scope='package')
def family(tmp_path_factory):
  """Five tasks and two sizes, all kinds of both but one.

  Of the small size two seeds and three checkpoints; the large one was not
  fine-tuned from random initialisation.
  """
  make = Maker(tmp_path_factory.mktemp('family'))
  small, large = make.run('small <run>'), make.run('large', dim=16)
  every = {'tasks': tuple(TASKS)}
  frozen = {'lrs': (0.01, 0.1), **every}
  tuned = {'lrs': (0.003,), 'finetune': 0.1, **every}
  for seed, ours, base in ((0, 0.2, 0.4), (1, 0.3, 0.4)):
    baseline = {'seed': seed, 'error': base, 'random_init': True}
    for step, worse in ((5, 0.06), (10, 0.03), (20, 0.0)):
      found = {'seed': seed, 'error': ours + worse, 'step': step}
      make.job(small, f'{step}/all-{seed}', **found, **frozen)
    make.job(small, f'random-{seed}', **baseline, **frozen)
  make.job(small, 'tuned', error=0.15, **tuned)
  make.job(small, 'scratch', error=0.35, random_init=True, **tuned)
  make.job(large, 'deep/er/all', error=0.1, **frozen)
  make.job(large, 'deep/er/random', error=0.4, random_init=True, **frozen)
  make.job(large, 'deep/er/tuned', error=0.08, **tuned)
  return small, large


@pytest.fixture(scope='package')
def report(family, tmp_path_factory):
  """The folder of its report."""
  from evals.report import page

  out = tmp_path_factory.mktemp('report')
  page.write([str(path) for path in family], str(out))
  return out
