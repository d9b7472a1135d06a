"""What is put together, what is not, and what sizes are."""

import json

import numpy as np
import pytest

from evals import task
from evals.report import grouping, naming, reading
from models import sizes
from tests.evals import recipes as readouts
from tests.models import recipes


def _models(*runs):
  return grouping.models([reading.run(str(run)) for run in runs])


def test_runs_that_differ_in_seeds_and_caches_are_one_model(make):
  runs = [make.run(f'run-{seed}', seed=seed) for seed in range(2)]
  runs.append(make.run('other', dim=16))
  for run, error in zip(runs, (0.2, 0.4, 0.3)):
    make.job(run, 'all', error=error, tasks=('depth',))
  first, second = _models(*runs)
  assert (first.title, second.title) == ('run-0 (2 runs)', 'other')
  ours, other = grouping.rows([first, second])
  assert [job.run for job in ours.jobs] == ['run-0', 'run-1']
  values = [found['metrics']['abs_rel']['value'] for found in ours.found]
  score = ours.score('abs_rel')
  np.testing.assert_allclose(score['value'], np.mean(values))
  np.testing.assert_allclose(score['std'], np.std(values, ddof=1))
  np.testing.assert_allclose(score['low'], np.mean(values) - 0.01)
  assert other.score('abs_rel')['std'] == 0


def edit(path, section, key, value):
  """Puts another value into a section of a config; '' is the config itself."""
  found = json.loads(path.read_text())
  config = found.get('config', found)
  (config[section] if section else config)[key] = value
  path.write_text(json.dumps(found))


@pytest.mark.parametrize(
  ('section', 'key', 'value'),
  [
    ('data', 'batch_size', 16),
    ('data', 'max_bad', 0.5),
    ('model', 'mask_ratio', 0.9),
    ('', 'steps', 40),
  ],
)
def test_runs_that_differ_in_more_than_a_seed_are_two_models(
  make, section, key, value
):
  runs = [make.run(f'run-{seed}', seed=seed) for seed in range(2)]
  for run in runs:
    make.job(run, 'all')
  assert len(_models(*runs)) == 1
  edit(runs[1] / 'config.json', section, key, value)
  assert len(_models(*runs)) == 2


@pytest.mark.parametrize(
  ('section', 'key', 'value', 'rows'),
  [
    ('data', 'batch_size', 16, 2),
    ('', 'lrs', [0.1], 2),
    ('', 'steps', 40, 2),
    # How they are read, and who reads them.
    ('data', 'workers', 7, 1),
    ('data', 'remote', {'gb': 1.0}, 1),
    ('', 'mesh', {'fsdp': 8}, 1),
    ('', 'compile', {'keep': False}, 1),
  ],
)
def test_readouts_that_differ_in_more_than_a_seed_are_two_rows(
  make, section, key, value, rows
):
  run = make.run('run')
  jobs = [make.job(run, f'{x}', seed=x, tasks=('depth',)) for x in range(2)]
  edit(jobs[1] / 'result.json', section, key, value)
  assert len(grouping.rows(_models(run))) == rows


def test_smaller_models_come_first_and_unread_ones_last(make):
  runs = [make.run('large', dim=16), make.run('small'), make.run('bare')]
  # This version may know nothing of a run's objective.
  config = json.loads((runs[2] / 'config.json').read_text())
  config['model'] = {'name': 'unheard-of'}
  (runs[2] / 'config.json').write_text(json.dumps(config))
  for run in runs[:2]:
    make.job(run, 'all')
  names = [model.name for model in _models(*runs)]
  assert names == ['small', 'large', 'bare']


def test_the_last_checkpoint_is_shown_and_curves_have_all(family):
  rows = grouping.rows(_models(family[0]))
  depth = [row for row in rows if row.task == 'depth']
  last = grouping.last(depth)
  assert [(row.kind, row.step, len(row.jobs)) for row in last] == [
    ('frozen', 20, 2),
    ('fine-tuned', 20, 1),
    ('random', None, 2),
    ('scratch', None, 1),
  ]
  curve = grouping.of_several_steps(depth)
  assert [row.step for row in curve] == [5, 10, 20, None]


def test_the_same_job_twice_counts_once(make):
  run = make.run('run')
  make.job(run, '20', tasks=('depth',))
  make.job(run, 'by-hand', tasks=('depth', 'classify'))
  rows = grouping.rows(_models(run))
  (depth,) = [row for row in rows if row.task == 'depth']
  assert len(depth.jobs) == 1
  assert [job.path for job in depth.repeated] == [
    str(run / 'readouts' / 'by-hand')
  ]


def test_heads_that_train_a_backbone_together_are_another_readout(make):
  run = make.run('run')
  make.job(run, 'one', finetune=0.1, tasks=('depth',))
  make.job(run, 'two', finetune=0.1, tasks=('depth', 'classify'))
  rows = grouping.rows(_models(run))
  assert len([row for row in rows if row.task == 'depth']) == 2


@pytest.mark.parametrize('scan', [True, False])
def test_only_the_backbone_is_counted(scan):
  model = recipes.MAE | {'name': 'mae', 'scan': scan}
  found = grouping.backbone_parameters(model)
  assert found == sizes.SIZES['S'].parameters


def test_what_became_of_jobs_is_read_from_their_folders(make):
  run = make.run('run')
  make.job(run, '5/all')
  # What is below a job is its own.
  (run / 'readouts' / '5' / 'all' / 'checkpoints').mkdir()
  (run / 'readouts' / '5' / 'all' / 'checkpoints' / 'result.json').touch()
  for name, file, text in (
    ('begun', 'config.json', '{}'),
    ('10', 'errors.json', '{"tasks": [], "failed": {"points": "no labels"}}'),
  ):
    (run / 'readouts' / name).mkdir()
    (run / 'readouts' / name / file).write_text(text)
  found = reading.run(str(run))
  assert [job.path for job in found.jobs] == [str(run / 'readouts/5/all')]
  assert found.unfinished == [str(run / 'readouts' / 'begun')]
  assert found.failed == {f'{run}/readouts/10, points': 'no labels'}


def test_pictures_are_of_the_last_step(make):
  pictures = reading.run(str(make.run('run'))).pictures
  assert pictures['reconstruction'].endswith('pictures/10/reconstruction.png')


def test_each_task_has_a_name_and_its_scores_units_and_directions():
  for name in task.names():
    made = readouts.task(name)
    assert name in naming.TASKS
    assert name in naming.TRIVIAL
    found = [naming.metric(key) for key in made.headline]
    assert all(metric.better for metric in found)
    assert (found[0].better == 'lower') == made.lower_is_better
    # The published curve is drawn if it is of the main score.
    if name in naming.PUBLISHED:
      assert naming.PUBLISHED[name].metric == made.headline[0]
  # Which has no task of points in metres.
  assert {*task.names()} - {*naming.PUBLISHED} == {'points3d'}


def test_scores_are_written_with_their_numbers():
  found = naming.metric('rra_15')
  assert (found.title, found.better) == (
    'Rotations within 15 degrees',
    'higher',
  )
  assert naming.metric('delta1').title == 'delta < 1.25'
  assert naming.metric('rotation_angle').label == 'Rotation error, degrees'
  assert naming.metric('new_7') == naming.Metric('new_7', '', '')
  assert naming.metric('abs_rel').wins([-1.0, 0.0, 2.0]) == 1
  assert naming.metric('iou').wins([-1.0, 0.0, 2.0, 3.0]) == 2


def test_published_numbers_are_as_many_as_sizes_and_improve_with_size():
  for found in naming.PUBLISHED.values():
    for values in (found.frozen, found.finetuned):
      assert len(values) == len(naming.SIZES) == len(naming.parameters())
      better = values[-1] - values[0]
      assert naming.metric(found.metric).wins([better])
