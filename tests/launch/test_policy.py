"""What becomes of a run, by how its processes ended."""

import pytest

from launch import policy


def verdict(*ended, restarts=0, max_restarts=3):
  return policy.verdict(ended, restarts=restarts, max_restarts=max_restarts)


def test_all_done_is_done():
  found = verdict((1, 0), (0, 0))
  assert (found.is_done, found.again, found.code) == (True, False, 0)


@pytest.mark.parametrize(
  'ended',
  [
    [(0, 75), (1, 75)],
    [(0, 0), (1, 75)],  # one was quick enough to finish
    [(1, 134), (0, 75)],
    [(0, 75), (1, -11)],  # saved, and failed at the exit
  ],
)
def test_saved_and_stopped_goes_on_and_does_not_count(ended):
  found = verdict(*ended, restarts=3)
  assert (found.again, found.counts, found.code) == (True, False, 75)


@pytest.mark.parametrize('code', [1, 2])
def test_wrong_input_is_not_tried_again(code):
  found = verdict((0, code), (1, 134))
  assert (found.again, found.code, found.process) == (False, code, 0)


@pytest.mark.parametrize(
  ('ended', 'process', 'code'),
  [
    ([(2, 70), (0, 1), (1, 134)], 2, 70),
    ([(0, 134), (1, 134), (2, -9)], 2, 137),  # JAX told the others first
    ([(1, 134), (0, 134)], 1, 134),  # nobody knows more
    ([(0, 255)], 0, 255),
    ([], -1, 134),  # the machines are gone
  ],
)
def test_the_first_that_was_not_aborted_is_the_cause(ended, process, code):
  found = verdict(*ended)
  assert (found.process, found.code) == (process, code)
  assert found.again
  assert found.counts


def test_crashes_are_counted_to_their_limit():
  assert verdict((0, 70), restarts=2).again
  found = verdict((0, 70), restarts=3)
  assert not found.again
  assert '3 of --max_restarts=3 are used up' in found.why


@pytest.mark.parametrize(
  ('code', 'text'),
  [
    (-9, '137 (SIGKILL)'),
    (139, '139 (SIGSEGV)'),
    (70, '70'),
    (255, '255'),
    (124, '124 (did not join in time)'),
  ],
)
def test_codes_are_told_with_their_signals(code, text):
  assert policy.meaning(code) == text


def test_pauses_grow_to_a_minute():
  pauses = [policy.pause(restarts) for restarts in (0, 1, 2, 3, 20, 2000)]
  assert pauses == [1, 1, 2, 4, 64, 64]
