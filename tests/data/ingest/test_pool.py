import os
import signal
import time

import pytest

from data.ingest.pool import Died, Pool, Task


def double(number):
  return 2 * number


def fails():
  raise KeyError('a reason')


def outcomes(pool):
  return {task.arguments: outcome for task, outcome in pool.outcomes()}


@pytest.mark.parametrize('workers', [0, 2])
def test_results_and_errors_come_back(workers):
  pool = Pool(workers, limit_s=60)
  for number in range(5):
    pool.add(Task(double, (number,)))
  pool.add(Task(fails, ()))
  found = outcomes(pool)
  assert isinstance(found.pop(()), KeyError)
  assert found == {(number,): 2 * number for number in range(5)}


def test_death_and_hanging_are_outcomes():
  pool = Pool(1, limit_s=2)
  pool.add(Task(os.kill, (0, 0)))  # signal 0 does nothing: a healthy task
  pool.add(Task(signal.raise_signal, (signal.SIGKILL,)))
  pool.add(Task(time.sleep, (100,)))
  pool.add(Task(double, (4,)))
  found = outcomes(pool)
  assert isinstance(found[signal.SIGKILL,], Died)
  assert 'exit code -9' in str(found[signal.SIGKILL,])
  assert 'more than 2 seconds' in str(found[100,])
  assert found[4,] == 8


def test_ctrl_c_is_for_the_parent_alone():
  """A terminal sends it to all processes; a worker would show a traceback."""
  pool = Pool(1, limit_s=60)
  pool.add(Task(signal.raise_signal, (signal.SIGINT,)))
  assert outcomes(pool) == {(signal.SIGINT,): None}


def test_more_can_be_added_on_the_way():
  pool = Pool(0, limit_s=60)
  pool.add(Task(double, (1,)))
  pool.add(Task(double, (5,)))
  order = []
  for task, outcome in pool.outcomes():
    order.append(outcome)
    if task.arguments == (1,):
      pool.add(Task(double, (2,)), first=True)
  assert order == [2, 4, 10]
