"""Updates that were left out are told and counted; a bad state is no file."""

import jax.numpy as jnp
import numpy as np
import optax
import pytest

from train import guard as guard_lib
from train import step as step_lib

BAD = {
  'train/loss': 0.5,
  'optim/grad_norm': np.nan,
  'optim/grad_norm/encoder/posenc': 1.0,
  'optim/grad_norm/processor/layers': np.nan,
  'optim/grad_norm/head/kernel': np.inf,
  step_lib.IS_SKIPPED: 1.0,
}
GOOD = {'train/loss': 0.5, 'optim/grad_norm': 2.0, step_lib.IS_SKIPPED: 0.0}


def make(skip=(), **options):
  """A guard, and the list of what it tells."""
  told = []

  def records(number):
    return {'videos': [number, 100 + number]}

  return guard_lib.Guard(told.append, records, skip, **options), told


def test_an_update_that_is_left_out_is_told_with_its_records():
  guard, told = make(most=1, within=10)
  assert guard.seen(1, GOOD) == {'train/loss': 0.5, 'optim/grad_norm': 2.0}
  guard.seen(2, BAD)
  (report,) = told
  assert report['step'] == 2
  assert report['records'] == {'videos': [1, 101]}  # batches count from 0
  assert "in 'processor/layers' and 1 more groups" in report['why']


def test_an_outlier_is_called_one():
  guard, told = make(most=1, within=10)
  guard.seen(2, GOOD | {step_lib.IS_SKIPPED: 1.0})
  assert 'norm 2 is an outlier' in told[0]['why']


def test_too_many_within_so_many_steps_end_the_run():
  guard, _ = make(most=1, within=3)
  for step in (1, 4, 7):
    guard.seen(step, BAD)
  with pytest.raises(FloatingPointError, match=r'step 9: .* 2 of the last 3'):
    guard.seen(9, BAD)


def test_steps_that_the_config_skips_are_not_counted():
  guard, told = make((2, 3), most=0, within=10)
  guard.seen(2, BAD)
  guard.seen(3, GOOD | {step_lib.IS_SKIPPED: 1.0})
  assert [each['why'] for each in told] == ['config.step.skip has it'] * 2
  with pytest.raises(FloatingPointError):
    guard.seen(4, BAD)


def state(kernel=1.0, moment=1.0, ema=1.0):
  params = {'head': {'kernel': jnp.asarray([1.0, kernel])}}
  moments = optax.ScaleByAdamState(
    jnp.asarray(3), {'head': jnp.asarray([moment, moment])}, {}
  )
  return step_lib.State(
    step=jnp.asarray(3),
    params=params,
    opt_state=(optax.EmptyState(), moments),
    ema={'head': jnp.asarray(ema)},
    skipped=jnp.asarray(0),
    norms=jnp.full([4], jnp.nan),  # not yet known, which is no fault
  )


@pytest.mark.parametrize(
  ('bad', 'found'),
  [
    ({'kernel': np.nan}, r"1 numbers .* in 'params/head/kernel';"),
    ({'moment': np.inf}, r"2 numbers .* in 'opt_state/1/mu/head';"),
    ({'ema': -np.inf}, r"1 numbers .* in 'ema/head';"),
    ({'ema': np.nan, 'kernel': np.nan}, r'2 numbers .* and 1 more arrays;'),
  ],
)
def test_a_state_that_is_not_finite_is_refused_by_name(bad, found):
  guard, _ = make(most=1, within=10)
  guard.seen(3, GOOD)
  assert guard.passes(state(), 3)
  with pytest.raises(FloatingPointError, match=found):
    guard.passes(state(**bad), 3)


def test_a_state_that_gave_no_update_takes_no_others_place():
  guard, _ = make(most=5, within=10)
  guard.seen(3, BAD)
  assert not guard.passes(state(), 3)
  guard.seen(4, GOOD)
  assert guard.passes(state(), 4)
