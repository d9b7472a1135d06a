"""From the arrays of a folder to our parameters: all of them, or an error.

PyTorch keeps a linear layer as [out in]; ours is [in out], with an axis of
heads. What is done beside moving axes is exact in real numbers: pixels' mean
and deviation become part of the first layer.
"""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from einops import rearrange

from models.published.hf.folder import CONFIG, Folder

Leaves = dict[str, np.ndarray | jax.Array]
# How all of them are run, in a config's section `model`.
RUN_AS = {
  **{'dtype': 'float32', 'remat': 'named', 'scan': True, 'attention': 'auto'},
}
KERNEL, BIAS = (f'encoder/patch_embedding/{x}' for x in ('kernel', 'bias'))
_LAYERS = 'processor/layers/'
_LAYER = '{l}'


class Row(NamedTuple):
  """One of our parameters, and the array that it is read from."""

  name: str  # ours; below processor/layers, stacked along a new first axis
  # Theirs, without prefix: names of old and new versions. With ':0' or ':1' at
  # its end it holds two arrays, one after the other, of which this is one.
  keys: Sequence[str]
  theirs: str  # axes, in words, as einops has them
  ours: str = ''  # axes of ours, where they are others


class Known(NamedTuple):
  """What config.json tells of an encoder."""

  model: dict[str, Any]  # section `model` of a config, but for the clip
  sizes: Mapping[str, int]  # of axes, by their word
  rows: Sequence[Row]
  prefix: str  # before names of the encoder, in files of a larger model
  ignored: str  # regex: arrays beside the encoder that are left out


def norm(name: str, key: str) -> tuple[Row, Row]:
  """A LayerNorm: scale and bias."""
  return (
    Row(f'{name}/scale', (f'{key}.weight',), 'd'),
    Row(f'{name}/bias', (f'{key}.bias',), 'd'),
  )


def linear(
  name: str,
  keys: Sequence[str],
  theirs: str,
  ours: str,
  *,
  bias: Sequence[str] | None = None,
) -> tuple[Row, ...]:
  """A linear layer.

  Args:
    name: ours.
    keys: theirs, without '.weight'; ':0' or ':1' may follow, see `Row`.
    theirs: axes of its weight, the outputs first.
    ours: axes of its kernel.
    bias: names of its bias, where they are others than its keys tell; none: it
      has no bias.
  """
  out = re.match(r'\([^)]*\)|\w+', theirs)[0]
  kernel = Row(f'{name}/kernel', _leaf_of(keys, 'weight'), theirs, ours)
  if bias is None:
    bias = _leaf_of(keys, 'bias')
  if not bias:
    return (kernel,)
  return kernel, Row(f'{name}/bias', bias, out, out.strip('()'))


def _leaf_of(keys: Sequence[str], leaf: str) -> list[str]:
  parts = [key.partition(':') for key in keys]
  return [f'{name}.{leaf}{colon}{half}' for name, colon, half in parts]


def read(found: Folder, known: Known) -> Leaves:
  """All of our parameters, float32.

  Raises:
    ValueError: an array is missing (the first one is named), of another shape
      than config.json tells, or one that is neither known nor to be ignored.
  """
  there = found.entries
  prefix = (
    known.prefix if any(k.startswith(known.prefix) for k in there) else ''
  )
  layers = known.sizes['l']
  keys: dict[str, list[str]] = {}
  missing = []
  # Layer by layer, as a person reads a file: then the first that is missing is
  # where it ends.
  single = [row for row in known.rows if not _is_stacked(row)]
  stacked = [row for row in known.rows if _is_stacked(row)]
  wanted = [(row, None) for row in single]
  wanted += [(row, i) for i in range(layers) for row in stacked]
  for row, i in wanted:
    names = [prefix + key.replace(_LAYER, str(i)) for key in row.keys]
    has = [name for name in names if _whole(name) in there]
    if len(has) > 1:
      both = ' and '.join(map(_whole, has))
      raise ValueError(
        f'{found.path} holds {both}, two names of one array: leave one'
      )
    if not has:
      missing.append(_whole(names[0]))
      continue
    keys.setdefault(row.name, []).append(has[0])
    _check(found, known, row, has[0])
  if missing:
    more = f' and {len(missing) - 1} more' * (len(missing) > 1)
    raise ValueError(
      f'{found.path} lacks {missing[0]}{more}: {CONFIG} tells of {layers} '
      'blocks; take config and weights from one place, and save all of the '
      'model'
    )
  used = {_whole(name) for names in keys.values() for name in names}
  extra = sorted(
    name
    for name in there.keys() - used
    if not re.fullmatch(known.ignored, name)
  )
  if extra:
    more = f' and {len(extra) - 1} more' * (len(extra) > 1)
    raise ValueError(
      f'{found.path} holds {extra[0]}{more}, which no {found.model_type} of '
      f'{layers} blocks has: what it is for would be left out; take config and '
      'weights from one place'
    )
  return {
    row.name: _leaf(found, known, row, keys[row.name]) for row in known.rows
  }


def fold_pixels(leaves: Leaves, found: Folder) -> None:
  """Makes the patch embedding one of pixels in [0, 1], in place.

  K ((x - mean) / std) + b = (K / std) x + (b - sum of K mean / std); patches
  are not padded, so that it is the same everywhere.
  """
  kernel = leaves[KERNEL].astype(np.float64)
  mean, std = (
    np.asarray(x, np.float64)[:, None] for x in (found.mean, found.std)
  )
  kernel = kernel / std
  bias = leaves[BIAS] - (kernel * mean).sum((0, 1, 2, 3))
  leaves[KERNEL] = kernel.astype(np.float32)
  leaves[BIAS] = bias.astype(np.float32)


def check_heads(found: Folder, width: int, heads: int) -> None:
  """Check.

  Raises:
    ValueError: heads do not divide the width.
  """
  if width % heads:
    raise ValueError(
      f'{found.path}/{CONFIG}: num_attention_heads={heads} does not divide '
      f'hidden_size={width}; take config and weights from one place'
    )


def _whole(key: str) -> str:
  """The name in the file."""
  return key.partition(':')[0]


def _half(key: str) -> int | None:
  """Which of the two that it holds; None: it is one."""
  half = key.partition(':')[2]
  return int(half) if half else None


def _is_stacked(row: Row) -> bool:
  return row.name.startswith(_LAYERS)


def _check(found: Folder, known: Known, row: Row, key: str) -> None:
  """Check.

  Raises:
    ValueError: the array has another shape than config.json tells.
  """
  factors = re.findall(r'\(([^)]*)\)|(\w+)', row.theirs)
  expected = tuple(
    math.prod(known.sizes[factor] for factor in (group or word).split())
    for group, word in factors
  )
  if _half(key) is not None:
    expected = (2 * expected[0], *expected[1:])
  shape = found.entries[_whole(key)].shape
  if shape != expected:
    raise ValueError(
      f'{found.path}: {_whole(key)} is {shape}, expected {expected} as '
      f'{CONFIG} tells; take config and weights from one place'
    )


def _leaf(
  found: Folder, known: Known, row: Row, keys: Sequence[str]
) -> np.ndarray:
  pattern = f'{row.theirs} -> {row.ours or row.theirs}'
  words = set(re.findall(r'\w+', row.theirs))
  sizes = {word: known.sizes[word] for word in words}

  def one(key: str) -> np.ndarray:
    array, half = found.entries[_whole(key)].read(), _half(key)
    if half is not None:
      array = np.split(array, 2)[half]
    return rearrange(array, pattern, **sizes)

  if not _is_stacked(row):
    return np.array(one(keys[0]), np.float32, order='C')
  first = one(keys[0])
  out = np.empty((len(keys), *first.shape), np.float32)
  for layer, key in zip(out, keys):
    layer[...] = one(key)
  return out
