"""Which steps are traced, wherever a run begins and ends."""

import jax
import pytest

from train import trace


def test_a_window_is_two_numbers():
  assert trace.window(['3', '5']) == (3, 5)
  assert trace.window([]) is None
  for words in (['3'], ['5', '3'], ['a', 'b']):
    with pytest.raises(ValueError, match='profile_steps'):
      trace.window(words)


@pytest.fixture
def events(monkeypatch):
  """What happens, in order: the profiler starts and stops, steps are made."""
  found = []
  monkeypatch.setattr(
    jax.profiler, 'start_trace', lambda folder: found.append('start')
  )
  monkeypatch.setattr(jax.profiler, 'stop_trace', lambda: found.append('stop'))
  return found


def run(events, traced, first, last, until=None):
  steps = trace.Steps('profile', traced, wait=lambda: events.append('wait'))
  with steps:
    for step in steps.count(first, last):
      events.append(step)
      if step == until:
        break
  return events


def test_the_window_is_traced_and_waited_for(events):
  expected = [1, 'start', 2, 3, 'wait', 'stop', 4]
  assert run(events, (2, 3), 1, 4) == expected


@pytest.mark.parametrize('end', [3, 9])
def test_a_run_resumed_within_the_window_traces_what_is_left(events, end):
  """The profiler is stopped only if it was started in this process."""
  assert run(events, (1, end), 3, 3) == ['start', 3, 'wait', 'stop']


def test_a_run_that_stops_within_the_window_ends_the_trace(events):
  assert run(events, (1, 9), 1, 9, until=2) == ['start', 1, 2, 'wait', 'stop']


def test_a_run_that_fails_ends_the_trace_and_waits_for_nothing(events):
  def fails():
    steps = trace.Steps('profile', (1, 9), wait=lambda: events.append('wait'))
    with steps:
      for _ in steps.count(1, 9):
        raise FloatingPointError

  with pytest.raises(FloatingPointError):
    fails()
  assert events == ['start', 'stop']


def test_a_window_that_is_over_is_told(events, capsys):
  assert run(events, (1, 2), 3, 4) == [3, 4]
  assert 'traces nothing' in capsys.readouterr().out
