"""The backbone: how it is run changes nothing; what readouts read is exact."""

import jax
import numpy as np
import pytest

from models import sizes, vit
from models.nn import patches, stack
from models.nn.layers import Block
from tests.models import recipes
from train import mesh as mesh_lib


def assert_same(one, other, atol=2e-5):
  assert jax.tree.structure(one) == jax.tree.structure(other)
  for mine, theirs in zip(jax.tree.leaves(one), jax.tree.leaves(other)):
    np.testing.assert_allclose(mine, theirs, atol=atol)


@pytest.mark.parametrize(
  'changes',
  [
    {'scan': False},
    {'remat': 'full'},
    {'remat': 'named'},
    {'remat': 'dots'},
    {'remat': 'offload'},
    {'remat': 'offload', 'scan': False},
    {'attention': 'per_head'},
    {'attention': 'chunked'},
  ],
  ids=str,
)
def test_how_it_runs_changes_neither_value_nor_gradient(
  changes, small, params, batch, grad
):
  assert_same(
    grad(small(**changes), params, batch), grad(small(), params, batch)
  )


def test_offloaded_activations_are_in_the_hosts_memory_on_tpus(
  small, params, batch
):
  """On CPUs there is but one memory."""

  def placed(remat):
    model = small(remat=remat, attention='plain')
    loss = jax.jit(
      jax.grad(lambda p: model.loss(p, batch, jax.random.key(0))[0])
    )
    lowered = loss.trace(params).lower(lowering_platforms=('tpu',))
    return lowered.as_text().count('_xla_buffer_placement = "pinned_host"')

  # In each of two loops, what the six names of a block keep, once.
  assert placed('offload') == 2 * 6
  assert placed('named') == 0


def test_bfloat16_is_near_float32(small, params, batch, grad):
  loss, gradient = grad(small(dtype='bfloat16'), params, batch)
  exact, _ = grad(small(), params, batch)
  np.testing.assert_allclose(loss, exact, rtol=0.02)
  assert {leaf.dtype for leaf in jax.tree.leaves(gradient)} == {
    np.dtype('float32')
  }


def test_tokens_are_the_published_convolution(small, params, batch):
  """A VALID convolution of stride = kernel, plus positions."""
  encoder = params['encoder']
  video = patches.to_unit(batch['video'], 'float32')
  expected = jax.lax.conv_general_dilated(
    video,
    encoder['patch_embedding']['kernel'],
    window_strides=(2, 4, 2),
    padding='VALID',
    dimension_numbers=('NTHWC', 'THWIO', 'NTHWC'),
  )
  expected += encoder['patch_embedding']['bias']
  expected += encoder['posenc']['embeddings']
  backbone = small().backbone
  cut = patches.patchify(batch['video'], backbone.patch)
  tokens = backbone.embed(encoder, cut)
  np.testing.assert_allclose(tokens, expected.reshape(3, 24, 16), atol=1e-5)


@pytest.mark.parametrize('depth', [0.2, 0.4, 0.6, 0.8, 0.95, 1.0])
def test_features_are_the_published_list(depth, small, params, batch):
  """[tokens, input of block 0, ..., input of the last block]."""
  objective = small()
  encoder, layers = params['encoder'], params['processor']['layers']
  cut = patches.patchify(batch['video'], (2, 4, 2))
  x = objective.backbone.embed(encoder, cut)
  listed = [x]
  block = jax.jit(Block(heads=2, mlp=24).apply)
  for i in range(4):
    listed.append(x)
    x = block({'params': jax.tree.map(lambda a, i=i: a[i], layers)}, x)
  expected = listed[int(len(listed) * depth) - 1]
  features = objective.features(params, batch['video'], depth=depth)
  assert features.tokens.shape == (3, 2, 12, 16)
  np.testing.assert_allclose(
    features.tokens.reshape(3, 24, 16), expected, atol=1e-5
  )


def test_the_default_depth_of_every_published_size():
  published = {'S': 10, 'B': 10, 'L': 21, 'H': 29, 'G': 44, 'e': 52, 'j': 59}
  for name, blocks in published.items():
    assert vit.blocks_before(sizes.SIZES[name].depth, 0.95) == blocks, name


def test_features_do_not_run_the_blocks_after_them(small, params, batch):
  broken = jax.tree.map(
    lambda a: a.at[-1].set(np.nan), params['processor']['layers']
  )
  broken = params | {'processor': {'layers': broken}}
  features = small().features(broken, batch['video'])
  assert np.isfinite(features.tokens).all()


@pytest.mark.parametrize('depth', [0.1, 1.3])
def test_a_depth_outside_the_list_is_refused(depth):
  with pytest.raises(ValueError, match=f'depth={depth} names entry'):
    vit.blocks_before(4, depth)


def test_split_and_unstack_undo_stacking():
  layers = {'a': np.arange(12.0).reshape(4, 3)}
  first, last = stack.split(layers, 3)
  assert (first['a'].shape, last['a'].shape) == ((3, 3), (1, 3))
  np.testing.assert_array_equal(stack.unstack(layers)[2]['a'], layers['a'][2])


def test_flops_of_a_full_forward_pass():
  # GFLOP of all blocks over 1568 tokens.
  for name, giga in {'B': 357, 'e': 12_900, 'j': 69_900}.items():
    backbone = recipes.mae(size=name).backbone
    total = backbone.flops(backbone.tokens, backbone.size.depth) / 1e9
    assert total == pytest.approx(giga, rel=0.01), name


def test_clips_of_another_shape_are_refused(small, params, batch):
  with pytest.raises(ValueError, match=r'Set model.frames, model.height'):
    small().features(params, batch['video'][:, :2])
  with pytest.raises(ValueError, match=r"unknown model\.remat 'all'"):
    small(remat='all')


def test_a_mesh_splits_whole_clips_into_whole_time_steps(small, params, batch):
  objective = small()
  with (
    mesh_lib.use(mesh_lib.make(fsdp=2, sequence=4)),
    pytest.raises(ValueError, match='sequence=4 must divide the 2 time steps'),
  ):
    jax.eval_shape(objective.features, params, batch['video'])
  with (
    mesh_lib.use(mesh_lib.make(fsdp=4, sequence=2)),
    pytest.raises(ValueError, match='on 6 tokens here, of clips of 24'),
  ):
    jax.eval_shape(objective.loss, params, batch, jax.random.key(0))
