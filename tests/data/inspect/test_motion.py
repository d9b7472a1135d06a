import cv2
import numpy as np
import pytest

from data.inspect import motion
from tests import commands


def pan(places):
  """A textured wall, seen from these places, in pixels."""
  rng = np.random.default_rng(0)
  noise = rng.integers(0, 256, (64, 160, 3)).astype(np.float32)
  wall = cv2.normalize(
    cv2.GaussianBlur(noise, (0, 0), 2), None, 0, 255, cv2.NORM_MINMAX
  ).astype(np.uint8)
  return np.stack([wall[:48, 40 + x : 88 + x] for x in places])


def test_steady_motion_tells_the_next_frame():
  found = motion.measure([pan([0, 3, 6, 9, 12])])
  assert found.median == pytest.approx(3, abs=0.3)
  assert found.most == pytest.approx(3, abs=0.5)
  assert found.moved > found.copied + 6
  assert found.blurred > found.copied


def test_motion_that_turns_back_tells_less_than_a_copy():
  found = motion.measure([pan([0, 3, 0, 3, 0])])
  assert found.moved < found.blurred


def test_what_stands_still_is_a_copy():
  found = motion.measure([pan([0, 0, 1])])
  assert found.most < 0.1
  assert found.moved == pytest.approx(found.blurred, abs=0.1)


@pytest.mark.parametrize('clips', [[], [pan([0, 1])]])
def test_says_what_it_needs(clips):
  with pytest.raises(ValueError, match=r'expected (3|one) or more'):
    motion.measure(clips)


def test_prints_a_line_for_each_source():
  source = 'world:frames=3,height=16,width=16,fps='
  done = commands.run('data.inspect.motion', source + '3', source + '12')
  done.check_returncode()
  head, *lines = done.stdout.splitlines()
  assert 'blurred copy' in head
  assert [line.split('| ')[-1] for line in lines] == [
    source + '3',
    source + '12',
  ]
  slow, fast = (float(line.split()[0]) for line in lines)
  assert slow > 2 * fast


def test_says_which_source_is_wrong():
  done = commands.run('data.inspect.motion', 'world:fsp=3')
  assert done.returncode == 1
  assert done.stderr.startswith('world:fsp=3: ')
  assert "'fps'" in done.stderr
