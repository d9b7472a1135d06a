"""Arrays that a worker process fills and its parent reads, without a copy.

New memory is dear: the kernel finds and clears every page, which for a batch of
video costs as much as resizing it. So the worker's segments are used again as
soon as the parent has let go of the arrays in them.

A segment is an anonymous file (memfd) that the parent opens through /proc: it
has no name to clean up, ends with the processes that map it, however they end,
and does not count against /dev/shm, which containers keep small. Its first byte
says whether it is lent.
"""

import ctypes
import dataclasses
import mmap
import os
import sys
import weakref

import numpy as np

AVAILABLE = sys.platform == 'linux'  # elsewhere grain copies

_HEADER = 64  # bytes; what JAX takes on a CPU without a copy is aligned so


@dataclasses.dataclass(frozen=True)
class Loan:
  """Where an array is, in plain values that a queue can carry."""

  process: int
  file: int  # its descriptor in that process
  shape: tuple[int, ...]
  dtype: np.dtype


class Lender:
  """The worker's side: as many segments as are lent at a time."""

  def __init__(self):
    self._segments: list[tuple[mmap.mmap, int]] = []

  def empty(self, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """An array to fill and `lend`, in a segment that nobody reads."""
    size = _HEADER + int(np.prod(shape)) * np.dtype(dtype).itemsize
    for memory, _ in self._segments:
      # Of the very size: batches are all alike.
      if len(memory) == size and not memory[0]:
        break
    else:
      file = os.memfd_create('scale4d')
      os.truncate(file, size)
      memory = mmap.mmap(file, size)
      self._segments.append((memory, file))
    memory[0] = 1
    return np.ndarray(shape, dtype, buffer=memory, offset=_HEADER)

  def lend(self, array: np.ndarray) -> Loan:
    """What the parent's `Borrower` needs to see an array of `empty`."""
    for memory, file in self._segments:
      if memory is array.base:
        return Loan(os.getpid(), file, array.shape, array.dtype)
    raise ValueError('only arrays made by `empty` can be lent')


class Borrower:
  """The parent's side."""

  def __init__(self):
    self._segments: dict[tuple[int, int], mmap.mmap] = {}

  def borrow(self, loan: Loan) -> np.ndarray:
    """The lent array; given back when it and all its views are gone."""
    key = loan.process, loan.file
    if key not in self._segments:
      with open(f'/proc/{loan.process}/fd/{loan.file}', 'r+b') as file:
        self._segments[key] = mmap.mmap(file.fileno(), 0)
    memory = self._segments[key]
    # NumPy makes a view of a view refer to what is below both: this object,
    # one for each loan, so its end is the end of them all.
    held = (ctypes.c_char * len(memory)).from_buffer(memory)
    # At exit the mapping may be gone before.
    weakref.finalize(held, _give_back, memory).atexit = False
    return np.ndarray(loan.shape, loan.dtype, buffer=held, offset=_HEADER)


class Board:
  """Where each worker says which process it is, what it is at, and that it is.

  Attributes:
    place: what a worker needs for its `slot`.
  """

  def __init__(self, workers: int):
    self._table, self.place = np.zeros([workers, 3], np.int64), None
    if AVAILABLE:
      file = os.memfd_create('scale4d')
      os.truncate(file, self._table.nbytes)
      self._table = _table(file, workers)
      self.place = os.getpid(), file
      weakref.finalize(self, os.close, file)
    self._table[:, 1] = -1

  def read(self, worker: int) -> tuple[int, int, int]:
    """(pid, what it is at, signs of life) of one; (0, -1, 0): not yet up."""
    return tuple(self._table[worker].tolist())

  def pids(self) -> list[int]:
    """Of those that are up."""
    return [pid for pid in self._table[:, 0].tolist() if pid]


def slot(
  place: tuple[int, int] | None, worker: int, workers: int
) -> np.ndarray | None:
  """In a worker: the numbers that a `Board` of its parent shows of it."""
  if place is None:
    return None
  process, file = place
  with open(f'/proc/{process}/fd/{file}', 'r+b') as opened:
    own = _table(opened.fileno(), workers)[worker]
  own[0] = os.getpid()
  return own


def _table(file: int, workers: int) -> np.ndarray:
  memory = mmap.mmap(file, 24 * workers)
  return np.ndarray([workers, 3], np.int64, buffer=memory)


def _give_back(memory: mmap.mmap) -> None:
  memory[0] = 0
