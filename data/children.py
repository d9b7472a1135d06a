"""Processes that work for this one: they leave a stop to it, and end with it.

A terminal sends Ctrl-C, and Slurm SIGTERM, to workers as well; the steps until
the save need them.
"""

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from multiprocessing import resource_tracker

from base import stops


@contextlib.contextmanager
def deaf() -> Iterator[None]:
  """Inside, processes that this thread starts hear no stop.

  From their first moment: what is blocked here stays so in them, and they take
  seconds until they run our code. Other threads of this process hear it.
  """
  # Python's own helper ignores Ctrl-C and SIGTERM alone; starting it lets these
  # two through afterwards.
  before = signal.pthread_sigmask(signal.SIG_BLOCK, stops.SIGNALS)
  resource_tracker.ensure_running()
  signal.pthread_sigmask(signal.SIG_BLOCK, stops.SIGNALS)
  try:
    yield
  finally:
    signal.pthread_sigmask(signal.SIG_SETMASK, before)


def begin() -> None:
  """To be called in such a process: it dies with its parent, if that is killed.

  It may not be told so otherwise, or be at work for minutes.
  """
  for number in stops.SIGNALS:
    signal.signal(number, signal.SIG_IGN)
  threading.Thread(target=_follow, daemon=True).start()


def _follow() -> None:
  multiprocessing.parent_process().join()
  os._exit(1)  # other threads would wait for ever
