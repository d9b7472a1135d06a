"""A name out of several."""

import difflib
from collections.abc import Collection


def choose(option: str, value: str, choices: Collection[str]) -> None:
  """Check.

  Args:
    option: whose value it is, as 'model.size'.
    value: given.
    choices: that there are.

  Raises:
    ValueError: `value` is none of the choices; the nearest one is named.
  """
  if value in choices:
    return
  near = difflib.get_close_matches(value, choices, n=1, cutoff=0)[0]
  raise ValueError(
    f'{option}={value!r} does not exist: expected one of '
    f'{", ".join(choices)}; did you mean {near!r}?'
  )
