"""Every parameter has logical axes, and rules reach activations."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, PartitionSpec

from models import distill, objective, sharding, sizes
from models.moog.readout import (
  ConditionalAutoregressiveReadout,
  DenseHead,
  DenseReadout,
  RecurrentHead,
)
from tests.models import recipes

CLIPS = {'video': jax.ShapeDtypeStruct((2, 16, 224, 224, 3), np.uint8)}


def names(params):
  leaves = jax.tree_util.tree_leaves_with_path(params)
  return ['/'.join(key.key for key in path) for path, _ in leaves]


def test_the_table_covers_every_size_and_no_row_is_idle():
  idle = set(range(len(sharding.VIT) + len(sharding.MAE)))
  for size in sizes.SIZES:
    params = jax.eval_shape(
      recipes.mae(size=size).init, jax.random.key(0), CLIPS
    )
    axes = sharding.logical_axes(params)
    assert jax.tree.structure(params) == jax.tree.structure(
      axes, is_leaf=lambda x: isinstance(x, tuple)
    )
    idle -= {sharding.row_of(name) for name in names(params)}
  assert not idle


def test_the_table_covers_distillation():
  clip = {'frames': 16, 'height': 224, 'width': 224, 'depth': 0.95}
  made = distill.make(student=recipes.VIT, teacher=recipes.VIT, **clip)
  params = jax.eval_shape(made.init, jax.random.key(0), CLIPS)
  sharding.logical_axes(params)


def test_the_table_covers_others_encoders_and_no_row_is_idle():
  used = set()
  for name, options in recipes.ENCODERS.items():
    made = objective.make(name, **options)
    clips = {'video': jax.ShapeDtypeStruct((2, *made.clip, 3), np.uint8)}
    params = jax.eval_shape(made.init, jax.random.key(0), clips)
    sharding.logical_axes(params)
    used |= {sharding.TABLE[sharding.row_of(path)] for path in names(params)}
  assert used >= set(sharding.DINO)


def test_the_table_covers_moog_and_no_row_is_idle():
  options = [{}, {'variant': 'B'}, {'loss_gradient': True}]
  options += [{'layout': 'grid_recurrent'}, {'start': 'learned'}]
  clips = {'video': jax.ShapeDtypeStruct((2, 8, 128, 128, 3), np.uint8)}
  used = set()
  for each in options:
    params = jax.eval_shape(recipes.moog(**each).init, jax.random.key(0), clips)
    sharding.logical_axes(params)
    used |= {sharding.TABLE[sharding.row_of(name)] for name in names(params)}
  assert used == set(sharding.MOOG)


def test_the_table_covers_rvm_and_no_row_is_idle():
  clips = {'video': jax.ShapeDtypeStruct((2, 52, 256, 256, 3), np.uint8)}
  params = jax.eval_shape(recipes.rvm().init, jax.random.key(0), clips)
  sharding.logical_axes(params)
  used = {sharding.TABLE[sharding.row_of(name)] for name in names(params)}
  assert used >= set(sharding.RVM)


def test_the_table_covers_moogs_heads_and_no_row_is_idle():
  inner = {'layers': 1, 'heads': 2, 'head_dim': 4, 'mlp': 8}
  recurrent = ConditionalAutoregressiveReadout(
    values=2, logits=2, width=16, **inner
  )
  heads = {
    'points': RecurrentHead(recurrent, frames=4),
    'depth': DenseHead(DenseReadout(**inner), (4, 16, 16), (2, 8, 8)),
  }
  tokens = jnp.zeros((1, 4, 3, 6))
  asked = {'points': jnp.zeros((1, 2, 2)), 'depth': None}

  def init(key):
    made = {
      name: head.init(key, tokens, asked[name])['params']
      for name, head in heads.items()
    }
    return {'heads': jax.tree.map(lambda x: x[None], made)}

  params = jax.eval_shape(init, jax.random.key(0))
  sharding.logical_axes(params)
  used = {sharding.TABLE[sharding.row_of(name)] for name in names(params)}
  assert used >= set(sharding.MOOG_READOUT)


def test_the_axes_that_matter():
  params = jax.eval_shape(recipes.mae().init, jax.random.key(0), CLIPS)
  layers = sharding.logical_axes(params)['processor']['layers']
  attention = layers['attention']
  assert attention['query']['kernel'] == (
    'layers',
    'embed',
    'heads',
    'head_dim',
  )
  assert layers['mlp']['dense_out']['kernel'] == ('layers', 'mlp', 'embed')


def test_every_name_is_a_logical_axis():
  used = {axis for _, axes in sharding.TABLE for axis in axes} - {None}
  assert used <= set(sharding.AXES)


def test_a_prefix_is_allowed():
  leaf = np.zeros((1, 2, 3))
  tree = {'backbone': {'layers': {'mlp': {'dense_in': {'kernel': leaf}}}}}
  axes = sharding.logical_axes(tree)
  found = axes['backbone']['layers']['mlp']['dense_in']['kernel']
  assert found == ('layers', 'embed', 'mlp')


def test_a_leaf_without_a_row_is_named():
  with pytest.raises(ValueError, match='decoder/gate needs exactly one row'):
    sharding.logical_axes({'decoder': {'gate': np.zeros(3)}})


def test_a_name_that_only_ends_like_a_row_has_none():
  for name in ('overhead/bias', 'head/bias_of'):
    with pytest.raises(ValueError, match=r'exactly one row.*, 0 match'):
      sharding.row_of(name)


def test_a_leaf_with_two_rows_is_named(monkeypatch):
  rows = (*sharding.TABLE, ('d/bias', (None,)), ('.*/d/bias', ('mlp',)))
  monkeypatch.setattr(sharding, 'TABLE', rows)
  assert sharding.row_of('d/bias') == len(rows) - 2
  with pytest.raises(ValueError, match=r"2 match: \['d/bias', '\.\*/d/bias'\]"):
    sharding.row_of('layers/d/bias')


@pytest.mark.parametrize(('shape', 'axes'), [((), 0), ((3, 3), 2)])
def test_a_row_of_another_rank_is_named(shape, axes):
  with pytest.raises(ValueError, match=f'head/bias has {axes} axes'):
    sharding.logical_axes({'head': {'bias': np.zeros(shape)}})


def test_constrain_is_the_identity_outside_rules():
  """Before them and behind them, also where they end by an error."""
  x = jnp.ones((4, 2))
  assert sharding.constrain(x, 'batch', None) is x
  with pytest.raises(KeyError), sharding.rules({'batch': 'fsdp'}):
    raise KeyError
  assert sharding.constrain(x, 'batch', None) is x


def test_constrain_splits_inside_rules():
  mesh = jax.make_mesh((4, 2), ('fsdp', 'tensor'), (AxisType.Auto,) * 2)
  table = {'batch': 'fsdp', 'mlp': 'tensor'}

  @jax.jit
  def step(x):
    return sharding.constrain(x * 2, 'batch', None, 'mlp')

  with jax.set_mesh(mesh), sharding.rules(table):
    out = step(jnp.ones((8, 3, 6)))
  assert out.sharding.spec == PartitionSpec('fsdp', None, 'tensor')


def test_rules_refuse_a_name_that_is_no_axis():
  with (
    pytest.raises(ValueError, match="'bacth'"),
    sharding.rules({'bacth': 'fsdp'}),
  ):
    pass


def test_platform_is_the_meshs():
  assert sharding.platform() == 'cpu'
  mesh = jax.make_mesh((8,), ('fsdp',), (AxisType.Auto,))
  with jax.set_mesh(mesh):
    assert sharding.platform() == 'cpu'
  with jax.sharding.use_abstract_mesh(recipes.MESH_OF_TPUS):
    assert sharding.platform() == 'tpu'


def test_gather_is_the_identity_where_nothing_is_split():
  layer = {'mlp': {'dense_in': {'kernel': jnp.ones((4, 2))}}}
  assert sharding.gather(layer, 'layers', 'bfloat16') is layer
  mesh = jax.make_mesh((1, 8), ('fsdp', 'tensor'), (AxisType.Auto,) * 2)
  with jax.set_mesh(mesh), sharding.rules({'embed': 'fsdp'}):
    assert sharding.gather(layer, 'layers', 'bfloat16') is layer


def test_gather_collects_kernels_and_scatters_their_gradients():
  mesh = jax.make_mesh((4, 2), ('fsdp', 'tensor'), (AxisType.Auto,) * 2)
  layer = {
    'mlp': {'dense_in': {'kernel': jnp.ones((8, 6)), 'bias': jnp.ones(6)}}
  }

  @jax.jit
  def step(layer):
    return sharding.gather(layer, 'layers', 'bfloat16')

  @jax.jit
  def gradient(layer):
    return jax.grad(lambda layer: jnp.sum(jax.tree.leaves(step(layer))[1]))(
      layer
    )

  table = {'embed': 'fsdp', 'mlp': 'tensor'}
  with jax.set_mesh(mesh), sharding.rules(table):
    whole = step(layer)['mlp']['dense_in']
    grads = gradient(layer)['mlp']['dense_in']
  assert whole['kernel'].sharding.spec == PartitionSpec(None, 'tensor')
  assert whole['kernel'].dtype == jnp.bfloat16
  assert whole['bias'].dtype == jnp.float32
  assert grads['kernel'].sharding.spec == PartitionSpec('fsdp', 'tensor')
  assert grads['kernel'].dtype == jnp.float32
