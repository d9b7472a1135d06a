"""What has nothing to score is found, named, and never passed over."""

import jax
import numpy as np
import pytest

from data import pipeline
from data import source as source_lib
from evals import evaluate, labels, score
from evals.resolve import resolve
from models import objective as objective_lib
from tests.evals import recipes
from train import mesh as mesh_lib

T, H, W, POINTS, BOXES = 4, 16, 24, 3, 2


@pytest.fixture
def toy():
  """The class of the toy source's clips."""
  return type(source_lib.make('toy', 'test', keys=('video',)))


def _batch():
  """Three clips; the second has no label of any kind that counts."""
  eye = np.tile(np.eye(4, dtype=np.float32), (3, T, 1, 1))
  eye[1, -1] = np.nan
  batch = {
    'depth': np.ones((3, T, H, W, 1), np.float32),
    'pose': eye,
    'tracks': np.full((3, POINTS, T, 2), 0.5, np.float32),
    'tracks_visible': np.ones((3, POINTS, T), bool),
    'boxes': np.tile(np.float32([0, 0, 1, 1]), (3, BOXES, T, 1)),
    'boxes_visible': np.ones((3, BOXES, T), bool),
    'label': np.int32([0, -1, 2]),
    'video_id': np.int32([4, 4, 5]),
  }
  for key in ('depth', 'tracks_visible', 'boxes_visible'):
    batch[key][1] = 0
  return batch


@pytest.mark.parametrize('several', [False, True])
def test_labels_that_count_are_those_of_every_task(pretraining, several):
  names = ('depth', 'pose', 'points', 'boxes', 'classify')
  tasks = {name: {} for name in names}
  tasks['classify'] = {'classes': 3, 'several': several}
  backbone = objective_lib.make(**pretraining['model'])
  objective = recipes.readout_of(backbone, tasks)
  found = jax.jit(lambda batch: labels.counts(objective, batch))(_batch())
  assert set(found) == set(names)
  for name, values in found.items():
    assert (np.asarray(values) > 0).tolist() == [True, False, True], name


@pytest.mark.parametrize(
  'cached', [pytest.param(False, marks=pytest.mark.slow), True]
)
def test_what_is_left_out_is_in_the_result(
  run, recipe, toy, tmp_path, monkeypatch, cached
):
  blank = {'train': (3, 9), 'validation': (6,), 'test': (2, 12)}
  bad = {'train': (5,), 'validation': (0,), 'test': (7,)}
  read = toy.read

  def broken(self, index, rng):
    # A cache of features is not made of clips that cannot be read.
    if not cached and index in bad[self.split]:
      raise source_lib.BadRecord(f'{self.split}/{index}.mp4 is broken')
    clip = dict(read(self, index, rng))
    if 'depth' in clip and index in blank[self.split]:
      clip['depth'] = np.zeros_like(clip['depth'])
    return clip

  monkeypatch.setattr(toy, 'read', broken)
  excluded = {'video not on disk': 40, 'scene too short': 0}
  monkeypatch.setattr(toy, 'excluded', excluded, raising=False)
  changes = {
    'lrs': (1e-2, 1e-3),
    'feature_cache': str(tmp_path / 'cache') if cached else '',
    'data': {**recipe['data'], 'max_bad': None},
  }
  if cached:
    clip = {'frames': T, 'height': H, 'width': W}
    source = {'name': 'toy', 'weight': 1.0, **clip}
    changes['data']['sources'] = {'toy': source}
  result = evaluate.run(
    {**recipe, **changes}, checkpoint=str(run), workdir=str(tmp_path / 'out')
  )
  assert set(result['left_out']) == set(blank)
  for split, found in result['left_out'].items():
    assert found['records'] == {'test': 13}.get(split, 16)
    assert found['excluded'] == {'video not on disk': 40}
    assert found['without_labels'] == {'depth': list(blank[split])}
    refused = [(x['record'], x['reason']) for x in found['refused']]
    assert refused == [
      (index, f'{split}/{index}.mp4 is broken')
      for index in bad[split]
      if not cached
    ]
  assert result['left_out']['train']['clips'] == 16
  assert result['refused'] == result['left_out']['test']['refused']
  assert result['tasks']['depth']['clips_without_labels'] == 2


def test_clips_are_named_before_those_of_a_video_are_joined(
  pretraining, toy, monkeypatch
):
  """Thirteen clips of seven videos, of which the last two have no label."""
  read = toy.read

  def labelled(self, index, rng):
    label = np.int32(-1 if index >= 10 else 1)
    video = {'video_id': np.int32(index // 2)}
    return {**read(self, index, rng), 'label': label, **video}

  monkeypatch.setattr(toy, 'read', labelled)
  objective = recipes.readout_of(
    objective_lib.make(**pretraining['model']),
    {'classify': {'classes': 3, 'several': True, 'width': 16, 'heads': 2}},
  )
  keys = ('video', 'label', 'video_id')
  options = {**pretraining['data'], 'keys': keys, 'shuffle': False}
  data = pipeline.make(split='test', **options)
  mesh = mesh_lib.make(fsdp=1, devices=jax.devices()[:1])
  with mesh_lib.use(mesh):
    (batch,) = next(data.batches())
    params = jax.jit(objective.init)(jax.random.key(0), batch)
    facts, _ = score.facts_of(objective, data, mesh, watchdog=recipes.SILENT)
    found = score.run(
      *(objective, params, facts, data, mesh),
      watchdog=recipes.SILENT,
      split='test',
      pictures=0,
    )
  count = found.trivial['classify']['count']
  assert count.tolist() == [1, 1, 1, 1, 1, 0, 0]
  assert found.left_out['without_labels'] == {'classify': [10, 11, 12]}


def test_splits_without_labels_are_found_before_training(
  run, recipe, toy, tmp_path, monkeypatch
):
  monkeypatch.delattr(evaluate.loop, 'run')

  def fails(match, **changes):
    out = tmp_path / 'out'
    with pytest.raises(ValueError, match=match):
      evaluate.run({**recipe, **changes}, checkpoint=str(run), workdir=str(out))
    assert not out.exists()

  depth = {**recipe['tasks']['depth'], 'valid_range': (500.0, 600.0)}
  fails(
    "depth finds nothing to score in the first 13 clips of split 'test' of "
    "source 'toy'.*config.tasks.depth",
    tasks={'depth': depth},
  )
  read, blank = toy.read, {'validation': 16, 'test': 12}

  def labelled_last(self, index, rng):
    clip = dict(read(self, index, rng))
    if 'depth' in clip and index < blank[self.split]:
      clip['depth'] = np.zeros_like(clip['depth'])
    return clip

  monkeypatch.setattr(toy, 'read', labelled_last)
  fails("16 clips of split 'validation'", lrs=(1e-2, 1e-3))
  # One clip with labels is enough; where no rate is chosen, so is the test.
  job = resolve(recipe, checkpoint=str(run), random_init=False)
  evaluate.check_labels(job)
