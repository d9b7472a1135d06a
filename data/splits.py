"""Which clips are for training, which for validation, which for test.

Where a data set has two splits, a learning rate chosen on its second one would
be chosen on what is tested. So a part of the first is held out, by the hash of
a name: the same on every machine, whatever else there is, and what is added
later moves nothing. That there is such a part is our choice.
"""

import hashlib
from collections.abc import Sequence
from typing import TypeVar

import numpy as np
from jaxtyping import Bool, UInt64

SPLITS = ('train', 'validation', 'test')

Item = TypeVar('Item')


def listed_in(split: str, *, train: str, validation: str, test: str) -> str:
  """Where a split is listed, if that of `validation` may be '': by `train`."""
  return {'train': train, 'validation': validation or train, 'test': test}[
    split
  ]


def of_list(
  name: str,
  split: str,
  items: Sequence[Item],
  groups: Sequence[str],
  *,
  validation: str,
  fraction: int | float,
) -> list[Item]:
  """What a split has of the items that are listed for it.

  All of them; but where there is no list for validation, that and training
  share the one for training. Then at least one group is for validation, if
  there are two, and a single one is not.

  Args:
    name: of the source.
    split: 'train', 'validation' or 'test'.
    items: listed where `listed_in` says.
    groups: of each item; those of one group stay together.
    validation: the list for validation; '': there is none.
    fraction: of the groups, for validation; 0: none.

  Raises:
    ValueError: a fraction that is not one, or that leaves nothing.
  """
  if split == 'test' or validation:
    return list(items)
  if not 0 <= fraction < 1:
    raise ValueError(
      f'{name}: validation_fraction={fraction} must be 0 or more, and less '
      'than 1'
    )
  hashes = np.array(
    [
      # Not `hash`, which Python salts anew in each process.
      int.from_bytes(hashlib.sha256(group.encode()).digest()[:8], 'big')
      for group in groups
    ],
    np.uint64,
  )
  total = len(np.unique(hashes))
  # Alone it is for training: validation can wait until there are two.
  held = held_out(hashes, fraction) & (total > 1)
  mine = held == (split == 'validation')
  if len(groups) and not mine.any():
    raise ValueError(
      f'{name}: validation_fraction={fraction} of the {total} for training '
      f'leaves none for {split}: change it, or say with validation= where the '
      'validation split is'
    )
  return [item for item, kept in zip(items, mine) if kept]


def held_out(
  hashes: UInt64[np.ndarray, 'n'], fraction: int | float
) -> Bool[np.ndarray, 'n']:
  """Which are for validation: the lowest hashes, of one at least if of two.

  Args:
    hashes: evenly distributed over 64 bits; equal ones stay together.
    fraction: of the hashes, about; 0: none.
  """
  held = hashes / 2.0**64 < fraction
  if fraction and len(np.unique(hashes)) > 1:
    held |= hashes == hashes.min()
  return held
