import json
import math

import pytest

from launch.scaling.rates import best, figure
from tests.evals.report.conftest import Maker

RATES = (5e-4, 1e-3, 2e-3, 4e-3, 8e-3)
BASE = 8


def loss(width, rate, name):
  """A parabola; its optimum moves as 1 / width without muP."""
  optimum = 2.5e-3 * (BASE / width if name == 'standard' else 1)
  return 1 / width + math.log(rate / optimum) ** 2


@pytest.fixture
def folder(tmp_path):
  """Two widths at four rates, each with muP, and without."""
  make = Maker(tmp_path)
  for width in (16, BASE):
    for rate in RATES:
      for name in ('mup', 'standard'):
        if (width, name) != (BASE, 'standard'):
          _run(make, width, rate, name)
  return tmp_path


def _run(make, width, rate, name):
  path = make.run(f'{name}-{width}-{rate:g}', dim=width)
  config = json.loads((path / 'config.json').read_text())
  base = BASE if name == 'mup' else 0
  config['optim'] = {'lr': rate, 'parametrisation': name, 'base_width': base}
  (path / 'config.json').write_text(json.dumps(config))
  line = {'step': 20, 'eval/loss': loss(width, rate, name)}
  (path / 'metrics.jsonl').write_text(json.dumps(line) + '\n')


def paths(folder):
  return [str(path) for path in folder.iterdir()]


def test_the_best_rate_lies_between_those_that_were_run(folder):
  found = best.of_runs(paths(folder))
  assert list(found['mup']) == list(found['standard']) == [BASE, 16]
  # The model as wide as the base stands with both.
  assert found['mup'][BASE] == found['standard'][BASE]
  assert best.rate(found['mup'][16]) == pytest.approx(2.5e-3)
  assert best.rate(found['standard'][16]) == pytest.approx(1.25e-3)
  assert best.moves(found['mup']) == 'width^+0.00'
  assert best.moves(found['standard']) == 'width^-1.00'


def test_an_end_of_the_rates_is_told(folder):
  found = best.of_runs(paths(folder))
  of_16 = found['mup'][16]
  (line,) = best.table({'mup': {16: of_16}})
  assert 'beyond' not in line['best rate']
  assert float(line['lowest loss']) == pytest.approx(
    loss(16, 2e-3, 'mup'), abs=1e-4
  )
  higher = {rate: x for rate, x in of_16.items() if rate > 3e-3}
  (line,) = best.table({'mup': {16: higher}})
  assert line['best rate'] == '4.00e-03 or beyond'


def test_a_run_that_diverged_is_not_the_best(folder):
  path = folder / 'mup-16-0.002' / 'metrics.jsonl'
  path.write_text('{"step": 20, "eval/loss": NaN}\n')
  found = best.of_runs(paths(folder))
  assert best.rate(found['mup'][16]) == 4e-3
  drawn = figure.draw(found, str(folder / 'rates.png'))
  mup = drawn.axes[1]
  assert mup.get_title('left') == 'mup'
  assert [len(line.get_xdata()) for line in mup.lines[::2]] == [5, 4]


def test_two_runs_of_one_place_are_refused(folder):
  given = paths(folder)
  _run(Maker(folder / 'more'), 16, 1e-3, 'mup')
  given.append(str(folder / 'more' / 'mup-16-0.001'))
  with pytest.raises(ValueError, match='second run of width 16, rate'):
    best.of_runs(given)
