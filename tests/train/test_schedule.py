"""Learning rates over a run, and over one that is trained longer."""

import numpy as np
import pytest

from train import schedule

OPTIONS = {'lr': 2.0, 'schedule': 'cosine', 'warmup_fraction': 0.2}
OPTIONS |= {'final_lr': 0.0, 'extensions': ()}


def rates(steps, **options):
  """The rate of each step, and of that behind the last."""
  rate = schedule.make(steps=steps, **OPTIONS | options)
  return np.asarray([float(rate(step)) for step in range(steps + 1)])


@pytest.mark.parametrize('name', ['cosine', 'linear', 'constant', 'rsqrt'])
def test_a_tenth_of_a_run_has_the_same_curve(name):
  whole, tenth = (rates(steps, schedule=name) for steps in (200, 20))
  np.testing.assert_allclose(tenth, whole[::10], rtol=1e-5, atol=1e-6)


def test_longer_at_the_rate_that_was_reached():
  before = rates(20)
  longer = rates(40, extensions=[[12, 20, 'constant']])
  np.testing.assert_allclose(longer[:12], before[:12])
  np.testing.assert_allclose(longer[12:], before[12])
  with pytest.raises(ValueError, match=r'--longer=constant: .* step 20 is 0'):
    rates(40, extensions=[[20, 20, 'constant']])


def test_longer_by_warming_up_again_from_where_it_was():
  """Twice, as a recipe of the first and last lengths could not say."""
  before = rates(20)
  again = [[12, 20, 'rewarm'], [32, 32, 'rewarm']]
  longer = rates(52, extensions=again)
  np.testing.assert_allclose(longer[:13], before[:13], rtol=1e-6)
  # A fifth of the 20 steps from 12 on: up to the peak, then to nothing.
  assert before[12] < longer[13] < longer[15] < longer[16]
  np.testing.assert_allclose(longer[16], 2.0)
  half = (2.0 - before[12]) / 2 + before[12]
  np.testing.assert_allclose(longer[14], half, rtol=1e-6)
  np.testing.assert_allclose(longer[32:], before, atol=1e-6)


@pytest.mark.parametrize('wrong', [[0, 20, 'rewarm'], [21, 20, 'rewarm']])
def test_an_extension_is_within_the_steps_that_there_were(wrong):
  with pytest.raises(ValueError, match='must be within the 20 steps so far'):
    rates(40, extensions=[wrong])


def test_same_is_only_what_is_the_same_so_far():
  def check(steps, **options):
    given = OPTIONS | options
    schedule.check_same({'steps': 20} | given, {'steps': 40} | given, steps)

  check(20, schedule='constant', warmup_fraction=0.0)
  check(0)
  with pytest.raises(ValueError, match=r'step 1: 0\.5 with 20, 0\.25 with 40'):
    check(20, schedule='constant')
