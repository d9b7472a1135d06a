"""A name out of several: what was meant, if it is none of them."""

import difflib
from collections.abc import Collection


def nearest(name: str, choices: Collection[str]) -> str:
  """The choice that is most like `name`; '' where there is no choice."""
  return next(iter(difflib.get_close_matches(name, choices, 1, cutoff=0)), '')


def choose(what: str, name: str, choices: Collection[str]) -> str:
  """`name`, if it is one of the choices.

  Args:
    what: it names, such as the option 'model.size'.
    name: given.
    choices: that there are.

  Raises:
    ValueError: it is none of them; the nearest one is named.
  """
  if name not in choices:
    listed = ', '.join(choice or "''" for choice in choices)
    raise ValueError(
      f'unknown {what} {name!r}: expected one of {listed}; did you '
      f'mean {nearest(name, choices)!r}?'
    )
  return name
