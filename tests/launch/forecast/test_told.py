"""A forecast is kept, and shown beside what is measured."""

import json

import pytest

from launch import forecast

MADE = forecast.Forecast(
  'by hand', 'v5e:4x4', 16, 0.5, 0.4, 10.0, 3840.0, 1e9, 2e9
)


def test_it_is_kept_in_a_state_file_and_shown_beside_what_is_measured():
  again = forecast.of_dict(json.loads(json.dumps(MADE.as_dict())), 'state.json')
  assert again == MADE
  line = forecast.beside(0.75, MADE)
  assert line == (
    'step 750 ms measured, 500 ms predicted, 1.50 times as long, 15.00 days at '
    'this rate (by hand)'
  )
  assert forecast.beside(0, MADE).startswith('no step measured yet, 500 ms pre')
  with pytest.raises(
    ValueError, match=r'the forecast in state\.json lacks mfu'
  ):
    forecast.of_dict({k: 1 for k in MADE.as_dict() if k != 'mfu'}, 'state.json')


def test_a_run_is_as_far_as_its_metrics_say(tmp_path):
  assert forecast.of_run('', MADE).startswith('no step measured yet')
  assert forecast.of_run(str(tmp_path), MADE).startswith('no step measured yet')
  path = tmp_path / 'metrics.jsonl'
  lines = [{'step': 10, 'time/step_sec': 1.0}, {'step': 20, 'eval/loss': 1.0}]
  path.write_text(''.join(f'{json.dumps(line)}\n' for line in lines))
  assert forecast.of_run(str(tmp_path), MADE).startswith(
    'step 20: step 1.00 s measured, 500 ms predicted, 2.00 times as long'
  )
  path.write_text('{"step": \n')
  found = forecast.of_run(str(tmp_path), MADE)
  assert found.startswith('steps are not known: line 1 of')
