"""`python -m evals` on files of a benchmark, from the command line alone."""

import json
import os
import pickle
import subprocess
import sys

import cv2
import numpy as np
import pytest

from configs import readout
from data import classified, pipeline
from evals import resolve as resolve_lib
from evals import score
from evals.resolve import resolve
from tests.evals.recipes import SILENT
from train import mesh as mesh_lib

ROWS = 9


@pytest.fixture(scope='module')
def run(tmp_path_factory, pretraining):
  """A pretraining run's folder; no checkpoint is needed for a baseline."""
  folder = tmp_path_factory.mktemp('run')
  (folder / 'config.json').write_text(json.dumps(pretraining))
  return folder


def evals(run, out, argument, *overrides):
  return subprocess.run(
    [
      *(sys.executable, '-m', 'evals', '--random_init'),
      *(f'--checkpoint={run}', f'--workdir={out}', '--compilation_cache='),
      f'--config=configs/readout.py:recipe=laptop,steps=1,{argument}',
      *('--config.data.batch_size=8', '--config.data.workers=0'),
      *overrides,
    ],
    capture_output=True,
    # One device; what is compiled here runs once.
    env={**os.environ, 'XLA_FLAGS': '', 'JAX_DISABLE_MOST_OPTIMIZATIONS': '1'},
    text=True,
    check=False,
  )


def write_walks(folder, split, scenes):
  """Scenes of RealEstate10K, as published: the camera moves ahead."""
  for scene in range(scenes):
    images = folder / split / f'{split}{scene}'
    images.mkdir(parents=True)
    lines = ['https://www.youtube.com/watch?v=abc']
    for row in range(ROWS):
      picture = np.full((18, 32, 3), 20 * row, np.uint8)
      cv2.imwrite(str(images / f'{row}.png'), picture)
      lines.append(f'{row} .5 .8 .5 .5 0 0 1 0 0 0 0 1 0 0 0 0 1 {-row}')
    (folder / split / f'{split}{scene}.txt').write_text('\n'.join(lines))


@pytest.mark.slow
def test_re10k_is_trained_on_and_tested(run, tmp_path):
  write_walks(tmp_path, 'train', 4)
  write_walks(tmp_path, 'test', 3)
  out = tmp_path / 'out'
  done = evals(
    *(run, out),
    f'task=pose,data=re10k,data.path={tmp_path},data.stride=1+1,data.clips=2',
    '--config.data.sources.re10k.stride=2+2',
  )
  assert done.returncode == 0, done.stderr
  result = json.loads((out / 'result.json').read_text())
  source = result['config']['data']['sources']['re10k']
  assert (source['path'], source['stride']) == (str(tmp_path), [2, 2])
  assert (source['clips'], source['frames']) == (2, 4)
  found = result['tasks']['pose']
  assert found['clips'] == 3 * 2
  # In a clip the camera moves 3 x 2 ahead.
  assert found['trivial']['end_point_error'] == pytest.approx(6, rel=1e-4)


def test_the_source_of_the_test_has_options_of_its_own(run, tmp_path):
  rng = np.random.default_rng(0)
  goat = {
    'video': rng.integers(0, 256, (9, 20, 36, 3), np.uint8),
    'points': rng.uniform(size=(3, 9, 2)).astype(np.float32),
    'occluded': np.zeros((3, 9), bool),
  }
  file = tmp_path / 'tapvid_davis.pkl'
  file.write_bytes(pickle.dumps({'goat': goat}))
  config = readout.get_config(
    f'task=points,data=world,test=tapvid,test.path={file},test.points=4'
  )
  job = resolve(config.to_dict(), checkpoint=str(run), random_init=True)
  tests = pipeline.once(split='test', **job.tests)
  assert len(tests) == 1
  clip = tests.example()
  assert clip['video'].shape == (4, 16, 24, 3)
  assert clip['tracks_visible'][:, 0].tolist() == [True] * 3 + [False]


def test_classes_are_those_of_the_source(run, tmp_path, capsys):
  (tmp_path / 'labels.json').write_text('{"Push it": "1", "Lift it": "0"}')
  for split in ('train', 'validation'):
    entries = [{'id': f'{i}', 'template': 'Push [it]'} for i in range(3)]
    (tmp_path / f'{split}.json').write_text(json.dumps(entries))
  for i in range(3):
    (tmp_path / f'{i}.webm').touch()

  def resolved(classes):
    config = readout.get_config(
      f'task=classify,data=ssv2,data.path={tmp_path},data.videos=.'
    )
    config.tasks.classify.classes = classes
    return resolve(config.to_dict(), checkpoint=str(run), random_init=True)

  job = resolved(2)
  assert job.train['tasks']['classify']['names'] == ['Lift it', 'Push it']
  assert job.train['data']['keys'] == ['video', 'label', 'video_id']
  assert len(pipeline.once(split='test', **job.tests)) == 3 * 4 * 3
  (tmp_path / 'labels.json').write_text(
    json.dumps({'Push it': '1', 'Lift it': '0', 'Turn it': '2'})
  )
  with pytest.raises(
    ValueError, match=r'classes=2, but the train .* has 3: set'
  ):
    resolved(2)
  # A head of more than there are is of another data set.
  with pytest.raises(ValueError, match=r'classes=4, but the train .* has 3'):
    resolved(4)
  capsys.readouterr()
  tasks = resolved(0).train['tasks']
  assert tasks['classify']['classes'] == 3
  assert len(tasks['classify']['names']) == 3
  said = capsys.readouterr().out
  assert "classify: 3 classes, as source 'ssv2' tells" in said


def test_classes_that_no_source_tells_are_asked_for(run, tmp_path, monkeypatch):
  (tmp_path / 'a.mp4').touch()
  for name in ('train.csv', 'val.csv'):
    (tmp_path / name).write_text('a.mp4 1\n')
  config = readout.get_config(
    f'task=classify,data=kinetics,data.path={tmp_path}'
  ).to_dict()
  # Of a list there are two at least, of which there may be 700.
  job = resolve(config, checkpoint=str(run), random_init=True)
  assert job.train['tasks']['classify']['classes'] == 700
  config['tasks']['classify']['classes'] = 0
  monkeypatch.setattr(classified.Classified, 'classes', 0)
  with pytest.raises(ValueError, match=r'does not tell how many .*classes=N'):
    resolve(config, checkpoint=str(run), random_init=True)


def test_a_command_says_its_recipe_first(capsys):
  config = readout.get_config('task=classify+depth,data=tfds').to_dict()
  resolve_lib.say_recipe(config)
  said = capsys.readouterr().out
  for part in (
    'recipe=paper, since data=tfds is not the built-in world: 40,000 steps of '
    '32 clips, learning rates 0.0001+0.0003+0.001',
    'classify 768 wide',
  ):
    assert part in said
  assert 'recipe' not in resolve_lib.check(
    readout.get_config('task=depth,data=world').to_dict()
  )


def test_facts_are_of_the_whole_list_though_it_is_sorted(run, tmp_path):
  """3,000 videos of class 0, then 9,000 of class 1: it is the commonest."""
  (tmp_path / 'a.mp4').touch()
  rows = ['a.mp4 0'] * 3000 + ['a.mp4 1'] * 9000
  (tmp_path / 'train.csv').write_text('\n'.join(rows))
  (tmp_path / 'val.csv').write_text('a.mp4 1')
  config = readout.get_config(
    f'task=classify,data=kinetics,data.path={tmp_path},data.validation=val.csv'
  )
  config = config.to_dict()
  config['data'] |= {'batch_size': 512, 'workers': 0}
  job = resolve(config, checkpoint=str(run), random_init=True)
  known = pipeline.make(split='train', **job.labels)
  mesh = mesh_lib.make(replica=8, fsdp=1)
  with mesh_lib.use(mesh):
    facts, _ = score.facts_of(job.objective, known, mesh, watchdog=SILENT)
  first, second = facts['classify']['labels'][:2]
  assert first + second == 1024
  assert second > 2 * first


def test_mistakes_end_before_the_first_step(run, tmp_path):
  out = tmp_path / 'out'
  done = evals(run, out, 'task=depth,data=scannet')
  assert done.returncode != 0
  assert "'scannet' needs the option path" in done.stderr
  assert not out.exists()
  done = evals(run, out, 'task=depth,data=world', '--step=3')
  assert done.returncode != 0
  assert '--step=3 is of a checkpoint, and --random_init' in done.stderr
