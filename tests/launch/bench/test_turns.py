"""Two programs that take turns."""

import sys

import pytest

from launch.bench import turns

CHILD = """
import sys, time
sys.path.insert(0, '.')
from launch.bench import turns
turns.serve(lambda: time.sleep(0.05))
"""


def test_each_takes_its_turn_and_is_timed_alone():
  steps = []
  with turns.peer([sys.executable, '-c', CHILD], needs='nothing') as process:
    ours, theirs = turns.take(lambda: steps.append(0), process, rounds=3)
  assert len(steps) == len(ours) == len(theirs) == 3
  assert min(ours) < 0.05 <= min(theirs)
  assert process.returncode == 0


def test_a_peer_that_does_not_start_says_what_it_needs():
  with (
    pytest.raises(ValueError, match=r'exit 3\): it needs torch'),
    turns.peer([sys.executable, '-c', 'raise SystemExit(3)'], needs='torch'),
  ):
    pass
