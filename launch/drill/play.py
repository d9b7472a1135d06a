"""What a drill says, checks and waits for."""

import time
from collections.abc import Callable

from base import console

_right = 0


def right() -> int:
  """How many checks of this process were."""
  return _right


def tell(what: str) -> None:
  """Says what is done next."""
  console.say(f'-- {what}')


def check(what: str, good: bool, found: object = '') -> None:
  """Says that something is as promised.

  Args:
    what: is promised.
    good: whether it is so.
    found: instead, for the error.

  Raises:
    ValueError: it is not.
  """
  global _right
  if not good:
    raise ValueError(f'not as promised: {what}; found {found!r}')
  _right += 1
  console.say(f'   right: {what}')


def wait(what: str, condition: Callable[[], bool], seconds: float) -> None:
  """Returns when something is so.

  Raises:
    ValueError: it is not, after so many seconds.
  """
  deadline = time.monotonic() + seconds
  while not condition():
    if time.monotonic() > deadline:
      raise ValueError(f'{what}: not so after {seconds:.0f} s')
    time.sleep(0.1)
