"""Two programs take turns on one machine, so that what else runs slows both.

One of them is this process, the other its child, which waits on stdin.
"""

import contextlib
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence

_REST_SEC = 0.3  # threads that spin for work have stopped by then


def serve(step: Callable[[], None]) -> None:
  """The child's side: a step, and its seconds on stdout, for each line."""
  print('ready', flush=True)
  # A line is a turn; the end of input ends the child with its parent.
  for _ in sys.stdin:
    started = time.perf_counter()
    step()
    print(time.perf_counter() - started, flush=True)


@contextlib.contextmanager
def peer(command: Sequence[str], needs: str) -> Iterator[subprocess.Popen]:
  """A child that serves steps, warmed up.

  Args:
    command: that runs it.
    needs: what its interpreter must have, for the error.

  Raises:
    ValueError: it does not start; its own message is on stderr.
  """
  with subprocess.Popen(
    command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
  ) as process:
    # Libraries may have printed lines of their own before.
    if 'ready' not in map(str.strip, process.stdout):
      raise ValueError(
        f'{" ".join(command)} did not start (exit {process.wait()}): it needs '
        f'{needs}'
      )
    yield process
    process.stdin.close()


def take(
  step: Callable[[], None], process: subprocess.Popen, rounds: int
) -> tuple[list[float], list[float]]:
  """Seconds of every timed step: (ours, the peer's)."""
  ours, theirs = [], []
  for _ in range(rounds):
    time.sleep(_REST_SEC)
    started = time.perf_counter()
    step()
    ours.append(time.perf_counter() - started)
    time.sleep(_REST_SEC)
    print(file=process.stdin, flush=True)
    theirs.append(float(process.stdout.readline()))
  return ours, theirs


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
  """How many times faster we are: the median of pairs."""
  # Of pairs: both had the same machine at the same time.
  return statistics.median(b / a for a, b in zip(ours, theirs))
