"""Being told to stop, by Ctrl-C or a signal, while processes run."""

import signal


class Stop:
  """Ctrl-C, SIGTERM, or a terminal that closes. A context manager.

  Attributes:
    by: name of the first signal; '' as long as nobody said so.
    kill: whether Ctrl-C was given again: nobody shall wait.
  """

  def __init__(self):
    self.by = ''
    self.kill = False
    self._previous = {}

  def __enter__(self) -> 'Stop':
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
      # As nohup wants it.
      if signal.getsignal(number) != signal.SIG_IGN:
        self._previous[number] = signal.signal(number, self._on_signal)
    return self

  def __exit__(self, *unused) -> None:
    for number, handler in self._previous.items():
      signal.signal(number, handler)

  def _on_signal(self, number, frame) -> None:
    del frame
    # Schedulers repeat SIGTERM; only a person means by it not to wait.
    self.kill |= bool(self.by) and number == signal.SIGINT
    self.by = self.by or signal.Signals(number).name
