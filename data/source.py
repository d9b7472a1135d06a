"""The seam between a data set and the pipeline: what a source gives.

A source is a module, `data/sources/<name>.py`, with a function `make(split,
**options) -> Source` and KEYS, the record keys it can give. One that needs
several files is a folder, `data/sources/<name>/`, whose `__init__.py` has the
two from its `source.py`, and the same first line. What lies there is a source,
and nothing else does; that line is what `python -m data.inspect` says of it.

All sources speak one vocabulary of record keys, so that a task runs on any
source that has its labels:

| key | dtype, shape | meaning |
|---|---|---|
| video | uint8 [t h w 3] | RGB |
| depth | float32 [t h w 1] | metres along the optical axis (z); 0: unknown |
| point_map | float32 [t h w 3] | metres, in the first camera; 0: unknown |
| point_map_known | bool [t h w 1] | the pixel has a point (`point_maps.py`) |
| pose | float32 [t 4 4] | camera to world in metres, OpenCV axes (z forward) |
| intrinsics | float32 [3 3] | pixels; a pixel's centre is at +0.5 |
| lens | float32 [4] | fx fy cx cy as parts of the width and height, raster |
| tracks | float32 [q t 2] | points (x, y) in [0, 1], raster |
| tracks_visible | bool [q t] | inside the frame and not occluded |
| tracks_3d | float32 [q t 3] | the points in metres, in each frame's camera |
| query_frames | int32 [q] | frame in which each point is asked for; else 0 |
| boxes | float32 [o t 4] | (ymin, xmin, ymax, xmax) in [0, 1] |
| boxes_visible | bool [o t] | the object has a visible pixel |
| segmentation | uint8 [t h w 1] | 0 background, object o is o + 1 |
| label | int32 [] | class of the clip |
| features | bfloat16 [t n d] | of a frozen backbone (`sources/features.py`) |
| video_id | int32 [] | which video of the split the clip is of |

Letters: t frames, h w pixels, q query points, o objects.

What an index leaves out (videos that are not on disk, clips without an object)
is counted in the source's attribute `excluded`: {reason: count}.
"""

import hashlib
import importlib
import inspect
import json
import pkgutil
import typing
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float

from base.names import choose, did_you_mean
from data import sources

# The same for programs: key -> dtype, and shape in letters.
TABLE = {
  'video': ('uint8', 't h w 3'),
  'depth': ('float32', 't h w 1'),
  'point_map': ('float32', 't h w 3'),
  'point_map_known': ('bool', 't h w 1'),
  'pose': ('float32', 't 4 4'),
  'intrinsics': ('float32', '3 3'),
  'lens': ('float32', '4'),
  'tracks': ('float32', 'q t 2'),
  'tracks_visible': ('bool', 'q t'),
  'tracks_3d': ('float32', 'q t 3'),
  'query_frames': ('int32', 'q'),
  'boxes': ('float32', 'o t 4'),
  'boxes_visible': ('bool', 'o t'),
  'segmentation': ('uint8', 't h w 1'),
  'label': ('int32', ''),
  'video_id': ('int32', ''),
  'features': ('bfloat16', 't n d'),
}


class BadRecord(ValueError):
  """One record cannot be read; the pipeline substitutes and reports it."""


@runtime_checkable
class Source(Protocol):
  """Random access to the clips of one split of one data set.

  One that says `is_fixed = True` draws nothing from `rng`: it always gives
  the same clip of a record. One with labels may say how many `classes` there
  are, and their `names`. One whose data lie in files has a `fingerprint`, see
  `digest`: the same for the same data, wherever they lie; and where it is known
  which of them a record needs before it is drawn, `needs(index)` gives their
  `data.remote.Path`s, so that those of a store are brought in time.
  """

  def __len__(self) -> int:
    """Number of records."""

  def read(
    self, index: int, rng: np.random.Generator
  ) -> Mapping[str, np.ndarray]:
    """One clip of record `index`, as a dict of the keys above.

    Whatever is random about it (start frame, stride, crop, flip) is drawn
    from `rng`, which the pipeline keys by (seed, global example index).

    Raises:
      BadRecord: the record cannot be decoded.
    """


def digest(*parts: Any) -> str:
  """16 hex digits that tell data from other data, on every machine alike.

  Args:
    *parts: cheap to get, as names and numbers of records: arrays, or what JSON
      has.
  """
  total = hashlib.sha256()
  for part in parts:
    is_array = isinstance(part, np.ndarray)
    data = part.tobytes() if is_array else json.dumps(part).encode()
    # Its length, or two parts could be cut elsewhere.
    total.update(len(data).to_bytes(8, 'big') + data)
  return total.hexdigest()[:16]


def pad_rows(
  values: Float[np.ndarray, 'n t c'],
  visible: Bool[np.ndarray, 'n t'],
  rows: int,
) -> tuple[Float[np.ndarray, '{rows} t c'], Bool[np.ndarray, '{rows} t']]:
  """The first `rows` tracks, or boxes, and then zeros that are never visible.

  Args:
    values: of each track in each frame.
    visible: whether it is seen there.
    rows: of the result.
  """
  padded = np.zeros((rows, *values.shape[1:]), np.float32)
  seen = np.zeros((rows, visible.shape[1]), bool)
  kept = min(rows, len(values))
  padded[:kept], seen[:kept] = values[:kept], visible[:kept]
  return padded, seen


def make(name: str, split: str, **options) -> Source:
  """The source of module `data/sources/<name>.py`.

  Args:
    name: of the module.
    split: 'train', 'validation' or 'test'.
    **options: of its make(), see `typed`.

  Raises:
    ValueError: no such source; an option that is missing, unknown or bad.
  """
  given = typed(name, options)
  missing = [key for key in needed(name) if key not in given]
  if missing:
    raise ValueError(
      f'data source {name!r} needs the option {", ".join(missing)}: write '
      f"data.{missing[0]}=VALUE into the recipe's argument (test."
      f'{missing[0]}=VALUE for test={name}), or {name}:{missing[0]}=VALUE for '
      'data.inspect'
    )
  return _module(name).make(split, **given)


def typed(name: str, options: Mapping[str, Any]) -> dict[str, Any]:
  """Options of a source's make(), with text turned into values.

  On command lines all values are text. It becomes what the option's default
  is, or its annotation where it has none: a number, true or false, or several
  of them joined by '+'.

  Args:
    name: of the source.
    options: some of its options.

  Raises:
    ValueError: no such source or option (the nearest is named), text that is
      no such value.
  """
  known = _options(name)
  takes_any = any(
    each.kind is inspect.Parameter.VAR_KEYWORD
    for each in inspect.signature(_module(name).make).parameters.values()
  )
  values = {}
  for key, value in options.items():
    if key not in known:
      if not takes_any:
        raise ValueError(
          f'data source {name!r}: unknown option {key!r}: expected one of '
          f'{", ".join(known)}{did_you_mean(key, known)}'
        )
    elif isinstance(value, str):
      like = known[key].default
      if like is inspect.Parameter.empty:
        like = _like(known[key].annotation)
      value = _value(f'data source {name!r}: {key}', value, like)
    values[key] = value
  return values


def _options(name: str) -> dict[str, inspect.Parameter]:
  """The keyword arguments of a source's make()."""
  parameters = inspect.signature(_module(name).make).parameters
  return {
    key: each
    for key, each in parameters.items()
    if each.kind is inspect.Parameter.KEYWORD_ONLY
  }


def _like(annotation: Any) -> Any:
  """A value of the type that an option is annotated with; else a text."""
  if typing.get_origin(annotation) is Sequence:
    return (_like(typing.get_args(annotation)[0]),)
  # Of `int | float`, what takes both.
  kinds = typing.get_args(annotation) or (annotation,)
  return next((kind() for kind in (bool, float, int) if kind in kinds), '')


def _value(what: str, text: str, default: Any) -> Any:
  """The text as a value of the type of `default`."""
  if isinstance(default, bool):
    if text not in ('true', 'false'):
      raise ValueError(f"{what}={text!r} must be 'true' or 'false'")
    return text == 'true'
  if isinstance(default, tuple):
    return tuple(_value(what, part, default[0]) for part in text.split('+'))
  if not isinstance(default, int | float):
    return text
  try:
    return type(default)(text)
  except ValueError:
    raise ValueError(
      f'{what}={text!r} must be of type {type(default).__name__}'
    ) from None


def keys_of(name: str) -> tuple[str, ...]:
  """The record keys that the source of this name can give.

  Raises:
    ValueError: no such source.
  """
  return tuple(_module(name).KEYS)


def names() -> list[str]:
  """Of all sources."""
  return sorted(each.name for each in pkgutil.iter_modules(sources.__path__))


def about(name: str) -> str:
  """The first line of the module's docstring.

  Raises:
    ValueError: no such source.
  """
  return inspect.getdoc(_module(name)).splitlines()[0]


def needed(name: str) -> dict[str, Any]:
  """Options of a source that have no default, with their types.

  But for `keys`, which no recipe gives its sources: the pipeline does.

  Raises:
    ValueError: no such source.
  """
  return {
    key: each.annotation
    for key, each in _options(name).items()
    if each.default is each.empty and key != 'keys'
  }


def needs_one_of(name: str) -> tuple[str, ...]:
  """Options of which a source needs one, whose defaults are none: ONE_OF.

  Raises:
    ValueError: no such source.
  """
  return tuple(getattr(_module(name), 'ONE_OF', ()))


def without_recipe(name: str) -> dict[str, Any]:
  """What a source whose options all are a recipe's is looked at with.

  Its WITHOUT_RECIPE, for commands that are given a source alone.

  Raises:
    ValueError: no such source.
  """
  return dict(getattr(_module(name), 'WITHOUT_RECIPE', {}))


def _module(name: str):
  try:
    return importlib.import_module(f'data.sources.{name}')
  except ModuleNotFoundError as error:
    if error.name != f'data.sources.{name}':
      raise
    choose('data source', name, names())
    raise
