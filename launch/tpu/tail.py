"""The log of a host as it grows, through a connection that may break."""

import subprocess
import threading
from collections.abc import Callable

from launch.tpu import gcloud
from launch.tpu.fleet import Fleet
from launch.tpu.machine import Host, Machines

_PAUSE = 5.0  # seconds before another connection


class Tail:
  """Shows the lines of one host's log; a context manager.

  gcloud begins a log again when its connection broke: what was shown is known
  by its place, and is not shown again.
  """

  def __init__(
    self,
    machines: Machines,
    fleet: Fleet,
    host: Host,
    attempt: int,
    show: Callable[[str], None],
    *,
    offset: int = -4000,
    follow: bool = True,
  ):
    """Of an attempt.

    Args:
      machines: of the host.
      fleet: likewise.
      host: whose log.
      attempt: its number.
      show: what to do with a line.
      offset: bytes to leave out; below 0: so many of the end are shown.
      follow: until the attempt is over.
    """
    self._words = lambda: machines.run_words(
      fleet.command(
        'log',
        f'--attempt={attempt}',
        f'--offset={self._place or offset}',
        *(['--follow'] if follow else []),
      ),
      host,
    )
    self._show, self._follow = show, follow
    self._place = 0  # where the line behind the last that was shown begins
    self._closed = threading.Event()
    self._process: subprocess.Popen | None = None
    self._thread = threading.Thread(target=self._run, daemon=True)

  def __enter__(self) -> 'Tail':
    self._thread.start()
    return self

  def __exit__(self, *unused) -> None:
    self._closed.set()
    if self._process:
      gcloud.end(self._process)
    self._thread.join()

  def wait(self, seconds: float | None = None) -> None:
    """Until the log is at its end."""
    self._thread.join(seconds)

  def _run(self) -> None:
    while not self._closed.is_set():
      with subprocess.Popen(
        self._words(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
      ) as process:
        self._process = process
        if self._closed.is_set():
          gcloud.end(process)
        for line in process.stdout:
          self._one(line)
      if process.returncode == 0 or not self._follow:
        return
      self._closed.wait(_PAUSE)

  def _one(self, line: bytes) -> None:
    place, colon, text = line.rstrip(b'\n').partition(b':')
    if not colon or not place.isdigit() or int(place) <= self._place:
      return
    self._place = int(place)
    self._show(text.decode(errors='replace'))
