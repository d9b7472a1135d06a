"""Memory that a worker lends is not written to while anyone reads it."""

import gc
import multiprocessing

import numpy as np
import pytest

from data import shared

pytestmark = pytest.mark.skipif(not shared.AVAILABLE, reason='Linux only')


@pytest.fixture
def pair():
  return shared.Lender(), shared.Borrower()


def lend(lender, value, shape=(3, 5, 2)):
  array = lender.empty(shape, np.dtype(np.float32))
  array[:] = value
  return lender.lend(array)


def test_what_was_written_is_read(pair):
  lender, borrower = pair
  array = borrower.borrow(lend(lender, 7))
  assert array.shape == (3, 5, 2)
  assert array.dtype == np.float32
  np.testing.assert_array_equal(array, 7)


def test_memory_is_used_again_when_the_reader_lets_go(pair):
  lender, borrower = pair
  files = set()
  for value in range(20):
    loan = lend(lender, value)
    files.add(loan.file)
    array = borrower.borrow(loan)
    np.testing.assert_array_equal(array, value)
    del array
    gc.collect(0)  # of all that other tests left, it takes long
  assert len(files) == 1


def test_a_view_keeps_the_memory(pair):
  lender, borrower = pair
  view = borrower.borrow(lend(lender, 1))[1:, ::2].reshape(-1)[2:]
  gc.collect()
  for value in (2, 3, 4):
    borrower.borrow(lend(lender, value))
  np.testing.assert_array_equal(view, 1)


def test_what_is_still_in_the_queue_is_not_overwritten(pair):
  lender, borrower = pair
  loans = [lend(lender, value) for value in range(3)]
  for value, loan in enumerate(loans):
    np.testing.assert_array_equal(borrower.borrow(loan), value)


def test_arrays_outlive_the_lender_and_the_borrower():
  lender, borrower = shared.Lender(), shared.Borrower()
  array = borrower.borrow(lend(lender, 5))
  del lender, borrower
  gc.collect()
  np.testing.assert_array_equal(array, 5)


def test_other_sizes_have_other_memory(pair):
  lender, borrower = pair
  small = borrower.borrow(lend(lender, 1, (2,)))
  large = borrower.borrow(lend(lender, 2, (9, 4)))
  np.testing.assert_array_equal(small, [1, 1])
  np.testing.assert_array_equal(large, 2)


def test_only_its_own_arrays_are_lent(pair):
  lender, _ = pair
  with pytest.raises(ValueError, match='made by `empty`'):
    lender.lend(np.zeros(3))


def _work(queue, done):
  queue.put(lend(shared.Lender(), 9))
  done.wait()


def test_between_processes_and_after_the_worker_has_ended():
  context = multiprocessing.get_context('spawn')
  queue, done = context.Queue(), context.Event()
  worker = context.Process(target=_work, args=(queue, done))
  worker.start()
  array = shared.Borrower().borrow(queue.get(timeout=60))
  done.set()
  worker.join()
  np.testing.assert_array_equal(array, 9)
