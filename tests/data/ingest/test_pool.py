import multiprocessing
import os
import signal
import time

import pytest

from base import stops
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


@pytest.mark.parametrize('number', stops.SIGNALS)
def test_a_stop_is_for_the_parent_alone(number):
  """A terminal sends it to all processes, and Slurm: one of them decides."""
  pool = Pool(1, limit_s=60)
  pool.add(Task(signal.raise_signal, (number,)))
  assert outcomes(pool) == {(number,): None}


def test_a_worker_that_dies_idle_is_replaced():
  """A pipe without its reader breaks when the next task is sent."""
  pool = Pool(1, limit_s=60)
  pool.add(Task(os.getpid, ()))
  found = pool.outcomes()
  _, pid = next(found)
  (worker,) = [x for x in multiprocessing.active_children() if x.pid == pid]
  worker.kill()
  worker.join()
  pool.add(Task(double, (4,)))
  assert [outcome for _, outcome in found] == [8]


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
