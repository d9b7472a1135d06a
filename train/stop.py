"""Being told to stop: the run saves, and goes on another time."""

import signal
import threading

import jax


class StopRequest:
  """Ctrl-C or SIGTERM: the loop saves at the end of the step, then stops.

  A second Ctrl-C stops at once. A context manager. Signals are taken in the
  main thread of a single process only: on a pod, JAX's own service watches
  for SIGTERM.
  """

  def __init__(self):
    self._event = threading.Event()
    self._previous = {}

  def __enter__(self) -> 'StopRequest':
    main = threading.current_thread() is threading.main_thread()
    if main and jax.process_count() == 1:
      for number in (signal.SIGINT, signal.SIGTERM):
        self._previous[number] = signal.signal(number, self._on_signal)
    return self

  def __exit__(self, *unused) -> None:
    for number, handler in self._previous.items():
      signal.signal(number, handler)

  def _on_signal(self, number, frame) -> None:
    del frame
    if self._event.is_set() and number == signal.SIGINT:
      raise KeyboardInterrupt
    name = signal.Signals(number).name
    print(f'{name}: saving after this step', flush=True)
    self._event.set()

  def requested(self, step: int) -> bool:
    """Whether all processes should stop after `step`."""
    if jax.process_count() == 1:
      return self._event.is_set()
    # A pod's scheduler signals its hosts at different moments; JAX's service
    # makes them agree on one step.
    from jax.experimental import multihost_utils

    return multihost_utils.reached_preemption_sync_point(step)
