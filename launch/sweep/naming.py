"""What the runs of a sweep are called: their folders, and runs of W&B."""

import hashlib
import pathlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

from launch.sweep.runs import Item

_MOST = 60  # characters
_GOOD = re.compile(r'[A-Za-z0-9][A-Za-z0-9._+-]*')
_OURS = ('report',)  # folders beside those of runs


def named(items: Sequence[Item], known: Mapping[str, str]) -> dict[str, Item]:
  """Name -> run, in order.

  A name is made of the first options by which a run differs from the others,
  as 'size-S_lr-0.0003'. A run that has a folder keeps its name, whatever runs
  have been added.

  Args:
    items: of the sweep.
    known: identity of a run that has a folder -> its name.

  Raises:
    ValueError: the same run twice, or two of the same name.
  """
  found: dict[str, Item] = {}
  taken: dict[str, str] = {}  # name, whatever its case -> name
  seen = set()
  for item, name in zip(items, _by_what_differs(items)):
    said = ' '.join(item.flags('DIR'))
    if item.identity in seen:
      raise ValueError(f'the sweep yields the same run twice: {said}')
    seen.add(item.identity)
    name = known.get(item.identity) or item.name or name
    if not _GOOD.fullmatch(name) or len(name) > _MOST or name in _OURS:
      raise ValueError(
        f'{name!r} cannot name a run: expected up to {_MOST} letters, digits '
        f"and '._+-', and none of {', '.join(_OURS)}"
      )
    # Some disks take 'g' and 'G' for the same.
    other = taken.setdefault(name.lower(), name)
    if name in found or other != name:
      raise ValueError(
        f'two runs would be called {other!r} and {name!r}: give one of them '
        f"another by {{'name': ...}}: {said}"
      )
    found[name] = item
  strange = set(known.values()) & {
    name for name, item in found.items() if item.identity not in known
  }
  if strange:
    name = sorted(strange)[0]
    raise ValueError(
      f'{name} is there already, as a run of other overrides than '
      f'{" ".join(found[name].flags("DIR"))}: choose another --workdir, or '
      "give this one another by {'name': ...}"
    )
  return found


def _by_what_differs(items: Sequence[Item]) -> list[str]:
  options = [_options(item) for item in items]
  kept: list[str] = []
  apart = 1  # groups of runs that are told apart so far
  for key in dict.fromkeys(key for each in options for key in each):
    groups = {tuple(_text(x.get(k)) for k in [*kept, key]) for x in options}
    if len(groups) > apart:
      kept, apart = [*kept, key], len(groups)
  return [
    _cut(
      _joined(kept, each)
      # Of a run without any of these, what it has by itself.
      or _joined(list(item.overrides), each)
      or pathlib.Path(item.recipe.partition(':')[0]).stem,
      item,
    )
    for item, each in zip(items, options)
  ]


def _joined(keys: Sequence[str], options: Mapping[str, Any]) -> str:
  """'size-S_lr-0.001'; a key without its section, where that is enough."""
  ends = [key.rpartition('.')[2] for key in keys]
  return '_'.join(
    f'{end if ends.count(end) == 1 else key}-{_text(options[key])}'
    for key, end in zip(keys, ends)
    if key in options
  )


def _options(item: Item) -> dict[str, Any]:
  """All that may differ: recipe, its arguments, overrides."""
  path, _, argument = item.recipe.partition(':')
  pairs = (pair.partition('=') for pair in argument.split(',') if pair)
  return {
    'recipe': pathlib.Path(path).stem,
    **{key: value for key, _, value in pairs},
    **item.overrides,
  }


def _text(value: Any) -> str:
  """As part of a name; of an option that is not given, nothing."""
  if value is None:
    return ''
  if isinstance(value, (tuple, list)):
    return 'x'.join(_text(each) for each in value)
  if isinstance(value, Mapping):
    return _text(value['run'])
  said = f'{value:g}' if isinstance(value, float) else f'{value}'
  return re.sub(r'[^A-Za-z0-9.+-]+', '-', said).strip('-')


def _cut(name: str, item: Item) -> str:
  """At most _MOST characters; what is cut, a hash stands for."""
  if len(name) <= _MOST:
    return name
  mark = hashlib.sha256(item.identity.encode()).hexdigest()[:8]
  return f'{name[: _MOST - 9]}-{mark}'
