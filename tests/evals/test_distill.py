"""A distillation from end to end: a teacher's run, a student, its readouts."""

import jax
import numpy as np
import pytest

from evals import convert, evaluate
from models import objective, published
from tests.models import recipes
from train import checkpoint, loop, optim


def train(config, folder):
  made = objective.make(**config['model'])
  loop.run(config, made, str(folder))
  return checkpoint.read(str(folder))


@pytest.fixture(scope='module')
def teacher(pretraining, tmp_path_factory):
  folder = tmp_path_factory.mktemp('teacher')
  return folder, train(pretraining, folder)


@pytest.fixture(scope='module')
def recipe_of(pretraining, teacher):
  """A distillation's config, for a mesh."""

  def make(mesh, path=teacher[0]):
    model = {key: pretraining['model'][key] for key in recipes.VIT}
    clip = {k: pretraining['model'][k] for k in ('frames', 'height', 'width')}
    return {
      **pretraining,
      'steps': 2,
      'model': {
        **{'name': 'distill', **clip, 'depth': 0.95},
        **{'student': model | {'dim': 8, 'depth': 2}, 'teacher': model},
      },
      'step': pretraining['step'] | {'freeze': ('teacher/.*',)},
      'init_from': pretraining['init_from'] | {'at': 'student'},
      'init_parts': {
        'teacher': pretraining['init_from']
        | {'path': str(path), 'at': 'teacher'}
      },
      'mesh': mesh,
    }

  return make


@pytest.fixture(scope='module')
def run(recipe_of, tmp_path_factory):
  folder = tmp_path_factory.mktemp('distilled')
  recipe = recipe_of({'replica': 8, 'fsdp': 1, 'tensor': 1})
  return folder, train(recipe, folder)


def test_the_teacher_is_the_runs_and_stays_bitwise(run, teacher):
  for part in ('encoder', 'processor'):
    jax.tree.map(
      np.testing.assert_array_equal, run[1]['teacher'][part], teacher[1][part]
    )


def test_sharded_equals_unsharded(run, recipe_of, tmp_path):
  sharded = train(recipe_of({'replica': 1, 'fsdp': 4, 'tensor': 2}), tmp_path)

  def check(path, a, b):
    # Adam makes steps of rounding errors where no loss depends on it.
    if 'attention/key/bias' not in optim.path_name(path):
      np.testing.assert_allclose(a, b, atol=2e-5)

  jax.tree_util.tree_map_with_path(check, sharded, run[1])


def test_a_published_file_teaches_as_its_run_does(
  run, recipe_of, teacher, tmp_path
):
  file = tmp_path / 'teacher.npz'
  convert.export(str(teacher[0]), str(file), task='')
  mesh = {'replica': 8, 'fsdp': 1, 'tensor': 1}
  params = train(recipe_of(mesh, file), tmp_path / 'run')
  jax.tree.map(np.testing.assert_array_equal, params, run[1])


@pytest.mark.slow
def test_readouts_are_of_the_student_and_read_no_teacher(
  run, recipe, tmp_path, capsys
):
  result = evaluate.run(recipe, checkpoint=str(run[0]), workdir=str(tmp_path))
  assert 'but not its' in capsys.readouterr().out
  assert np.isfinite(result['tasks']['depth']['metrics']['abs_rel']['value'])
  kept = checkpoint.read(str(tmp_path))['backbone']
  assert kept.keys() == {'student'}
  jax.tree.map(
    np.testing.assert_array_equal, kept['student'], run[1]['student']
  )
  # And so is what is exported of them, and of the run.
  for folder, task in ((run[0], ''), (tmp_path, 'depth')):
    out = tmp_path / f'{task or "backbone"}.npz'
    convert.export(str(folder), str(out), task=task)
    loaded = published.load(str(out)).params['backbone']
    np.testing.assert_array_equal(
      loaded['processor']['layers']['mlp']['dense_in']['kernel'],
      run[1]['student']['processor']['layers']['mlp']['dense_in']['kernel'],
    )
