import json

import pytest

from launch.scaling import figure, forecast, page, tables
from launch.scaling.points import error, score
from launch.scaling.power import Law, Point

LOSS, JACCARD = 'loss', 'Points, frozen: average_jaccard'


@pytest.fixture
def points():
  law = Law(0.3, 0.2, 0.4, 1e5)
  sizes = (1e4, 3e4, 1e5, 3e5)
  found = [Point(x, (law.at(x), law.at(x) + 0.004)) for x in sizes]
  return {LOSS: found, JACCARD: found}


def test_what_is_better_when_more_is_an_error_below_one():
  assert error('average_jaccard', 0.3) == pytest.approx(0.7)
  assert error('abs_rel', 0.3) == 0.3
  assert score(JACCARD, 0.7) == pytest.approx(0.3)
  assert score(LOSS, 0.7) == 0.7


def test_a_forecast_is_read_as_it_was_written(points, tmp_path):
  made = forecast.make(points, 1e6)
  path = str(tmp_path / 'forecast.json')
  forecast.write(path, made)
  assert forecast.read(path) == made
  forecast.write(path, made)  # again, the same
  with pytest.raises(ValueError, match='holds another forecast'):
    forecast.write(path, forecast.make(points, 2e6))


def test_a_forecast_that_was_changed_is_refused(points, tmp_path):
  path = tmp_path / 'forecast.json'
  forecast.write(str(path), forecast.make(points, 1e6))
  text = json.loads(path.read_text())
  text['of'][LOSS]['value'] += 1e-9
  path.write_text(json.dumps(text))
  with pytest.raises(ValueError, match='was changed'):
    forecast.read(str(path))


def test_what_was_run_is_not_forecast(points):
  with pytest.raises(ValueError, match='no larger than that of 300,000'):
    forecast.make(points, 3e5)


def test_a_miss_is_in_halves_of_the_band(points, tmp_path):
  made = forecast.make(points, 1e6)
  found = made['of'][JACCARD]
  half = found['high'] - found['value']
  came = Point(1e6, (found['value'] + 2 * half,))
  grown = {key: [*mine, came] for key, mine in points.items()}
  lines = {line['of']: line for line in tables.missed_lines(made, grown)}
  # The halves are not alike, and what is just outside of one is.
  below = found['value'] - 1.01 * (found['value'] - found['low'])
  less = {**grown, JACCARD: [*points[JACCARD], Point(1e6, (below,))]}
  low = {line['of']: line for line in tables.missed_lines(made, less)}
  assert low[JACCARD]['missed, in half bands'] == '-1.01'
  # The error is larger, and the score smaller.
  assert lines[JACCARD]['missed, in half bands'] == '+2.00'
  assert float(lines[JACCARD]['reached']) < float(lines[JACCARD]['forecast'])
  drawn = figure.draw(made, grown, str(tmp_path / 'scaling.png'))
  shown = [axes for axes in drawn.axes if axes.axison]
  assert [axes.get_title('left') for axes in shown] == [
    'validation loss',
    'Points, frozen',
  ]


def test_what_did_not_come_out_is_named(points):
  made = forecast.make(points, 1e6)
  with pytest.raises(ValueError, match='1,000,000 parameters, which no run'):
    tables.missed_lines(made, points)


def test_the_series_that_was_forecast_is_found_by_its_points(points):
  made = forecast.make(points, 1e6)
  other = {LOSS: [Point(1e4, (0.7,)), *points[LOSS][1:]]}
  grown = {key: [*mine, Point(1e6, (0.3,))] for key, mine in points.items()}
  found = {'as many FLOPs': other | {JACCARD: []}, 'as many clips': grown}
  assert forecast.series_of(made, found) == 'as many clips'
  del found['as many clips']
  with pytest.raises(ValueError, match='not those that the forecast was made'):
    forecast.series_of(made, found)


def test_the_page_has_the_hash_the_misses_and_every_run(points, tmp_path):
  made = forecast.make(points, 1e6)
  found = made['of'][LOSS]
  out = found['value'] + 3 * (found['high'] - found['low'])
  grown = {
    **{LOSS: [*points[LOSS], Point(1e6, (out,))]},
    JACCARD: [*points[JACCARD], Point(1e6, (made['of'][JACCARD]['value'],))],
  }
  lines = tables.missed_lines(made, grown)
  path = tmp_path / 'index.html'
  page.write(
    str(path), made, lines, series=['3 clips each', 'a < b'], runs='../r.html'
  )
  text = path.read_text()
  assert made['sha256'] in text
  assert '<b>1 of 2</b>' in text  # within its band
  assert 'a &lt; b' in text
  assert 'href="../r.html"' in text
  written = page.point_lines({'3 clips each': grown})
  assert len(written) == 2 * 9
  assert written[-1]['value'] == pytest.approx(
    score(JACCARD, made['of'][JACCARD]['value'])
  )
