"""Logical axes: what each axis of a parameter or an activation means.

Models name axes; `train/mesh.py` says which mesh axis a name is split over. So
a layout is changed in one table and no model is touched.
"""

import contextlib
import contextvars
import functools
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

import jax
from jax.sharding import PartitionSpec

# batch: examples. tokens: of one clip, where blocks run on all of them. embed:
# the width of a matrix, its first axis or its last, what FSDP splits. vector: a
# width that is only added or scaled by, too small to be worth gathering.
# heads, head_dim: attention. mlp: hidden width. layers: the stack's axis.
# pixels: the values of one patch.
AXES = (
  'batch',
  'tokens',
  'embed',
  'vector',
  'heads',
  'head_dim',
  'mlp',
  'layers',
  'pixels',
)

# (path regex, axes). A parameter's path is its keys joined by '/'; a regex
# must match its end, from the start of a key. One row per parameter.
Table = tuple[tuple[str, tuple[str | None, ...]], ...]

VIT: Table = (
  ('encoder/patch_embedding/kernel', (None, None, None, None, 'embed')),
  ('encoder/patch_embedding/bias', ('vector',)),
  ('encoder/posenc/embeddings', (None, None, None, 'vector')),
  ('layers/(attention|mlp)_norm/(scale|bias)', ('layers', 'vector')),
  (
    'layers/attention/(query|key|value)/kernel',
    ('layers', 'embed', 'heads', 'head_dim'),
  ),
  (
    'layers/attention/(query|key|value)/bias',
    ('layers', 'heads', 'head_dim'),
  ),
  ('layers/attention/out/kernel', ('layers', 'heads', 'head_dim', 'embed')),
  ('layers/attention/out/bias', ('layers', 'vector')),
  ('layers/mlp/dense_in/kernel', ('layers', 'embed', 'mlp')),
  ('layers/mlp/dense_in/bias', ('layers', 'mlp')),
  ('layers/mlp/dense_out/kernel', ('layers', 'mlp', 'embed')),
  ('layers/mlp/dense_out/bias', ('layers', 'vector')),
)

MAE: Table = (
  ('latents/embeddings', (None, 'vector')),
  ('head/kernel', ('embed', 'pixels')),
  ('head/bias', ('pixels',)),
)

# Of a DINOv2, beside VIT and what RVM has.
DINO: Table = (
  ('encoder/registers/embeddings', (None, 'vector')),
  ('layers/mlp/dense_gate/kernel', ('layers', 'embed', 'mlp')),
  ('layers/mlp/dense_gate/bias', ('layers', 'mlp')),
)

_MOOG_BLOCK = r'(predictor|corrector|decoder/transformer)/layer_\d+'
MOOG: Table = (
  (r'encoder/conv_\d+/kernel', (None, None, None, 'embed')),
  (r'encoder/conv_\d+/bias', ('vector',)),
  ('encoder/(conv_norm|norm)/scale', ('vector',)),
  # A token's width with its place's (592) is one that few meshes divide.
  ('encoder/(positions|project)/kernel', (None, 'embed')),
  ('encoder/output/kernel', ('embed', None)),
  ('encoder/(positions|project|output)/bias', ('vector',)),
  (
    f'{_MOOG_BLOCK}/(self|cross)_attention/query/kernel',
    ('embed', 'heads', 'head_dim'),
  ),
  (
    f'{_MOOG_BLOCK}/self_attention/(key|value)/kernel',
    ('embed', 'heads', 'head_dim'),
  ),
  (
    f'{_MOOG_BLOCK}/cross_attention/(key|value)/kernel',
    (None, 'heads', 'head_dim'),
  ),
  (
    f'{_MOOG_BLOCK}/(self|cross)_attention/(query|key)_norm/scale',
    ('vector',),
  ),
  (
    f'{_MOOG_BLOCK}/(self|cross)_attention/out/kernel',
    ('heads', 'head_dim', 'embed'),
  ),
  (f'{_MOOG_BLOCK}/(self|cross)_attention/out/bias', ('vector',)),
  (f'{_MOOG_BLOCK}/(norm|mlp_norm)/scale', ('vector',)),
  (f'{_MOOG_BLOCK}/mlp/dense_in/kernel', ('embed', 'mlp')),
  (f'{_MOOG_BLOCK}/mlp/dense_in/bias', ('mlp',)),
  (f'{_MOOG_BLOCK}/mlp/dense_out/kernel', ('mlp', 'embed')),
  (f'{_MOOG_BLOCK}/mlp/dense_out/bias', ('vector',)),
  ('(predictor|corrector|decoder/transformer)/norm/scale', ('vector',)),
  ('decoder/output/kernel', ('embed', None)),
  ('decoder/output/bias', (None,)),
  ('state_norm/scale', ('vector',)),
  ('start/embeddings', (None, 'embed')),
  ('(gradient|fuse)/kernel', (None, 'embed')),
  ('(gradient|fuse)/bias', ('vector',)),
)

# Beside the rows above that it shares: of attention and MLPs in its blocks, of
# the patch embedding, the state's norm and the pixel head.
RVM: Table = (
  ('(class|mask)_token/embeddings', (None, 'vector')),
  ('(processor|core|decoder)/norm/(scale|bias)', ('vector',)),
  ('core/(input|state)_(update|reset)/kernel', ('embed', None)),
  ('layers/cross_norm/(scale|bias)', ('layers', 'vector')),
  (
    'layers/cross_attention/(query|key|value)/kernel',
    ('layers', 'embed', 'heads', 'head_dim'),
  ),
  (
    'layers/cross_attention/(query|key|value)/bias',
    ('layers', 'heads', 'head_dim'),
  ),
  (
    'layers/cross_attention/out/kernel',
    ('layers', 'heads', 'head_dim', 'embed'),
  ),
  ('layers/cross_attention/out/bias', ('layers', 'vector')),
  ('decoder/(project|gap)/kernel', ('embed', None)),
  ('decoder/(project|gap)/bias', ('vector',)),
)

# One head per task, stacked over the learning rates that it is trained with.
READOUT: Table = tuple(
  (rf'heads/\w+/{path}', (None, *axes))
  for path, axes in (
    ('(norm|mlp_norm)/(scale|bias)', ('vector',)),
    ('(posenc|query|query/tile)/embeddings', (None, 'embed')),
    # Widths of coordinates are small, and no mesh need divide them.
    ('query/dense_in/kernel', (None, 'mlp')),
    ('query/dense_in/bias', ('mlp',)),
    ('query/dense_out/kernel', ('mlp', 'embed')),
    ('query/project/kernel', ('embed', None)),
    ('query/(dense_out|project)/bias', ('vector',)),
    ('attention/(key|value)/kernel', ('embed', 'heads', 'head_dim')),
    ('attention/(key|value)/bias', ('heads', 'head_dim')),
    ('attention/out/kernel', ('heads', 'head_dim', 'embed')),
    ('attention/out/bias', ('vector',)),
    ('mlp/dense_in/kernel', ('embed', 'mlp')),
    ('mlp/dense_in/bias', ('mlp',)),
    ('mlp/dense_out/kernel', ('mlp', 'embed')),
    ('mlp/dense_out/bias', ('vector',)),
    # A task's outputs may be any number, which no mesh need divide.
    ('output/kernel', ('embed', None)),
    ('output/bias', (None,)),
  )
)

# MooG's own heads, see `models/moog/readout.py`.
_READER = r'reader/(transformer/)?'
_LAYER = rf'{_READER}layer_\d+'
MOOG_READOUT: Table = tuple(
  (rf'heads/\w+/{path}', (None, *axes))
  for path, axes in (
    (f'{_READER}project/kernel', (None, 'embed')),
    (f'{_READER}(project|output)/bias', (None,)),
    (f'{_READER}output/kernel', ('embed', None)),
    (f'{_READER}norm/scale', ('vector',)),
    (f'{_LAYER}/(norm|mlp_norm)/scale', ('vector',)),
    (
      f'{_LAYER}/cross_attention/query/kernel',
      (None, 'heads', 'head_dim'),
    ),
    (
      f'{_LAYER}/cross_attention/(key|value)/kernel',
      (None, 'heads', 'head_dim'),
    ),
    (f'{_LAYER}/cross_attention/(query|key)_norm/scale', ('vector',)),
    (f'{_LAYER}/cross_attention/out/kernel', ('heads', 'head_dim', None)),
    (f'{_LAYER}/cross_attention/out/bias', ('vector',)),
    (f'{_LAYER}/mlp/dense_in/kernel', (None, 'mlp')),
    (f'{_LAYER}/mlp/dense_in/bias', ('mlp',)),
    (f'{_LAYER}/mlp/dense_out/kernel', ('mlp', None)),
    (f'{_LAYER}/mlp/dense_out/bias', ('vector',)),
    ('(predictor|values|logits)/dense_in/kernel', ('embed', 'mlp')),
    ('(predictor|values|logits)/dense_in/bias', ('mlp',)),
    ('predictor/dense_out/kernel', ('mlp', 'embed')),
    ('predictor/dense_out/bias', ('vector',)),
    ('(values|logits)/dense_out/kernel', ('mlp', None)),
    ('(values|logits)/dense_out/bias', (None,)),
  )
)

TABLE: Table = (*VIT, *MAE, *DINO, *MOOG, *RVM, *READOUT, *MOOG_READOUT)

Rules = Mapping[str, str | tuple[str, ...] | None]
_RULES: contextvars.ContextVar[Rules | None] = contextvars.ContextVar(
  'sharding_rules', default=None
)


def logical_axes(params: Mapping[str, Any]) -> dict[str, Any]:
  """The tree of `params` with each leaf replaced by its tuple of axis names.

  Args:
    params: nested dict of arrays, or of anything with `ndim`.

  Raises:
    ValueError: a leaf has no row in TABLE, or several, or a row of another
      number of axes.
  """

  def axes_of(path, leaf):
    name = '/'.join(key.key for key in path)
    axes = TABLE[row_of(name)][1]
    # A row of the wrong length would split some other axis, and say nothing.
    if len(axes) != leaf.ndim:
      raise ValueError(
        f'{name} has {leaf.ndim} axes, its row in models/sharding.py names '
        f'{len(axes)}: {axes}. Correct the row, or add one.'
      )
    return axes

  return jax.tree_util.tree_map_with_path(axes_of, params)


def row_of(name: str) -> int:
  """The number of the one row of TABLE that matches a parameter's path.

  Raises:
    ValueError: no row matches, or several do.
  """
  rows = [
    i
    for i, (pattern, _) in enumerate(TABLE)
    if re.search(f'(^|/)({pattern})$', name)
  ]
  if len(rows) != 1:
    found = [TABLE[i][0] for i in rows]
    raise ValueError(
      f'{name} needs exactly one row in models/sharding.py, {len(rows)} match'
      f'{": " + str(found) if found else ""}. Add a row, or make them exclude '
      'one another.'
    )
  return rows[0]


@contextlib.contextmanager
def rules(table: Rules) -> Iterator[None]:
  """Inside, `constrain` is active: trace the step here, under jax.set_mesh.

  Args:
    table: logical axis -> mesh axis, several mesh axes, or None. An axis that
      is not in it is not split.

  Raises:
    ValueError: a name that is not a logical axis.
  """
  unknown = sorted(set(table) - set(AXES))
  if unknown:
    raise ValueError(
      f'{unknown} are not logical axes: expected some of {AXES}.'
    )
  token = _RULES.set(table)
  try:
    yield
  finally:
    _RULES.reset(token)


def spec(axes: tuple[str | None, ...], table: Rules) -> PartitionSpec:
  """The mesh axes that `table` gives to logical `axes`."""
  return PartitionSpec(*(table.get(axis) for axis in axes))


def shards(axis: str | None) -> int:
  """Parts that a logical axis is split into here; 1 outside `rules`."""
  sizes = jax.sharding.get_abstract_mesh().shape
  return math.prod(sizes.get(name, 1) for name in _mesh_axes(axis))


def mesh_axis(axis: str) -> str:
  """The mesh axis of a logical one, for collectives inside `per_shard`.

  Raises:
    ValueError: it is split over none, or over several.
  """
  names = _mesh_axes(axis)
  if len(names) != 1:
    raise ValueError(
      f'{axis} are split over {names or "no axis"} of the mesh: a collective '
      'needs exactly one. Correct the rules'
    )
  return names[0]


def _mesh_axes(axis: str | None) -> tuple[str, ...]:
  names = (_RULES.get() or {}).get(axis) or ()
  return (names,) if isinstance(names, str) else tuple(names)


def constrain(x: jax.Array, *axes: str | None) -> jax.Array:
  """Tells the compiler how an activation is split; identity outside `rules`.

  Args:
    x: any array.
    *axes: the logical name of each of its axes, or None.
  """
  table = _RULES.get()
  if table is None:
    return x
  return jax.lax.with_sharding_constraint(x, spec(axes, table))


def per_shard(function, ins, outs):
  """`function` on what each device holds; itself outside `rules`.

  For kernels, which the compiler cannot split.

  Args:
    function: of arrays, to several arrays.
    ins: logical axes of each argument.
    outs: logical axes of each result.
  """
  table = _RULES.get()
  if table is None:
    return function
  return jax.shard_map(
    function,
    in_specs=tuple(spec(axes, table) for axes in ins),
    out_specs=tuple(spec(axes, table) for axes in outs),
    check_vma=False,  # kernels do not say over which axes results vary
  )


def gather(params: Mapping[str, Any], path: str, dtype) -> Mapping[str, Any]:
  """Parameters as the arithmetic reads them: whole along `embed`.

  FSDP keeps a matrix in shards along that axis, and collects it where it is
  used. Said here, since a compiler left alone may send activations instead,
  or collect float32 and then cast. What is collected is cast first; gradients
  go back to the shards that they belong to, in the same precision, which makes
  a reduce-scatter of them: left alone, gradients of a collected matrix are
  collected too.

  Identity outside `rules`, and where nothing is split along `embed`.

  Args:
    params: a nested dict; stacked ones may have lost their axis `layers`.
    path: where in the model it is, as 'processor/layers'.
    dtype: of the arithmetic.
  """
  if shards('embed') == 1:
    return params
  table = _RULES.get()

  def one(keys, leaf):
    name = '/'.join(filter(None, [path, *(key.key for key in keys)]))
    axes = TABLE[row_of(name)][1]
    # Inside a scan over layers a leaf is one layer's.
    axes = axes[len(axes) - leaf.ndim :]
    if 'embed' not in axes:
      return leaf
    # As a matrix: TPUs do not scatter every gradient of three axes.
    shape, names = (leaf.shape[0], -1), ('embed', axes[1])
    if axes[-1] == 'embed':
      shape, names = (-1, leaf.shape[-1]), (axes[0], 'embed')
    whole = tuple(None if axis == 'embed' else axis for axis in names)
    matrix = leaf.astype(dtype).reshape(shape)
    other = 1 - names.index('embed')
    if shards(names[other]) == 1 and matrix.shape[other] % shards('mlp') == 0:
      # `tensor` has no part in this kernel. It shares out the gradient all the
      # same: TPUs then scatter it, and would otherwise reduce all of it.
      names = ('embed', 'mlp') if other else ('mlp', 'embed')
    collected = _gather(matrix, spec(whole, table), spec(names, table))
    return collected.reshape(leaf.shape)

  return jax.tree_util.tree_map_with_path(one, params)


@functools.partial(jax.custom_vjp, nondiff_argnums=(1, 2))
def _gather(x, whole, split):
  """`x`, laid out as `whole`; its gradient, as `split`."""
  return jax.lax.with_sharding_constraint(x, whole)


def _gather_forward(x, whole, split):
  return _gather(x, whole, split), None


def _gather_backward(whole, split, _, gradient):
  return (jax.lax.with_sharding_constraint(gradient, split),)


_gather.defvjp(_gather_forward, _gather_backward)


def platform() -> str:
  """What the program being traced will run on: 'cpu', 'tpu' or 'gpu'.

  That is the mesh's platform where a mesh is set, so that a step compiled
  ahead of time for a TPU from a laptop is the TPU's step.
  """
  device = jax.sharding.get_abstract_mesh().abstract_device
  return jax.default_backend() if device is None else device.platform
