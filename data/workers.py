"""Elements of batches, made in order by grain's worker processes.

A worker may die (out of memory, a fault in a decoder) or hang (a decoder, a
disk that does not answer). What an element holds is a function of its number,
so all workers are then replaced by new ones, which begin with the element that
is waited for: the bits are the same.
"""

import functools
import multiprocessing
import queue
import re
import socket
import threading
import weakref
from collections.abc import Callable
from typing import Any

import grain
from absl import flags

from base import command
from base.console import duration
from data import children, remote, shared

_TRIES = 3  # times that workers are replaced for one element
# In which one must have begun its first element, if the limit is shorter: it
# imports libraries, perhaps from a disk of a network.
_BEGIN_SEC = 60.0
_TICKS = 20  # looks at a worker within the limit
_CLOSE_SEC = 3.0  # within which workers are to end; then they are killed

Element = tuple[dict[str, Any], Any]  # arrays, or loans of them; anything


class Stalled(TimeoutError):
  """An element has not come, whatever workers were given it."""


class Closed(Exception):
  """`close` was called, in another thread, while an element was waited for."""


class _Gone(Exception):
  """Why workers are to be replaced."""


class Workers:
  """An endless iterator; `close` ends the processes, and who waits."""

  def __init__(
    self,
    work: Callable[[int], Any],
    *,
    count: int,
    stalled_sec: float,
    tell: Callable[[int, int], str],
  ):
    """Starts them.

    Args:
      work: number of an element -> what has all from there on, by
        __getitem__, to be pickled into the workers.
      count: of the processes.
      stalled_sec: seconds in which one that is waited for must have come on,
        by what it told `note`.
      tell: (element, what was noted last or -1) -> for people.
    """
    self._start = functools.partial(_Crew, work, count)
    self._count, self._limit, self._tell = count, stalled_sec, tell
    self._next = self._replaced = 0
    self._lock = threading.Lock()
    self._is_closed = False
    self._crews = [self._start(0)]  # the last one is at work

  def __next__(self) -> Element:
    """The next element; its arrays are given back when they are gone.

    Raises:
      Closed: by another thread.
      Stalled: neither the worker nor those in its place came on.
    """
    gone = ''
    for _ in range(1 + _TRIES):
      if gone:
        self._replace(gone)
      try:
        element = self._crews[-1].get(self._next, self._limit, self._waits)
        self._next += 1
        return element
      except _Gone as why:
        gone = f'{self.at()}: {why}'
    self._crews[-1].leave(kill=True)
    raise Stalled(
      f'{gone}, and so it was with {_TRIES} in its place: look at the disk and '
      'at the record (`python -m data.inspect`), or raise '
      f'config.data.stalled_sec={self._limit:g}; the same command goes on'
    )

  def at(self) -> str:
    """What is waited for, and of whom."""
    worker, pid, noted, _ = self._crews[-1].at(self._next)
    process = f'pid {pid}' if pid else 'not up yet'
    what = self._tell(self._next, noted)
    return f'worker {worker} ({process}) on {socket.gethostname()}, {what}'

  def _waits(self, waited: float, limit: float) -> None:
    print(
      f'{self.at()}: it has not come on for {duration(waited)}, and is '
      f'replaced after {duration(limit)}',
      flush=True,
    )

  def _replace(self, gone: str) -> None:
    with self._lock:
      if self._is_closed:
        raise Closed
      self._crews[-1].leave(kill=True)
      # Those that are gone let go of the memory that they lent.
      there = [crew for crew in self._crews if crew.is_there()]
      self._crews = [*there, self._start(self._next)]
    self._replaced += 1
    others = f', with the other {self._count - 1}' if self._count > 1 else ''
    print(
      f'{gone}: replaced{others}; workers were replaced {self._replaced} '
      'times so far',
      flush=True,
    )

  def close(self) -> None:
    """Ends the processes; may be called while another thread waits."""
    with self._lock:
      self._is_closed = True
      self._crews[-1].leave(kill=False)
    for crew in self._crews:
      crew.end()


class _Crew:
  """Workers that began together, and the thread that has what they make."""

  def __init__(self, work, count: int, first: int):
    self._count, self._first = count, first
    self._board = shared.Board(count)
    self._borrower = shared.Borrower()
    # `get` asks, the thread gives; the first element is not asked for, since
    # workers take seconds to start, while the caller compiles.
    self._asks, self._gives = queue.SimpleQueue(), queue.SimpleQueue()
    self._has_begun = False
    _CREWS.add(self)
    self._thread = threading.Thread(
      target=self._read, args=[work(first)], name='workers', daemon=True
    )
    self._thread.start()

  def _read(self, elements: Any) -> None:
    """In the thread: who waits in grain can neither be woken nor look about."""
    with children.deaf():
      try:
        iterator = iter(_dataset(elements, self._count, self._board.place))
        try:
          self._gives.put((next(iterator), None))
          while self._asks.get():
            self._gives.put((next(iterator), None))
        finally:
          iterator.close()
      except Exception as error:  # whatever it is, `get` raises it
        self._gives.put((None, error))

  def at(self, element: int) -> tuple[int, int, int, int]:
    """(worker, pid, noted, signs) of whose turn it is; 0 and -1: not yet."""
    worker = (element - self._first) % self._count
    return worker, *self._board.read(worker)

  def get(
    self, element: int, limit: float, waits: Callable[[float, float], None]
  ) -> Element:
    """The next one.

    Args:
      element: its number.
      limit: seconds in which its worker must have come on.
      waits: is told (seconds that it has not, most of them), once.

    Raises:
      Closed, _Gone: see there; or what was raised in the worker.
    """
    if self._has_begun:
      self._asks.put(True)
    self._has_begun = True
    tick, waited, before = limit / _TICKS, 0.0, self.at(element)
    while True:
      try:
        given = self._gives.get(timeout=tick)
        break
      except queue.Empty:
        pass
      # Ticks are counted, not seconds: while all are held (Ctrl-Z) nobody can
      # come on.
      waited, now = waited + tick, self.at(element)
      if now != before:
        waited, before = 0.0, now
      patience = limit if now[2] >= 0 else max(limit, _BEGIN_SEC)
      if waited >= patience:
        raise _Gone(f'it has not come on for {duration(waited)}')
      if waited - tick < patience / 2 <= waited:
        waits(waited, patience)
    if given is None:
      raise Closed
    made, error = given
    if error is not None:
      # Of grain, which has no class for it.
      died = re.search('terminated unexpectedly with (exit .*?)\\.', f'{error}')
      if died:
        raise _Gone(f'it died ({died[1]})')
      raise error
    arrays, more = made
    try:
      return {k: self._taken(value) for k, value in arrays.items()}, more
    except (FileNotFoundError, PermissionError, ProcessLookupError) as error:
      # What it lent went with it.
      raise _Gone('it died') from error

  def _taken(self, value: Any) -> Any:
    is_lent = isinstance(value, shared.Loan)
    return self._borrower.borrow(value) if is_lent else value

  def leave(self, *, kill: bool) -> None:
    """Tells the thread, and who is in `get`, that no more is wanted."""
    if kill:
      self._kill()
    self._asks.put(False)
    self._gives.put(None)

  def _kill(self) -> None:
    # Those that have not come up are on no board.
    others = {pid for crew in _CREWS - {self} for pid in crew._board.pids()}
    for child in multiprocessing.active_children():
      is_ours = child.name.startswith('grain-process-prefetch')
      if is_ours and child.pid not in others:
        child.kill()

  def is_there(self) -> bool:
    """Whether its processes may be."""
    return self._thread.is_alive()

  def end(self) -> None:
    """Returns when the processes are gone, or cannot be made to go."""
    self._thread.join(_CLOSE_SEC)
    if self._thread.is_alive():
      self._kill()
      self._thread.join(_CLOSE_SEC)
    if self._thread.is_alive():
      print(
        f'workers on {socket.gethostname()} cannot be killed, as in a read of '
        'a disk that does not answer: they are left behind',
        flush=True,
      )
      command.leave_at_once()


def _dataset(
  elements: Any, workers: int, place: tuple[int, int] | None
) -> grain.IterDataset:
  """The elements, made by processes that say what they are at."""
  dataset = grain.MapDataset.source(elements)
  # One element is a whole part, so read-ahead inside a process only costs
  # memory: the processes themselves are the parallelism.
  dataset = dataset.to_iter_dataset(
    grain.ReadOptions(num_threads=0, prefetch_buffer_size=0)
  )
  if not flags.FLAGS.is_parsed():
    flags.FLAGS.mark_as_parsed()  # grain reads flags, in a notebook too
  return dataset.mp_prefetch(
    grain.MultiprocessingOptions(
      # One part is filled while the other waits: more would be memory only.
      num_workers=workers,
      per_worker_buffer_size=2,
    ),
    worker_init_fn=functools.partial(_begin, place),
  )


_CREWS: weakref.WeakSet[_Crew] = weakref.WeakSet()
# Of this process, if it is a worker: where it says what it is at.
_slot = None


def _begin(place: tuple[int, int] | None, worker: int, workers: int) -> None:
  """In a worker, before anything else."""
  global _slot
  children.begin()
  _slot = shared.slot(place, worker, workers)
  # A file of an object store may take longer than a worker, while it comes.
  remote.heard_by(_sign)


def _sign() -> None:
  """Says, in a worker, that it comes on with what it is at."""
  if _slot is not None:
    _slot[2] += 1


def note(what: int) -> None:
  """Says, in a worker, what it is at: it has come on."""
  if _slot is not None:
    _slot[1] = what
