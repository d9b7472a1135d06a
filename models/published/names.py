"""What a file of published arrays is, and which parameters of ours they become.

What lies between theirs and ours is a name, a reshape and a stack of layers,
see `tables.py`, so a round trip keeps every bit.
"""

import collections
import math
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from models.published.tables import Part, Row, Shape, Shapes, parts

Sizes = dict[str, int]
_SHOWN = 5  # names in a message


class Leaf(NamedTuple):
  """One of our parameters, and the published arrays that it consists of."""

  keys: tuple[str, ...]
  published: Shape  # of each of these
  shape: Shape  # of ours
  stacked: bool  # along its first axis


class Layout(NamedTuple):
  """What a file, or a tree of parameters, is."""

  kind: str  # a name of `tables.KINDS`
  sizes: dict[str, Sizes]  # of axes, by the name of the part
  leaves: dict[str, Leaf]  # by our path, which begins with the part's name
  extra: tuple[str, ...] = ()  # what was there beside them

  def layers(self, name: str) -> int:
    """How many layers have parameters <name>_<number>/..."""
    pattern = re.compile(rf'{name}_(\d+)/')
    return len({m[1] for m in map(pattern.match, self.leaves) if m})


def of_file(path: str, shapes: Shapes) -> Layout:
  """What a file of these arrays is.

  Args:
    path: of the file, for messages.
    shapes: of its arrays, by name.

  Raises:
    ValueError: no known model, an array is missing, or shapes do not fit.
  """
  kind = _kind(path, shapes)
  found = parts(kind, shapes, published=True)
  rows = [
    (part, row, part.prefix + row.key) for part in found for row in part.table
  ]
  sizes = {part.name: Sizes() for part in found}
  for part, _, key in rows:
    # Layers are counted by the highest number that there is.
    for count in _counts(key):
      pattern = re.escape(key).replace(rf'\{{{count}\}}', r'(\d+)')
      numbers = [
        int(m[1]) for m in map(re.compile(pattern).fullmatch, shapes) if m
      ]
      size = max(numbers, default=0) + 1
      sizes[part.name][count] = max(sizes[part.name].get(count, 1), size)
  keys = {key: _keys(key, sizes[part.name]) for part, _, key in rows}
  missing = [
    key for every in keys.values() for key in every if key not in shapes
  ]
  if missing:
    raise ValueError(
      f'{path} is a file of kind {kind!r}, but lacks {some(missing)}: download '
      'it again, or save all of its arrays'
    )
  for part in found:
    _solve(
      path,
      sizes[part.name],
      [
        (key, row.axes, _filled(row, shapes[key]))
        for other, row, template in rows
        if other is part
        for key in keys[template]
      ],
    )
  known = {key for every in keys.values() for key in every}
  extra = tuple(sorted(shapes.keys() - known))
  for part in found:
    if part.beside is None:
      continue
    others = [key for key in extra if not key.startswith(part.beside)]
    if others:
      raise ValueError(
        f'{path} is a file of kind {kind!r}, but also holds {some(others)}: '
        f'expected beside the model only {", ".join(part.beside)}. Another '
        'version of it cannot be read'
      )
  return layout_of(kind, found, sizes, extra)


def of_params(kind: str, shapes: Shapes) -> Layout:
  """The layout of parameters of ours, to write them as published.

  Args:
    kind: a name of `tables.KINDS`.
    shapes: by path, which begins with 'backbone/' or 'head/'.

  Raises:
    ValueError: a parameter is missing, or shapes do not fit.
  """
  sizes = {}
  found = parts(kind, shapes, published=False)
  for part in found:
    names = [f'{part.name}/{row.name}' for row in part.table]
    missing = [name for name in names if name not in shapes]
    if missing:
      raise ValueError(
        f'parameters of kind {kind!r} lack {some(missing)}: this model has no '
        'published form'
      )
    sizes[part.name] = Sizes()
    _solve(
      f'parameters of kind {kind!r}',
      sizes[part.name],
      [
        (name, _axes_of_ours(row), shapes[name])
        for name, row in zip(names, part.table)
      ],
    )
  layout = layout_of(kind, found, sizes, ())
  extra = tuple(sorted(shapes.keys() - layout.leaves.keys()))
  return layout._replace(extra=extra)


def describe(path: str, shapes: Shapes) -> str:
  """Lines about a file: kind, counts, sizes, what is beyond the model.

  Raises:
    ValueError: see `of_file`.
  """
  layout = of_file(path, shapes)
  lines = [f'{path}: {layout.kind}']
  for part, sizes in layout.sizes.items():
    used = {
      key: leaf.published
      for name, leaf in layout.leaves.items()
      if name.startswith(f'{part}/')
      for key in leaf.keys
    }
    count = sum(map(math.prod, used.values()))
    lines += [
      f'{part}: {len(used)} arrays, {count:,} parameters, '
      f'{4 * count / 1e6:.1f} MB',
      '  ' + ', '.join(f'{word}={size}' for word, size in sizes.items()),
    ]
  if layout.extra:
    lines.append(f'not used: {some(layout.extra)}')
  return '\n'.join(lines)


def _kind(path: str, shapes: Shapes) -> str:
  def has(*prefixes: str) -> bool:
    return any(key.startswith(prefixes) for key in shapes)

  if has('params/layers_0/', 'params/layers_2/'):
    return 'depth'
  if has('params/encoder/', 'params/processor/'):
    return 'backbone'
  if has('pretrained_model/'):
    return 'moog'
  if has('rnn_core/'):
    return 'rvm'
  if has('attention_readout/'):
    return 'points' if has('temporal_tile_posenc/') else 'boxes'
  raise ValueError(
    f'{path} holds no known model: its names are {some(sorted(shapes))}. '
    'Expected params/encoder/... (a 4DS backbone), params/layers_0/... (with a '
    'depth head), pretrained_model/... (MooG), rnn_core/... (RVM) or '
    'attention_readout/... (a head of MooG)'
  )


def layout_of(
  kind: str,
  found: Sequence[Part],
  sizes: dict[str, Sizes],
  extra: tuple[str, ...],
) -> Layout:
  """The layout of a kind whose sizes are known."""
  leaves = {}
  for part in found:
    known = sizes[part.name]
    for row in part.table:
      leaves[f'{part.name}/{row.name}'] = Leaf(
        _keys(part.prefix + row.key, known),
        _published(row, known),
        _shape(_axes_of_ours(row), known),
        bool(_counts(row.key)),
      )
  return Layout(kind, sizes, leaves, extra)


def _counts(key: str) -> list[str]:
  """The word of the size that counts a row's layers, if it has layers."""
  return re.findall(r'{(\w+)}', key)


def _keys(key: str, sizes: Sizes) -> tuple[str, ...]:
  for count in _counts(key):
    return tuple(key.format(**{count: i}) for i in range(sizes[count]))
  return (key,)


def _axes_of_ours(row: Row) -> str:
  return ' '.join([*_counts(row.key), row.ours or row.axes])


def _factors(axes: str) -> Iterator[list[str]]:
  """Of each axis: '(k e) d' -> ['k', 'e'], ['d']."""
  for group, word in re.findall(r'\(([^)]*)\)|(\w+)', axes):
    yield group.split() or [word]


def _shape(axes: str, sizes: Sizes) -> Shape:
  return tuple(
    math.prod(int(x) if x.isdigit() else sizes[x] for x in factors)
    for factors in _factors(axes)
  )


def _published(row: Row, sizes: Sizes) -> Shape:
  shape = _shape(row.axes, sizes)
  while row.trimmed and len(shape) > 1 and shape[0] == 1:
    shape = shape[1:]
  return shape


def _filled(row: Row, shape: Shape) -> Shape:
  """A shape with the axes of 1 that may be left out."""
  missing = len([*_factors(row.axes)]) - len(shape) if row.trimmed else 0
  return (1,) * missing + shape


def _solve(
  path: str, sizes: Sizes, arrays: list[tuple[str, str, Shape]]
) -> None:
  """Adds the sizes that shapes tell.

  Args:
    path: what the arrays are of, for messages.
    sizes: gets them.
    arrays: name, axes and shape of each.

  Raises:
    ValueError: they contradict one another.
  """
  told = collections.defaultdict(collections.Counter)
  for name, axes, shape in arrays:
    factors = list(_factors(axes))
    if len(shape) != len(factors):
      raise ValueError(
        f'{path}: {name} is {shape}, expected {len(factors)} axes: [{axes}]'
      )
    for words, size in zip(factors, shape):
      if len(words) == 1 and not words[0].isdigit():
        told[words[0]][size] += 1
  # What most arrays say: then the odd one is blamed.
  sizes |= {word: said.most_common(1)[0][0] for word, said in told.items()}
  for name, axes, shape in arrays:
    if shape != (expected := _shape(axes, sizes)):
      known = ', '.join(
        f'{x}={sizes[x]}'
        for factors in _factors(axes)
        for x in factors
        if not x.isdigit()
      )
      raise ValueError(
        f'{path}: {name} is {shape}, expected [{axes}] = {expected}, since '
        f'other arrays say {known}'
      )


def some(names: Sequence[str]) -> str:
  """The first few of them, and how many more there are."""
  more = f' and {len(names) - _SHOWN} more' if len(names) > _SHOWN else ''
  return ', '.join(names[:_SHOWN]) + more
