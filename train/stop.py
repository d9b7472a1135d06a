"""Being told to stop: the run saves, and goes on another time."""

import contextlib
from concurrent.futures import Future

import jax

from base import stops
from train import processes


class StopRequest:
  """A stop that came while there is something to save. A context manager.

  In the main thread only: elsewhere signals cannot be taken.

  Attributes:
    asked: done when this process, where it is alone, was told to stop. Who
      waits for something else can wait for it too.
  """

  def __init__(self):
    self.asked: Future[str] = Future()
    self._held = contextlib.ExitStack()

  def __enter__(self) -> 'StopRequest':
    self._held.enter_context(stops.heard())
    return self

  def begin(self) -> None:
    """From here on a stop waits for a save; before, it ended the process."""
    self._held.enter_context(stops.taken(self._on_stop))
    if jax.process_count() > 1:
      processes.watch_for_notices()
      # JAX has its handler in place, and leaves it there.
      self._held.callback(stops.hear_again)

  def __exit__(self, *unused) -> None:
    self._held.close()

  def _on_stop(self, name: str) -> None:
    """In a thread."""
    if jax.process_count() > 1:
      # A pod's hosts hear of it at different moments; JAX's service, which
      # knows SIGTERM alone, makes them agree on one step.
      processes.notice()
      return
    print(f'{name}: saving after this step', flush=True)
    self.asked.set_result(name)

  def requested(self, step: int) -> bool:
    """Whether all processes should stop after `step`."""
    if jax.process_count() == 1:
      return self.asked.done()
    from jax.experimental import multihost_utils

    return multihost_utils.reached_preemption_sync_point(step)
