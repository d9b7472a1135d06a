"""The page tells whether a run stayed healthy."""

import csv
import json

import cv2
import numpy as np
import pytest

from evals.report import health, page, reading

LAYERS = ('encoder/posenc', 'processor/layers/0', 'processor/layers/1')


@pytest.fixture
def watched(make):
  """A run whose features collapse, and whose last layer's gradient grows."""
  path = make.run('run')
  lines = []
  for step in (10, 20):
    lines.append(
      {
        'step': step,
        'optim/grad_norm': float(step),
        'optim/grad_norm_over_median': step / 4,
        'optim/grad_norm_spikes': 2.0 * (step == 20),
        'time/data_wait_fraction': step / 1000,
      }
    )
    each = {
      f'health/grad_norm/{name}': 10.0 ** (number * step / 10)
      for number, name in enumerate(LAYERS)
    }
    ranks = {'': 30.0 / step, '_of_clips': 60.0 / step}
    lines.append(
      {
        'step': step,
        'health/grad_norm': 5.0,
        **{f'health/feature_rank{x}': value for x, value in ranks.items()},
        **{f'health/feature_deviation{x}': 0.5 for x in ranks},
        **each,
      }
    )
  (path / 'metrics.jsonl').write_text('\n'.join(map(json.dumps, lines)) + '\n')
  return path


def test_the_page_shows_health_and_says_what_to_look_for(watched, tmp_path):
  out = tmp_path / 'out'
  page.write([str(watched)], str(out))
  text = (out / 'index.html').read_text()
  assert 'Health of training' in text
  assert 'is a collapse, whatever the loss says' in text
  assert 'tokens went from 3.0 to 1.5, of clips from 6.0 to 3.0' in text
  assert (
    '2 gradients were spikes; the largest was 5.0 times the median, by step 20'
  ) in text
  assert 'It waited for data 1.5% of its time' in text
  assert 'src="run-health.png"' in text
  assert cv2.imread(str(out / 'run-health.png')).shape[1] > 1500
  first, last = csv.DictReader(
    (out / 'run-health.csv').read_text().splitlines()
  )
  assert (first['step'], last['step']) == ('10', '20')
  assert float(last['health/grad_norm/processor/layers/1']) == 1e4
  assert float(last['optim/grad_norm']) == 20


def test_layers_are_rows_in_their_order(watched, tmp_path):
  run = reading.run(str(watched))
  drawn = health.figure(run, str(tmp_path / 'a.png'))
  panels = {axes.get_title('left'): axes for axes in drawn.axes}
  assert {
    'Effective rank of features',
    'Deviation of features, share',
    'Gradient norm',
    'Waiting for data, % of the time',
    'Gradient norm by layer',
  } <= panels.keys()
  axes = panels['Gradient norm by layer']
  names = [label.get_text() for label in axes.get_yticklabels()]
  assert names == [*LAYERS]
  (image,) = axes.get_images()
  np.testing.assert_allclose(image.get_array(), [[1, 1], [10, 100], [100, 1e4]])
  (spikes,) = [
    line for line in panels['Gradient norm'].lines if line.get_marker() == 'v'
  ]
  assert spikes.get_xydata().tolist() == [[20, 20]]


def test_of_a_run_that_logged_no_health_there_is_no_figure(make):
  assert health.section([reading.run(str(make.run('run')))], '') == ''
