"""What Orbax's files say of themselves, without their digests."""

import os
from typing import Any

import jax
import orbax.checkpoint as ocp
import tensorstore
from etils import epath

from base import digests, files
from train import optim

ITEM = 'default'  # the name that Orbax gives to a checkpoint's only item


def stored_shapes(folder: str) -> dict[str, tuple[int, ...]]:
  """{name: shape} of a checkpoint, from its metadata alone."""
  item = epath.Path(folder) / ITEM
  return named(ocp.PyTreeCheckpointHandler().metadata(item).tree)


def named(tree: Any) -> dict[str, tuple[int, ...]]:
  """{name: shape} of a tree of arrays or their shapes."""
  leaves = jax.tree_util.tree_leaves_with_path(tree)
  return {optim.path_name(path): tuple(leaf.shape) for path, leaf in leaves}


def unreadable(folder: str, place: int, places: int) -> str:
  """What of a checkpoint without digests is damaged for sure; '' if nothing.

  Its lists must be whole, which tensorstore keeps sums of, and every value that
  they name must be there in its length; that its bits are right nothing says.

  Args:
    folder: of the checkpoint.
    place: which of several processes looks, each at its own values.
    places: how many do.
  """
  if not digests.names(folder):
    return 'it is empty'
  address = os.path.join(folder, ITEM)
  base = f'file://{address}/' if files.is_local(folder) else f'{address}/'
  try:
    stored_shapes(folder)
    store = tensorstore.KvStore.open({'driver': 'ocdbt', 'base': base}).result()
    for key in sorted(store.list().result())[place::places]:
      store.read(key).result()
  except (OSError, ValueError, KeyError) as error:
    return f'it cannot be read ({str(error).splitlines()[0]})'
  return ''
