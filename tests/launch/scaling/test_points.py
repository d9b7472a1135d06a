import json

import pytest

from launch.scaling import points
from tests.evals.report.conftest import MODEL, Maker


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


def series(folder, runs):
  """Titles and sizes of what runs (width, steps) belong to."""
  make = Maker(folder)
  made = []
  for width, steps in runs:
    path = make.run(f'{width}-{steps}', dim=width, mlp=2 * width)
    config = json.loads((path / 'config.json').read_text())
    (path / 'config.json').write_text(json.dumps(config | {'steps': steps}))
    with open(path / 'metrics.jsonl', 'w') as file:
      file.write(json.dumps({'step': steps, 'eval/loss': 1 / steps}) + '\n')
    made.append(str(path))
  found = points.series(made)
  return {
    title: [1 / point.errors[0] for point in of['loss']]
    for title, of in found.items()
  }


def test_runs_are_of_series_of_as_many_clips_and_as_many_flops(tmp_path):
  flops = {
    width: points._flops(
      {
        'steps': 1,
        'model': MODEL | {'dim': width, 'mlp': 2 * width},
        'data': {'batch_size': 8},
      }
    )
    for width in (8, 16, 32)
  }
  more, fewer = (round(1000 * flops[16] / flops[x]) for x in (8, 32))
  runs = [(8, 1000), (16, 1000), (32, 1000), (8, more), (32, fewer)]
  found = series(tmp_path, runs)
  spent = f'{1000 * flops[16]:.1e} FLOPs each'
  assert found.keys() == {'8,000 clips each', spent}
  assert found['8,000 clips each'] == pytest.approx([1000] * 3)
  # The middle one is in both.
  assert found[spent] == pytest.approx([more, 1000, fewer])


def test_a_run_of_no_series_is_named(tmp_path):
  with pytest.raises(ValueError, match='8-77 saw as many clips as no other'):
    series(tmp_path, [(8, 1000), (16, 1000), (8, 77)])
