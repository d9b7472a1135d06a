"""The seam between a data set and the pipeline: what a source gives.

A source is a module of this folder, `data/<name>.py`, with a function
`make(split, **options) -> Source` and KEYS, the record keys it can give. All
sources speak one vocabulary of record keys, so that a task runs on any source
that has its labels:

| key | dtype, shape | meaning |
|---|---|---|
| video | uint8 [t h w 3] | RGB |
| depth | float32 [t h w 1] | metres along the optical axis (z); 0: unknown |
| pose | float32 [t 4 4] | camera to world in metres, OpenCV axes (z forward) |
| intrinsics | float32 [3 3] | pixels; a pixel's centre is at +0.5 |
| tracks | float32 [q t 2] | points (x, y) in [0, 1], raster |
| tracks_visible | bool [q t] | inside the frame and not occluded |
| boxes | float32 [o t 4] | (ymin, xmin, ymax, xmax) in [0, 1] |
| boxes_visible | bool [o t] | the object has a visible pixel |
| segmentation | uint8 [t h w 1] | 0 background, object o is o + 1 |
| label | int32 [] | class of the clip |
| features | bfloat16 [t n d] | of a frozen backbone (`data/features.py`) |
| video_id | int32 [] | which video of the split the clip is of |

Letters: t frames, h w pixels, q query points, o objects.

What an index leaves out (videos that are not on disk, clips without an object)
is counted in the source's attribute `excluded`: {reason: count}.
"""

import importlib
from collections.abc import Mapping
from typing import Protocol, runtime_checkable

import numpy as np


class BadRecord(ValueError):
  """One record cannot be read; the pipeline substitutes and reports it."""


@runtime_checkable
class Source(Protocol):
  """Random access to the clips of one split of one data set.

  One that says `is_fixed = True` draws nothing from `rng`: it always gives
  the same clip of a record.
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


def make(name: str, split: str, **options) -> Source:
  """The source of module `data/<name>.py`.

  Raises:
    ValueError: no such module, or a bad option.
  """
  return _module(name).make(split, **options)


def keys_of(name: str) -> tuple[str, ...]:
  """The record keys that the sources of module `data/<name>.py` can give.

  Raises:
    ValueError: no such module, or not a source.
  """
  module = _module(name)
  if not hasattr(module, 'KEYS'):
    raise ValueError(
      f'data/{name}.py is not a source: it has no KEYS. Choose one that has, '
      "such as 'world' or 'videos'."
    )
  return tuple(module.KEYS)


def _module(name: str):
  try:
    return importlib.import_module(f'data.{name}')
  except ModuleNotFoundError as error:
    if error.name != f'data.{name}':
      raise
    raise ValueError(
      f'data source {name!r} does not exist: data/{name}.py is missing. '
      "Choose a module of data/ with a make(), such as 'world' or 'videos'."
    ) from None
