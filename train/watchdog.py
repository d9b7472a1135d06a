"""Work that does not come on is told, and ended, so that it starts again."""

import contextlib
import faulthandler
import socket
import sys
import threading
from collections.abc import Callable, Iterator

import jax

from base import exits, stops
from base.console import duration
from train import processes

_MOST = 8  # other processes of which a line tells
_TICKS = 20  # looks at the clock within the limit, and until the first line


class Watchdog:
  """Says what a loop waits for, and ends its process after too long.

  A process that hangs in an operation on devices, or in a read, still gives
  signs of life to the others, which wait for it for ever. A context manager;
  nothing is watched before the first `now`.
  """

  def __init__(self, *, tell_sec: float, limit_sec: float):
    """Starts to watch when entered.

    Args:
      tell_sec: seconds without a call of `now` after which a line says where
        the process is; then after twice, four times ... as long. 0: never.
      limit_sec: after which all stacks are printed and the process ends with
        FAULT; 0: never.
    """
    for name, value, zero in (
      ('tell_sec', tell_sec, 'silence'),
      ('limit_sec', limit_sec, 'no limit'),
    ):
      if value < 0:
        raise ValueError(
          f'config.watchdog.{name}={value} must be seconds, or 0 for {zero}'
        )
    self._tell, self._limit = tell_sec, limit_sec
    self._tick = min(filter(None, (tell_sec, limit_sec)), default=0.0) / _TICKS
    self._at: _At | None = None
    self._over = threading.Event()
    self._thread = threading.Thread(
      target=self._watch, name='watchdog', daemon=True
    )

  def now(
    self,
    what: str,
    detail: Callable[[], str] | None = None,
    give_up: Callable[[Exception], None] | None = None,
  ) -> None:
    """The loop has come to something.

    Args:
      what: such as 'step 7'; '': to what has its own limit.
      detail: what is waited for there, as of when it is called.
      give_up: is given an error to raise where the loop waits, when the limit
        is over: so that it can save. It has half of the limit for that.
    """
    self._at = _At(what, detail, give_up, self._tell) if what else None

  @contextlib.contextmanager
  def at(self, what: str) -> Iterator[None]:
    """Inside, the process is at something."""
    self.now(what)
    try:
      yield
    finally:
      self.now('')

  def __enter__(self) -> 'Watchdog':
    if self._tick:
      self._thread.start()
    return self

  def __exit__(self, *unused) -> None:
    self._over.set()
    if self._tick:
      self._thread.join()

  def _watch(self) -> None:
    # Ticks are counted, not seconds: while the process is held (Ctrl-Z) it
    # cannot come on.
    told = None
    while not self._over.wait(self._tick):
      at = self._at
      if told not in (None, at):
        told = None
        processes.stuck_at('')
      if at is None:
        continue
      at.waited += self._tick
      if self._tell and at.waited >= at.tell_next:
        at.tell_next *= 2
        limit = f'; the limit is {duration(self._limit)}' if self._limit else ''
        told, others = at, processes.stuck_at(str(at))
        print('; '.join([f'{at}{limit}', *others[:_MOST]]), flush=True)
      if self._limit and at.waited >= self._limit:
        self._end(at)

  def _end(self, at: '_At') -> None:
    if at.has_given_up:
      if at.waited >= 1.5 * self._limit:
        self._leave()
      return
    print(
      f'{at}, the limit (config.watchdog.limit_sec): it is stuck and ends; '
      'where each thread is:',
      file=sys.stderr,
      flush=True,
    )
    faulthandler.dump_traceback(all_threads=True)
    if at.give_up is None:
      self._leave()
    at.has_given_up = True
    at.give_up(
      TimeoutError(f'{at}, more than config.watchdog.limit_sec={self._limit:g}')
    )

  def _leave(self) -> None:
    sys.stdout.flush()
    # The main thread is stuck: nothing else ends it.
    stops.end(exits.FAULT)


class _At:
  """What the loop is at, and since when."""

  def __init__(self, what, detail, give_up, tell_next: float):
    self.what, self.detail, self.give_up = what, detail, give_up
    self.waited, self.tell_next = 0.0, tell_next
    self.has_given_up = False

  def __str__(self) -> str:
    who = f'process {jax.process_index()} on {socket.gethostname()}'
    detail = f': it waits for {self.detail()}' if self.detail else ''
    return f'{who} is at {self.what} since {duration(self.waited)}{detail}'
