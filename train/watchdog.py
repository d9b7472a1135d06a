"""Work that is stuck is told, and ended, so that it can be started again."""

import faulthandler
import os
import sys
import threading

import jax

from base import exits
from base.console import duration

_TICKS = 20  # looks at the clock within the limit


class Watchdog:
  """Ends a process whose loop has not come on for too long.

  A process that hangs in an operation on devices, or in a read, still gives
  signs of life to the others, which wait for it for ever. A context manager.
  """

  def __init__(self, limit_sec: float):
    """Starts to watch when entered.

    Args:
      limit_sec: seconds without a call of `now` after which all stacks are
        printed and the process ends with FAULT; 0: never. Half of it is told.
    """
    if limit_sec < 0:
      raise ValueError(
        f'config.watchdog.limit_sec={limit_sec} must be seconds, or 0 for no '
        'limit'
      )
    self._limit = limit_sec
    self._what = 'the first step'
    self._waited = 0.0
    self._over = threading.Event()
    self._thread = threading.Thread(
      target=self._watch, name='watchdog', daemon=True
    )

  def now(self, what: str) -> None:
    """The loop has come to something, such as 'step 7'."""
    self._what, self._waited = what, 0.0

  def __enter__(self) -> 'Watchdog':
    if self._limit:
      self._thread.start()
    return self

  def __exit__(self, *unused) -> None:
    self._over.set()
    if self._limit:
      self._thread.join()

  def _watch(self) -> None:
    tick, told = self._limit / _TICKS, ''
    # Ticks are counted, not seconds: while the process is held (Ctrl-Z) it
    # cannot come on.
    while not self._over.wait(tick):
      self._waited += tick
      if self._waited >= self._limit:
        self._end()
      if self._waited >= self._limit / 2 and told != self._what:
        told = self._what
        print(f'{self._where()}, the limit is {duration(self._limit)}', flush=1)

  def _where(self) -> str:
    waited = duration(self._waited)
    return f'process {jax.process_index()} is at {self._what} since {waited}'

  def _end(self) -> None:
    print(
      f'{self._where()}, the limit (config.watchdog.limit_sec): it is stuck '
      'and ends; where each thread is:',
      file=sys.stderr,
      flush=True,
    )
    faulthandler.dump_traceback(all_threads=True)
    sys.stdout.flush()
    # The main thread is stuck: nothing else ends it.
    os._exit(exits.FAULT)
