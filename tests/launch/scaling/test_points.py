import pytest

from launch.scaling import points
from tests.evals.report.conftest import Maker


@pytest.fixture
def folder(tmp_path):
  """Two sizes, one of them with two seeds; depth read from frozen features."""
  make = Maker(tmp_path)
  for name, dim, seed in (('a', 8, 0), ('b', 8, 1), ('c', 16, 0)):
    run = make.run(name, dim=dim, mlp=2 * dim, seed=seed)
    make.job(run, 'all', error=0.3 + dim / 100 + seed / 10, tasks=('depth',))
    make.job(run, 'random', error=0.9, tasks=('depth',), random_init=True)
  return tmp_path


def paths(folder):
  return [str(folder / name) for name in 'cab']


def test_runs_are_points_by_size_and_seeds_are_one(folder):
  found = points.of_runs(paths(folder))
  assert list(found) == ['loss', 'Depth, frozen: abs_rel']
  small, large = found['loss']
  assert small.size < large.size
  assert (small.errors, large.errors) == ((0.1, 0.1), (0.1,))
  small, large = found['Depth, frozen: abs_rel']
  assert small.errors == pytest.approx((0.38, 0.48), rel=0.08)
  assert large.errors == pytest.approx((0.46,), rel=0.08)


def test_a_run_that_has_not_ended_has_no_point(folder):
  metrics = folder / 'a' / 'metrics.jsonl'
  metrics.write_text('{"step": 10, "eval/loss": 0.2}\n')
  with pytest.raises(ValueError, match='validation loss of its last step 20'):
    points.of_runs(paths(folder))


def test_two_recipes_of_one_size_are_no_seeds(folder):
  Maker(folder).run('d', dim=8, mlp=16, mask_ratio=0.75)
  with pytest.raises(ValueError, match='not seeds of one another'):
    points.of_runs([*paths(folder), str(folder / 'd')])
