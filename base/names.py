"""A name out of several: what was meant, if it is none of them."""

import difflib
import re
from collections.abc import Collection

# Of letters that two names share, in their order: a typo in a word of three
# letters leaves two thirds. Words that have less in common are no help.
_NEAR = 0.6


def nearest(name: str, choices: Collection[str]) -> str:
  """The choice that is most like `name`; '' where none is like it.

  The last part of a path counts as well: 'image' is like
  'steps/observation/image'. So does a beginning: 'val' is like 'validation'.
  """

  def likeness(choice: str) -> tuple[float, float]:
    whole = _ratio(name, choice)
    begins = len(name) > 1 and choice.startswith(name)
    return max(begins * _NEAR, whole, _ratio(_last(name), _last(choice))), whole

  found = max(choices, key=likeness, default='')
  return found if likeness(found)[0] >= _NEAR else ''


def did_you_mean(name: str, choices: Collection[str]) -> str:
  """The end of a message, with the nearest choice; '' where none is near."""
  near = nearest(name, choices)
  return f'; did you mean {near!r}?' if near else ''


def choose(what: str, name: str, choices: Collection[str]) -> str:
  """`name`, if it is one of the choices.

  Args:
    what: it names, such as the option 'model.size'.
    name: given.
    choices: that there are.

  Raises:
    ValueError: it is none of them; all are named, and one that is near.
  """
  if name not in choices:
    listed = ', '.join(choice or "''" for choice in choices)
    raise ValueError(
      f'unknown {what} {name!r}: expected one of {listed}'
      + did_you_mean(name, choices)
    )
  return name


def _ratio(one: str, other: str) -> float:
  return difflib.SequenceMatcher(None, one.lower(), other.lower()).ratio()


def _last(name: str) -> str:
  return re.split(r'[./:]', name)[-1]
