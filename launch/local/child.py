"""One process of a run on this machine: its log, its lines, its end."""

import contextlib
import os
import pathlib
import re
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence

from launch.local import shares

# What moves the cursor of a terminal, as bars of several lines do.
_MOVES = re.compile(r'\x1b\[[0-9;?]*[A-Za-ln-z]')
# Of a line without an end, bytes that are kept in memory.
_LONGEST = 1 << 16


class Child:
  """A process in a group of its own, from its start to the end of its group.

  It writes into its log itself, so that nothing it says is lost, and neither a
  terminal that stands still nor the end of the launcher stops it.

  Attributes:
    number: of the process, from 0.
    pid: of it, and of its group.
    log: its file.
    code: that it ended with, as subprocess has it; None as long as it runs.
    ended: when it did, by time.monotonic.
    last: line that was read of it.
  """

  def __init__(
    self,
    number: int,
    command: Sequence[str],
    environment: Mapping[str, str],
    log: pathlib.Path,
    cores: Sequence[int] = (),
  ):
    """Starts it.

    Args:
      number: of the process, from 0.
      command: its words.
      environment: all its variables.
      log: its file.
      cores: of the CPU, that it and what it starts run on; (): on all.
    """
    self.number, self.log = number, log
    self.code: int | None = None
    self.ended = 0.0
    self.last = ''
    self._unended = b''
    # Where the launcher is killed, the system tells its processes to stop.
    tied = shutil.which('setpriv')
    tie = [tied, '--pdeathsig', 'TERM'] if tied else []
    with open(log, 'ab') as file:
      self._process = subprocess.Popen(
        [*tie, *shares.pinned(command, cores)],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=file,
        stderr=subprocess.STDOUT,
        # A group of its own: the terminal's Ctrl-C does not reach it, and what
        # it leaves behind, such as workers that read data, can be found.
        start_new_session=True,
      )
    self._reading = open(log, 'rb')  # noqa: SIM115
    self.pid = self._process.pid
    # A thread each, since the order in which they end tells the cause.
    self._waiting = threading.Thread(target=self._wait, daemon=True)
    self._waiting.start()

  def _wait(self) -> None:
    code = self._process.wait()
    self.ended = time.monotonic()
    self._signal_group(signal.SIGKILL)
    self.code = code

  def stop(self) -> None:
    """Tells it to save and stop.

    It alone: its workers are needed for the step that it is in.
    """
    self._process.terminate()

  def kill(self) -> None:
    """Ends it and all that it has started."""
    if self.code is None:
      self._signal_group(signal.SIGKILL)

  def _signal_group(self, number: int) -> None:
    # Nobody is left; or, on a Mac, only who has ended.
    with contextlib.suppress(ProcessLookupError, PermissionError):
      os.killpg(self.pid, number)

  def lines(self) -> Iterator[str]:
    """What it has said since the last call, as a terminal would end up showing.

    Of a bar, which is drawn over itself, the last state.
    """
    while found := self._reading.read(_LONGEST):
      *whole, self._unended = (self._unended + found).split(b'\n')
      if len(self._unended) > _LONGEST:
        # Of a bar that has drawn itself for hours, its last state.
        self._unended = self._unended.rpartition(b'\r')[2]
        if len(self._unended) > _LONGEST:
          whole.append(self._unended)
          self._unended = b''
      for line in whole:
        yield from self._shown(line)
    if self.code is not None and self._unended:
      line, self._unended = self._unended, b''
      yield from self._shown(line)

  def _shown(self, line: bytes) -> Iterator[str]:
    line = line.rstrip(b'\r').rpartition(b'\r')[2]
    text = _MOVES.sub('', line.decode(errors='replace')).rstrip()
    if text:
      self.last = text
      yield text

  def close(self) -> None:
    """Frees what reading takes."""
    self._waiting.join()
    self._reading.close()
