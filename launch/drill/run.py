"""A training run of a drill: its start, log, processes, steps and end."""

import contextlib
import os
import pathlib
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

from launch.drill import tiny

_LONG = 300.0  # seconds, of a busy machine
_NOTICE = 60.0


class Run:
  """`python -m train` in a folder, writing into a file."""

  def __init__(
    self,
    workdir: pathlib.Path,
    *,
    steps: int,
    every: int,
    cache: pathlib.Path | None = None,
  ):
    """Starts nothing yet.

    Args:
      workdir: of the run; the log is beside it.
      steps: of training.
      every: steps between checkpoints.
      cache: folder of the rendered world; None: it is rendered each time.
    """
    self.workdir, self.cache = f'{workdir}', cache or ''
    self._steps, self._every = steps, every
    self._log = pathlib.Path(f'{workdir}.log')
    self._process: subprocess.Popen | None = None

  @contextlib.contextmanager
  def started(self, *changes: str) -> Iterator[None]:
    """Inside it runs; behind it is gone.

    Args:
      *changes: as 'eval.every=5'.
    """
    words = tiny.command(
      self.workdir, steps=self._steps, save_every=self._every
    )
    words += [f'--config.data.sources.world.cache={self.cache}']
    words += [f'--config.{change}' for change in changes]
    with open(self._log, 'w') as file:
      self._process = subprocess.Popen(
        [sys.executable, *words[1:]],
        env=tiny.environment(),
        stdout=file,
        stderr=file,
        start_new_session=True,
      )
    try:
      yield
    finally:
      with contextlib.suppress(ProcessLookupError):
        os.killpg(self._process.pid, signal.SIGKILL)
      self._process.wait()

  def said(self) -> str:
    return self._log.read_text()

  def until(self, what: str | Callable[[], bool]) -> None:
    """Returns when the log has a line, or something is so.

    Raises:
      ValueError: it ended before, or time is over.
    """
    is_so = what if callable(what) else lambda: re.search(what, self.said())
    deadline = time.monotonic() + _LONG
    while not is_so():
      if self._process.poll() is not None or time.monotonic() > deadline:
        raise ValueError(f'{what!r} has not come: {self.said()[-2000:]}')
      time.sleep(0.002)

  def send(self, number: int, *, to_group: bool = False) -> None:
    (os.killpg if to_group else os.kill)(self._process.pid, number)

  def end(self) -> int:
    return self._process.wait(_LONG)

  def listens(self) -> bool:
    """Whether it hears SIGTERM, which is before it has imported anything."""
    status = pathlib.Path(f'/proc/{self._process.pid}/status').read_text()
    caught = int(re.search(r'SigCgt:\s*(\w+)', status)[1], 16)
    return bool(caught >> (signal.SIGTERM - 1) & 1)

  def workers(self) -> list[int]:
    """Its processes that read data, in the order in which they were started."""
    return workers_of(self._process.pid)

  def left(self) -> list[int]:
    """Workers that outlive it: they have a minute to notice its end."""
    deadline = time.monotonic() + _NOTICE
    while (found := self.workers()) and time.monotonic() < deadline:
      time.sleep(0.05)
    return found

  def saves(self) -> bool:
    """Whether a checkpoint is being written."""
    names = os.listdir(f'{self.workdir}/checkpoints')
    return any('tmp' in name for name in names)

  def steps(self) -> tuple[int, int]:
    """Of the last line of its log of losses, and of its last checkpoint."""
    folder = pathlib.Path(self.workdir, 'checkpoints')
    names = os.listdir(folder) if folder.exists() else []
    saved = [int(name) for name in names if name.isdigit()]
    return max(tiny.losses(self.workdir), default=0), max(saved, default=0)


def workers_of(group: int) -> list[int]:
  """Those of a group of processes that read data and live, oldest first."""
  found = []
  for file in pathlib.Path('/proc').glob('[0-9]*/stat'):
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
      state, _, its_group = file.read_text().rpartition(')')[2].split()[:3]
      words = file.with_name('cmdline').read_bytes()
      is_alive = state not in 'ZX' and int(its_group) == group
      if is_alive and b'spawn_main' in words:
        found.append(int(file.parent.name))
  return sorted(found)
