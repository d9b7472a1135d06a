"""From arrays in a file to parameters on devices, one shard at a time."""

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from jax.sharding import Sharding, SingleDeviceSharding

from models.objective import Params
from models.published.files import Entry
from models.published.names import Leaf

_ALIGNED = 64  # bytes; a CPU device takes over such memory without a copy


def params(
  entries: Mapping[str, Entry],
  leaves: Mapping[str, Leaf],
  places: Mapping[str, Sharding] | None = None,
) -> dict[str, Any]:
  """Our parameters, read from a file: the nested tree of `leaves`.

  The host holds one shard at a time beside what it has given to devices.

  Args:
    entries: the file's arrays.
    leaves: which to read, by path.
    places: sharding of each, by path; None: all on the first device.
  """
  first = SingleDeviceSharding(jax.local_devices()[0])
  return nested(
    {
      name: _place(entries, leaf, places[name] if places else first)
      for name, leaf in leaves.items()
    }
  )


def nested(leaves: Mapping[str, Any]) -> dict[str, Any]:
  """{'a/b': x} -> {'a': {'b': x}}."""
  tree: dict[str, Any] = {}
  for name, leaf in leaves.items():
    *path, last = name.split('/')
    node = tree
    for key in path:
      node = node.setdefault(key, {})
    node[last] = leaf
  return tree


def flat(tree: Params) -> dict[str, Any]:
  """The inverse of `nested`."""
  leaves = jax.tree_util.tree_leaves_with_path(tree)
  return {'/'.join(key.key for key in path): leaf for path, leaf in leaves}


def arrays(leaves: Mapping[str, Leaf], tree: Params) -> dict[str, np.ndarray]:
  """The inverse of `params`: published arrays, in order of their names.

  Args:
    leaves: what the parameters are published as.
    tree: of them, and perhaps others.
  """
  found, ours = {}, flat(tree)
  for name, leaf in leaves.items():
    value = np.asarray(ours[name])
    for key, piece in zip(leaf.keys, value if leaf.stacked else [value]):
      found[key] = piece.reshape(leaf.published)
  return dict(sorted(found.items()))


def _place(
  entries: Mapping[str, Entry], leaf: Leaf, place: Sharding
) -> jax.Array:
  shards, read, before = [], None, None
  indices = place.addressable_devices_indices_map(leaf.shape)
  for device, index in indices.items():
    if read is None or index != before:  # copies often follow one another
      read, before = _read(entries, leaf, index), index
    # Waited for, so that the next shard does not stand beside this one.
    shards.append(jax.block_until_ready(jax.device_put(read, device)))
  return jax.make_array_from_single_device_arrays(leaf.shape, place, shards)


def _read(
  entries: Mapping[str, Entry], leaf: Leaf, index: tuple[slice, ...]
) -> np.ndarray:
  """The part `index` of one of our parameters, in memory."""
  shape = [len(range(*s.indices(n))) for s, n in zip(index, leaf.shape)]
  out = _empty(tuple(shape))
  if not leaf.stacked:
    out[...] = entries[leaf.keys[0]].read().reshape(leaf.shape)[index]
    return out
  first, *rest = index
  for row, key in zip(out, leaf.keys[first]):
    row[...] = entries[key].read().reshape(leaf.shape[1:])[tuple(rest)]
  return out


def _empty(shape: tuple[int, ...]) -> np.ndarray:
  count = int(np.prod(shape))
  # NumPy aligns to 16 bytes: a start that suits is looked for in a little more.
  room = np.empty(count + _ALIGNED // 4, np.float32)
  start = -room.ctypes.data % _ALIGNED // 4
  return room[start : start + count].reshape(shape)
