"""Being told to stop: by Ctrl-C, SIGTERM, or a terminal that is closed.

Python calls handlers of signals between two lines of its main thread, which may
be minutes away (in a compiler) or never come (in a read of a disk that is
gone); and an exception raised there may be one too many for a library (JAX's,
while it is imported or collects garbage, aborts, or drops it). So a thread
hears them: it wakes who waits, or ends the process.
"""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from typing import NoReturn

from base import exits

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_PATIENCE = 5.0  # seconds in which what others wait for is given back


class Stopped(KeyboardInterrupt):
  """Told to stop, and nothing is left to save.

  Attributes:
    code: that the process is to end with.
  """

  def __init__(self, number: int):
    by_hand = number == signal.SIGINT
    self.code = exits.INTERRUPTED if by_hand else exits.AGAIN
    name = 'Ctrl-C' if by_hand else signal.Signals(number).name
    super().__init__(f'stopped by {name}: the same command starts again')


def hear() -> None:
  """From here on, a stop ends this process, in the middle of whatever it does.

  With AGAIN, or INTERRUPTED by Ctrl-C: there is nothing to save, until somebody
  has `taken` it. To be called in the main thread.
  """
  global _ear
  _ear = _ear or _Ear()


@contextlib.contextmanager
def heard() -> Iterator[None]:
  """Inside, `hear`; nothing where it was called, or in another thread."""
  global _ear
  if _ear or threading.current_thread() is not threading.main_thread():
    yield
    return
  hear()
  try:
    yield
  finally:
    _ear.close()
    _ear = None


@contextlib.contextmanager
def taken(save: Callable[[str], None]) -> Iterator[None]:
  """Inside, a stop does not end the process; a second Ctrl-C does.

  Args:
    save: is called once, by a thread, with the name of the first signal.

  Raises:
    Stopped: it came before.
  """
  check()
  if _ear:
    _ear.save = save
  try:
    yield
  finally:
    if _ear:
      _ear.save = None


def check() -> None:
  """To be called before more is done, where a stop was taken.

  Raises:
    Stopped: there was one.
  """
  if _ear and _ear.first:
    raise Stopped(_ear.first)


@contextlib.contextmanager
def giving_back(function: Callable[[], None]) -> Iterator[None]:
  """Inside, a stop that ends the process calls this before, in a thread."""
  _to_give_back.append(function)
  try:
    yield
  finally:
    _to_give_back.remove(function)


def hear_again() -> None:
  """After a library has put its own handlers of signals in place."""
  if _ear:
    _ear.install()


def end(code: int) -> NoReturn:
  """Ends this process and its workers on the spot, whatever its threads do."""
  workers = sys.modules.get('multiprocessing.process')
  for worker in workers.active_children() if workers else ():
    worker.kill()
  os._exit(code)


class _Ear:
  """Hears the signals of this process."""

  def __init__(self):
    self.first = 0  # signal that came
    self.save: Callable[[str], None] | None = None
    # What is ignored stays so: nohup, and scripts for what they start behind
    # them, want it.
    self._before = {
      number: signal.getsignal(number)
      for number in SIGNALS
      if signal.getsignal(number) != signal.SIG_IGN
    }
    self._out, self._in = os.pipe()
    os.set_blocking(self._in, False)
    self._woke = signal.set_wakeup_fd(self._in, warn_on_full_buffer=False)
    self._thread = threading.Thread(
      target=self._listen, name='stops', daemon=True
    )
    self._thread.start()
    self.install()

  def install(self) -> None:
    for number in self._before:
      signal.signal(number, self._on_signal)

  def close(self) -> None:
    for number, handler in self._before.items():
      signal.signal(number, handler)
    signal.set_wakeup_fd(self._woke)
    os.close(self._in)  # which ends the thread
    self._thread.join()
    os.close(self._out)

  def _on_signal(self, number, frame) -> None:
    """In the main thread, which goes on."""

  def _listen(self) -> None:
    while numbers := os.read(self._out, 64):
      for number in numbers:
        if number in self._before:
          self._hear(signal.Signals(number))

  def _hear(self, number: signal.Signals) -> None:
    """In the thread, at once."""
    if self.first:
      # Schedulers repeat SIGTERM; only a person means by it not to wait.
      if number == signal.SIGINT:
        end(exits.INTERRUPTED)
      return
    self.first = number
    if self.save:
      self.save(number.name)
    else:
      _leave(Stopped(number))


def _leave(stopped: Stopped) -> NoReturn:
  late = threading.Timer(_PATIENCE, end, [stopped.code])
  late.daemon = True
  late.start()
  os.write(1, f'{stopped}\n'.encode())
  for give_back in list(_to_give_back):
    give_back()
  end(stopped.code)


_ear: _Ear | None = None
_to_give_back: list[Callable[[], None]] = []
