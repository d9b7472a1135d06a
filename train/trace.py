"""The steps of a run, some of them under the profiler."""

from collections.abc import Callable, Iterator, Sequence

import jax

from base import mirror
from base.console import say


def window(words: Sequence[str]) -> tuple[int, int] | None:
  """(first, last) of `--profile_steps`; None where it is empty.

  Raises:
    ValueError: not two step numbers in order.
  """
  if not words:
    return None
  if len(words) != 2 or not all(word.isdigit() for word in words):
    raise ValueError(f'--profile_steps={words} must be FIRST,LAST')
  first, last = map(int, words)
  if not 1 <= first <= last:
    raise ValueError(f'--profile_steps={words} must be 1 <= FIRST <= LAST')
  return first, last


class Steps:
  """Counts from one step to another; traces those of a window on the way.

  A context manager, which ends a trace that is still open: the run may begin
  within the window, and may be told to stop, or fail, before its end.
  """

  def __init__(
    self,
    folder: str,
    traced: tuple[int, int] | None,
    wait: Callable[[], None],
  ):
    """Prepares; traces nothing yet.

    Args:
      folder: of the trace, for TensorBoard and Perfetto.
      traced: first and last step of it.
      wait: for the device to end the steps that it was given.
    """
    self._folder, self._traced, self._wait = folder, traced, wait
    self._open = False

  def count(self, first: int, last: int) -> Iterator[int]:
    """The numbers from `first` to `last`; what is done in between is a step."""
    begin, end = self._traced or (last + 1, last)
    if end < first:
      say(f'--profile_steps={begin},{end} are done: this start traces nothing')
    for step in range(first, last + 1):
      # Also where a run that goes on begins within the window.
      if not self._open and begin <= step <= end:
        # The profiler knows folders of this machine only.
        self._mirror = mirror.Mirror(self._folder)
        jax.profiler.start_trace(self._mirror.folder)
        self._open = True
      yield step
      if step == end:
        self._close()

  def _close(self):
    if self._open:
      self._open = False
      # The device is a step behind: its work is to be in the trace.
      self._wait()
      jax.profiler.stop_trace()
      self._mirror.close()
      say(f'traced: {self._folder}')

  def __enter__(self) -> 'Steps':
    return self

  def __exit__(self, kind, *unused) -> None:
    if kind is not None:
      self._wait = lambda: None  # what went wrong is not to be met again
    self._close()
