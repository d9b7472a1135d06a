"""Paired intervals: what they find, and what they refuse to compare."""

import json

import numpy as np
import pytest

from evals import metrics
from evals.report import grouping, pairing, reading


def _means(sums):
  return {'error': sums['error'] / sums['count']}


def _clips(error):
  return {'count': np.ones(len(error)), 'error': error}


def test_a_small_difference_is_found_that_intervals_of_each_do_not_show():
  rng = np.random.default_rng(0)
  base = rng.lognormal(0, 1, 200)
  ours = base - 0.05 + rng.normal(0, 0.1, 200)
  low, high = metrics.bootstrap(_clips(base), _means)['error']
  assert low < ours.mean() < high  # each by itself: nothing to be seen
  found = pairing.paired([_clips(ours)], [_clips(base)], _means)['error']
  np.testing.assert_allclose(found.value, ours.mean() - base.mean())
  assert found.low < -0.05 < found.high < 0
  assert found.high - found.low < (high - low) / 5
  again = pairing.paired([_clips(ours)], [_clips(base)], _means)['error']
  assert again == found


def test_no_difference_has_an_interval_around_zero():
  rng = np.random.default_rng(1)
  base = rng.lognormal(0, 1, 200)
  ours = base + rng.normal(0, 0.1, 200)
  found = pairing.paired([_clips(ours)], [_clips(base)], _means)['error']
  assert found.low < 0 < found.high


def test_seeds_are_averaged_over_the_same_draws_of_clips():
  rng = np.random.default_rng(2)
  base = rng.lognormal(0, 1, (3, 50))
  # Errors of seeds that cancel on every clip leave no interval at all.
  off = rng.normal(0, 1, 50)
  shifts = (off - 0.2, -off - 0.2, np.full(50, -0.2))
  found = pairing.paired(
    [_clips(x + shift) for x, shift in zip(base, shifts)],
    [_clips(x) for x in base],
    _means,
  )['error']
  np.testing.assert_allclose(
    (found.value, found.low, found.high), -0.2, rtol=1e-6
  )
  assert len(found.seeds) == 3
  np.testing.assert_allclose(found.seeds[0], off.mean() - 0.2)


def test_clips_weigh_by_their_labels():
  ours = {'count': np.array([1.0, 9.0]), 'error': np.array([1.0, 0.0])}
  base = {'count': np.array([1.0, 9.0]), 'error': np.array([0.0, 9.0])}
  found = pairing.paired([ours], [base], _means)['error']
  np.testing.assert_allclose(found.value, (1 - 9) / 10)


def test_other_numbers_of_clips_or_seeds_are_an_error():
  three, four = _clips(np.ones(3)), _clips(np.ones(4))
  for ours, base in (([three], [four]), ([three, three], [three]), ([], [])):
    with pytest.raises(ValueError, match='needs the same clips'):
      pairing.paired(ours, base, _means)


def _pairs(run):
  models = grouping.models([reading.run(str(run))])
  return pairing.pairs(grouping.rows(models))


def test_the_baseline_is_of_the_same_readout_seed_and_fine_tuning(make):
  run = make.run('run')
  one = {'tasks': ('depth',)}
  make.job(run, 'a0', seed=0, error=0.2, **one)
  make.job(run, 'a1', seed=1, error=0.25, **one)
  make.job(run, 'a2', seed=2, error=0.1, **one)  # without a baseline
  make.job(run, 'b0', seed=0, error=0.3, random_init=True, **one)
  make.job(run, 'b1', seed=1, error=0.2, random_init=True, **one)
  make.job(run, 'c0', seed=0, error=0.1, random_init=True, lrs=(1.0,), **one)
  make.job(run, 'd0', seed=0, error=0.1, finetune=0.1, **one)
  (pair,) = _pairs(run)
  assert pair.ours.kind == 'frozen'
  assert [ours.result['seed'] for ours, _ in pair.jobs] == [0, 1]
  assert [job.result['seed'] for job in pair.left_out] == [2]
  found = pair.differences['abs_rel']
  assert found.seeds[0] < 0 < found.seeds[1]


def test_jobs_on_other_clips_are_not_compared(make):
  run = make.run('run')
  make.job(run, 'a0', seed=0, tasks=('depth',))
  make.job(run, 'a1', seed=1, tasks=('depth',))
  make.job(run, 'b0', seed=0, tasks=('depth',), random_init=True)
  make.job(run, 'b1', seed=1, tasks=('depth',), random_init=True, clips=39)
  (pair,) = _pairs(run)
  assert [job.result['seed'] for job in pair.left_out] == [1]


def test_a_cache_of_features_does_not_keep_jobs_apart(make):
  run = make.run('run')
  for name, random_init in (('a', False), ('b', True)):
    source = {'name': 'world', 'frames': 4}
    cached = {'name': 'features', 'path': f'/cache/{name}', 'source': source}
    data = {'batch_size': 4, 'seed': 0, 'sources': {'world': cached}}
    make.job(
      run, name, random_init=random_init, data=data, feature_cache='/cache'
    )
  assert len(_pairs(run)) == 2  # a task each


def test_jobs_of_before_an_option_was_are_shown_and_not_compared(make):
  """Their sums are those of another version of the task."""
  run = make.run('run')
  for name, random_init in (('a', False), ('b', True)):
    make.job(run, name, tasks=('points',), random_init=random_init)
    (path,) = run.rglob(f'{name}/result.json')
    result = json.loads(path.read_text())
    del result['config']['tasks']['points']['unseen']
    path.write_text(json.dumps(result))
  assert _pairs(run) == []
  ours, _ = grouping.rows(grouping.models([reading.run(str(run))]))
  assert ours.score('average_jaccard')['value'] > 0
