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

  def processes(self) -> list[int]:
    """Those of its group that live, in the order in which they were started."""
    found = []
    for file in pathlib.Path('/proc').glob('[0-9]*/stat'):
      with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        state, _, group = file.read_text().rpartition(')')[2].split()[:3]
        if state not in 'ZX' and int(group) == self._process.pid:
          found.append(int(file.parent.name))
    return sorted(found)

  def workers(self) -> list[int]:
    """Of them those that read data."""
    found = []
    for pid in self.processes():
      with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        if b'spawn_main' in pathlib.Path(f'/proc/{pid}/cmdline').read_bytes():
          found.append(pid)
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
