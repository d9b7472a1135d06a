"""A command of a drill as processes of this machine, by `launch.local`."""

import contextlib
import pathlib
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence

from launch.drill import tiny

_LONG = 900.0  # seconds, of a busy machine


class Launched:
  """It runs, and writes into a file.

  Attributes:
    log: the file, with what all of its processes say.
    process: the launcher's.
  """

  def __init__(
    self, logs: pathlib.Path, flags: Sequence[str], command: Sequence[str]
  ):
    """Starts it.

    Args:
      logs: folder of the file, and of the processes' own.
      flags: of `launch.local`.
      command: that it starts.
    """
    logs.mkdir(exist_ok=True)
    self.log = logs / 'terminal.log'
    with open(self.log, 'w') as file:
      self.process = subprocess.Popen(
        [
          *(sys.executable, '-m', 'launch.local', f'--logs={logs}', *flags),
          *('--', *command),
        ],
        env=tiny.environment(),
        stdout=file,
        stderr=file,
      )

  def said(self) -> str:
    return self.log.read_text()

  def pids(self) -> list[int]:
    """Of the last start, by the number of the process."""
    *_, words = re.findall(r'; pids ([\d ]+)', self.said())
    return [int(word) for word in words.split()]

  def until(self, what: str, is_so: Callable[[], bool]) -> None:
    """Returns when something is so.

    Raises:
      ValueError: it ended before, or time is over.
    """
    deadline = time.monotonic() + _LONG
    while not is_so():
      if self.process.poll() is not None or time.monotonic() > deadline:
        raise ValueError(f'{what}: not so; {self.said()[-2000:]}')
      time.sleep(0.02)

  def end(self) -> int:
    """The exit code."""
    return self.process.wait(_LONG)


@contextlib.contextmanager
def launched(
  logs: pathlib.Path, flags: Sequence[str], command: Sequence[str]
) -> Iterator[Launched]:
  """Inside it runs; behind it is gone, and its processes with it."""
  made = Launched(logs, flags, command)
  try:
    yield made
  finally:
    if made.process.poll() is None:
      made.process.terminate()  # passed on
      with contextlib.suppress(subprocess.TimeoutExpired):
        made.process.wait(_LONG / 10)
      made.process.kill()
    made.process.wait()
