"""A run's new parameters with those of another run, or a file, in their place.

A table of positions of another grid can be resized on the way.
"""

import os
from collections.abc import Mapping
from typing import Any

import jax
from jax.sharding import NamedSharding, PartitionSpec, Sharding

from base import files as base_files
from base.console import say
from models.nn import positions
from models.objective import Params
from models.published import files, loading, names
from models.published.tables import Shape
from train import checkpoint, optim


def start_from(
  params: Params,
  places: Params,
  *,
  path: str,
  at: str = '',
  step: int = -1,
  ema: bool = False,
  resize: bool = False,
) -> Params:
  """`params` with those of another run's checkpoint in their place.

  Args:
    params: new parameters.
    places: their shardings.
    path: the other run's folder, or a published file, see `models.published`.
    at: the top-level entry of `params` that the checkpoint is for, such as
      'backbone'; '': all of them.
    step: of the checkpoint; -1: the last.
    ema: take the moving average instead of the parameters themselves.
    resize: resize position embeddings in time and space, where the clips of
      the two runs are cut into different grids.

  Raises:
    ValueError: no such checkpoint, a damaged one, or one of another
      architecture: missing and reshaped parameters are listed by name.
  """
  if at and at not in params:
    raise ValueError(
      f'init_from.at={at!r} must be one of {sorted(params)}, or empty'
    )
  wanted = (params[at], places[at]) if at else (params, places)
  if _is_file(path):
    if step != -1 or ema:
      raise ValueError(
        f'init_from.path={path} is a file, which has neither steps nor a '
        f'moving average: leave init_from.step={step} and init_from.ema={ema} '
        'as they are by default'
      )
    loaded = _from_file(*wanted, path=path, resize=resize)
    return {**params, at: loaded} if at else loaded
  if base_files.is_local(path) and not os.path.exists(path):
    raise ValueError(
      f'parameters are to start from {path}, which does not exist: expected '
      'the folder of a run, or a file of published weights'
    )
  folder, step = checkpoint.find(path, step)
  checkpoint.refuse(folder)
  part = 'ema' if ema else 'params'
  wanted = {part: _place(*wanted)}
  stored = {
    name: shape
    for name, shape in checkpoint.stored_shapes(folder).items()
    if name.startswith(f'{part}/')
  }
  if not stored:
    raise ValueError(f'{folder} holds no {part!r}: change init_from.ema')
  resized = {}
  if resize:
    wanted, resized = as_stored(stored, wanted)
  extra = checkpoint.check_same(stored, wanted, folder)
  loaded = fitted(checkpoint.load(folder, wanted), resized)[part]
  beyond = f', but not its {extra}' if extra else ''
  say(f'starting from {folder}{beyond}')
  return {**params, at: loaded} if at else loaded


def _is_file(path: str) -> bool:
  if base_files.is_local(path):
    return os.path.isfile(path)
  return base_files.exists(path) and not base_files.is_folder(path)


def _from_file(
  params: Params, places: Params, *, path: str, resize: bool
) -> Params:
  """`params` with the backbone of a file; each shard is read where it lies.

  Parts that the file lacks altogether stay new, such as the latents and the
  pixel head of a masked autoencoder: the log names them, and what else the file
  holds.

  Args:
    params: new parameters of a backbone.
    places: their shardings.
    path: npz or safetensors, see `models.published`.
    resize: resize position embeddings to this run's grid.

  Raises:
    ValueError: not such a file; or parameters are missing or of another shape,
      which are listed by name.
  """
  entries = files.opened(path)
  layout = names.of_file(path, {key: x.shape for key, x in entries.items()})
  there = {
    name.removeprefix('backbone/'): leaf
    for name, leaf in layout.leaves.items()
    if name.startswith('backbone/')
  }
  if not there:
    raise ValueError(
      f'{path} holds {layout.kind}, a head without a backbone: give that of a '
      'backbone as init_from.path'
    )
  ours, shardings = loading.flat(params), loading.flat(places)
  resized = {
    name: leaf
    for name, leaf in there.items()
    if resize and name in ours and _resizes(name, leaf.shape, ours[name].shape)
  }
  shapes = {name: leaf.shape for name, leaf in there.items()}
  shapes |= {name: ours[name].shape for name in resized}
  _check(path, {name: leaf.shape for name, leaf in ours.items()}, shapes)
  read = {name: leaf for name, leaf in there.items() if name in ours}
  whole = {
    name: NamedSharding(shardings[name].mesh, PartitionSpec())
    for name in resized
  }
  loaded = loading.flat(loading.params(entries, read, {**shardings, **whole}))
  for name in resized:
    loaded[name] = _fit(name, loaded[name], ours[name].shape, shardings[name])
  extra = [name for name in there if name not in ours] + [
    *(name for name in layout.leaves if not name.startswith('backbone/')),
    *layout.extra,
  ]
  beyond = f', but not its {names.some(extra)}' if extra else ''
  say(f'starting from {path} ({layout.kind}){beyond}')
  new = [name for name in ours if name not in there]
  if new:
    say(f'not in the file, and new: {", ".join(new)}')
  return loading.nested({**ours, **loaded})


def as_stored(stored: Mapping[str, Shape], wanted: Any) -> tuple[Any, Any]:
  """What to read of a checkpoint whose positions are of another grid.

  Args:
    stored: shapes by name.
    wanted: a tree of jax.ShapeDtypeStruct with shardings.

  Returns:
    `wanted` with these tables as they are stored, and, by name, what each is to
    become: see `fitted`.
  """
  resized = {}

  def shape_of(path, leaf):
    name = optim.path_name(path)
    there = stored.get(name, leaf.shape)
    if not _resizes(name, there, leaf.shape):
      return leaf
    resized[name] = leaf
    # Resized whole, and split afterwards: tables are small.
    whole = NamedSharding(leaf.sharding.mesh, PartitionSpec())
    return jax.ShapeDtypeStruct(there, leaf.dtype, sharding=whole)

  return jax.tree_util.tree_map_with_path(shape_of, wanted), resized


def fitted(loaded: Any, resized: Mapping[str, jax.ShapeDtypeStruct]) -> Any:
  """A tree with its tables of positions resized, see `as_stored`."""

  def fit(path, leaf):
    name = optim.path_name(path)
    if name not in resized:
      return leaf
    return _fit(name, leaf, resized[name].shape, resized[name].sharding)

  return jax.tree_util.tree_map_with_path(fit, loaded)


def _resizes(name: str, stored: Shape, wanted: Shape) -> bool:
  """Whether a parameter is a table of positions of another grid."""
  return (
    name.endswith('posenc/embeddings')
    and len(stored) == len(wanted) == 4
    # Another width is another model, which no resizing makes fit.
    and stored[3] == wanted[3]
    and stored != wanted
  )


def _fit(
  name: str,
  table: jax.Array,
  shape: Shape,
  sharding: Sharding,
) -> jax.Array:
  """A table of positions, resized and placed; says so."""
  say(f'{name} is {table.shape[:3]} there, resized to {shape[:3]}')
  made = jax.jit(positions.resize, static_argnums=1, out_shardings=sharding)
  return made(table, shape[:3])


def _check(
  path: str, ours: Mapping[str, Shape], there: Mapping[str, Shape]
) -> None:
  """ValueError if parts that both have differ."""
  # A part that a file lacks altogether is new; one that it has must be whole.
  parts = {name.split('/')[0] for name in there}
  problems = [
    f'{name} is {there[name]} there, {shape} here'
    if name in there
    else f'{name} {shape} is missing'
    for name, shape in ours.items()
    if name.split('/')[0] in parts and there.get(name) != shape
  ]
  if not there.keys() & ours.keys():
    problems = [f'it has {names.some(sorted(there))}, this run none of them']
  if problems:
    more = f' and {len(problems) - 5} more' if len(problems) > 5 else ''
    raise ValueError(
      f'{path} is of another architecture: {"; ".join(problems[:5])}{more}. '
      'Set config.model as `python -m models.published info` says; for a clip '
      'of another shape set config.init_from.resize=True'
    )


def _place(shapes: Any, shardings: Any) -> Any:
  return jax.tree.map(
    lambda x, place: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=place),
    shapes,
    shardings,
  )
