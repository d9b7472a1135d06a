"""What a job's result says of several heads: that it is of the chosen one."""

from unittest import mock

import numpy as np
import pytest

from evals import result, score
from evals.metrics.sums import means
from evals.task import Task

RATES = (1e-3, 1e-2, 1e-1)
SIDES = [{'lr': lr, 'weight_decay': 0.1} for lr in RATES]


def scored(*errors):
  """Of 40 clips, sums of a head for each error, and of a trivial answer."""
  noise = 1 + 0.2 * np.random.default_rng(0).normal(size=40)
  sums = {'error': np.outer(noise, errors), 'count': np.ones([40, len(errors)])}
  trivial = {'error': 9.0 * np.ones(40), 'count': np.ones(40)}
  return score.Scored({'toy': sums}, {'toy': trivial}, {}, ({}, {}))


def of(validated, tested, lower_is_better=True):
  task = mock.Mock(
    spec=Task,
    headline=('error',),
    lower_is_better=lower_is_better,
    convention='as it is',
    scores=means,
  )
  return result._summary_of('toy', task, SIDES, validated, tested)


@pytest.mark.parametrize('lower_is_better', [True, False])
def test_all_that_is_told_is_of_the_head_that_was_chosen(lower_is_better):
  """On validation clips, though another is better on test clips."""
  validated = scored(2.0, 1.0, 3.0) if lower_is_better else scored(2, 3, 1)
  tested = scored(0.5, 1.0, 1.5)
  found = of(validated, tested, lower_is_better)
  assert (found['head'], found['lr']) == (1, 1e-2)
  expected = tested.heads['toy']['error'].mean(axis=0)
  said = found['metrics']['error']
  assert said['value'] == pytest.approx(expected[1])
  # Intervals of the other heads do not reach so far.
  assert said['low'] < said['value'] < said['high']
  assert said['low'] > 0.9
  assert said['high'] < 1.2
  assert [head['lr'] for head in found['heads']] == list(RATES)
  for head, test, validation in zip(
    found['heads'], expected, validated.heads['toy']['error'].mean(axis=0)
  ):
    assert head['test']['error'] == pytest.approx(test)
    assert head['validation']['error'] == pytest.approx(validation)
  assert found['trivial']['error'] == 9.0
  of_job = {'source': 'world', 'random_init': False, 'steps': 5, 'seed': 0}
  table = result.table([{**of_job, 'tasks': {'toy': found}}])
  assert [line.split('  ')[-1].strip() for line in table.splitlines()] == [
    'scored as',
    'as it is',
  ]


def test_clips_that_jobs_are_compared_by_are_of_the_chosen_head(tmp_path):
  tested = scored(0.5, 1.0, 1.5)
  told = {'tasks': {'toy': of(scored(2.0, 3.0, 1.0), tested)}}
  result.write_clips(str(tmp_path), told, tested)
  with np.load(tmp_path / 'clips.npz') as clips:
    np.testing.assert_array_equal(
      clips['toy/error'], tested.heads['toy']['error'][:, 2]
    )


def test_no_label_at_all_is_an_error():
  tested = scored(1.0, 1.0, 1.0)
  tested.trivial['toy']['count'][:] = 0
  with pytest.raises(ValueError, match='none of the 40 test clips has a valid'):
    of(scored(1.0, 1.0, 1.0), tested)


def test_a_decay_is_told_where_there_was_a_choice():
  heads = [{'lr': 1e-3, 'weight_decay': x} for x in (0.1, 0.0)]
  assert result.rate_of(heads[1], heads) == '0.001, decay 0'
  assert result.rate_of(heads[1], heads[1:]) == '0.001'
  # As written before.
  assert result.rate_of({'lr': 0.1}, [{'lr': 0.1}, {'lr': 1.0}]) == '0.1'
