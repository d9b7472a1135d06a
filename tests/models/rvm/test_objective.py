"""RVM: the published graph, time, causality, draws and what it costs."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import rvm as recipe
from evals.flops import forward_flops
from models import objective as objective_lib
from models.nn import positions
from models.rvm import encoder as encoder_lib
from tests.models import recipes
from tests.models.rvm import reference
from train import mesh as mesh_lib


def make(**changes):
  """A tiny model: a grid of 2 x 4 places, three frames seen, two told."""
  options = {
    **{'dim': 10, 'depth': 2, 'mlp': 14, 'heads': 2},
    **{'frames': 6, 'height': 8, 'width': 12, 'patch': (4, 3)},
    **{'sources': 3, 'targets': 2, 'gap': (1, 3), 'mask_ratio': 0.75},
    **{'core_layers': 2, 'core_heads': 5, 'core_mlp': 13},
    **{'decoder_layers': 2, 'decoder_dim': 12, 'decoder_heads': 3},
    **{'decoder_mlp': 18},
  }
  return recipes.rvm(**options | changes)


@pytest.fixture(scope='module', autouse=True)
def quick_to_compile():
  """These programs run once: compiling them well takes longer than they do."""
  jax.config.update('jax_disable_most_optimizations', True)
  yield
  jax.config.update('jax_disable_most_optimizations', False)


@pytest.fixture(scope='module')
def batch():
  video = np.random.default_rng(0).integers(
    0, 256, (3, 6, 8, 12, 3), dtype=np.uint8
  )
  rows = np.arange(3, dtype=np.uint32)
  return {'video': jnp.asarray(video), 'row': jnp.asarray(rows)}


def params_of(objective, batch):
  """Parameters with no zeros among them, so that biases matter."""
  made = jax.eval_shape(objective.init, jax.random.key(0), batch)
  leaves, tree = jax.tree.flatten(made)
  rng = np.random.default_rng(1)
  values = [rng.normal(0, 0.4, leaf.shape) for leaf in leaves]
  return tree.unflatten([jnp.asarray(v, jnp.float32) for v in values])


def doubled(params):
  return jax.tree.map(lambda x: np.asarray(x, np.float64), params)


@functools.cache
def jitted(method):
  return jax.jit(method)


def features_of(objective):
  return jitted(objective.features)


def test_features_are_the_published_graph(batch):
  objective = make()
  params = params_of(objective, batch)
  state = np.random.default_rng(2).normal(size=(3, 9, 10)).astype(np.float32)
  place = encoder_lib.places('sines', (2, 4), 10).reshape(8, 10)
  for start in (None, state):
    got = features_of(objective)(params, batch['video'], state=start)
    assert got.tokens.shape == (3, 6, 8, 10)
    for i, clip in enumerate(batch['video']):
      want = reference.run(
        doubled(params),
        np.asarray(clip) / 255,
        np.asarray(place, np.float64),
        None if start is None else start[i],
      )
      # Without the class token, which is carried on.
      np.testing.assert_allclose(got.tokens[i], want[:, 1:], atol=1e-5)
      np.testing.assert_allclose(got.state[i], want[-1], atol=1e-5)


def test_places_are_a_fixed_table_of_one_axis():
  """As published for 16 x 16, resized for other grids."""
  table = encoder_lib.places('sines', (16, 16), 6)
  np.testing.assert_allclose(
    table.reshape(256, 6), reference.sines(256, 6), atol=1e-6
  )
  want = jax.image.resize(table[0], (2, 5, 6), 'bicubic')
  small = encoder_lib.places('sines', (2, 5), 6)
  np.testing.assert_allclose(small[0], want, atol=1e-6)
  waves = encoder_lib.places('waves', (2, 5), 12)
  np.testing.assert_array_equal(
    waves, positions.waves((1, 2, 5), (1, 1, 1), 12)
  )


@pytest.mark.parametrize(
  ('size', 'count'),
  # Published: 375M and 743M.
  [('large', 374_483_968), ('huge', 742_178_560)],
)
def test_parameter_counts_are_the_published_ones(size, count):
  config = recipe.get_config(f'size={size},data=DATA').model.to_dict()
  objective = objective_lib.make(**config)
  clips = {'video': jax.ShapeDtypeStruct((1, 52, 256, 256, 3), np.uint8)}
  params = jax.eval_shape(objective.init, jax.random.key(0), clips)
  del params['decoder']
  assert sum(leaf.size for leaf in jax.tree.leaves(params)) == count


def test_the_loss_is_of_all_pixels_of_the_targets(batch):
  objective = make()
  params, rng = params_of(objective, batch), jax.random.key(3)
  loss, metrics = jitted(objective.loss)(params, batch, rng)
  pictures = jitted(objective.pictures)(params, batch, rng)
  # What is drawn is clipped: so is what is compared here.
  assert set(pictures) == {'prediction'}
  rows = np.split(np.asarray(pictures['prediction']), 4, axis=2)
  last, seen, _, truth = rows
  video = np.asarray(batch['video']) / 255
  gaps, index = objective.draw(objective_lib.row_keys(rng, batch))
  for i, (times, patches) in enumerate(zip(gaps, index)):
    for j, (gap, places) in enumerate(zip(times, patches)):
      np.testing.assert_allclose(truth[i, j], video[i, 2 + gap], atol=1e-6)
      np.testing.assert_allclose(last[i, j], video[i, 2], atol=1e-6)
      hidden = np.ones((8, 12, 3), bool)
      for place in np.asarray(places):
        y, x = divmod(place, 4)
        hidden[4 * y : 4 * y + 4, 3 * x : 3 * x + 3] = False
      want = np.where(hidden, 0.5, truth[i, j])
      np.testing.assert_allclose(seen[i, j], want, atol=1e-6)
  copied = np.mean((last - truth) ** 2)
  np.testing.assert_allclose(metrics['loss_copy'], copied, rtol=1e-5)
  guess = jitted(objective.reconstruct)(
    params, objective._patches(batch['video']), gaps, index
  )
  error = np.mean((np.asarray(objective._whole(guess)) - truth) ** 2)
  np.testing.assert_allclose(loss, error, rtol=1e-5)


def test_targets_may_be_normalised_patch_by_patch(batch):
  objective = make(normalise_target=True)
  params, rng = params_of(objective, batch), jax.random.key(3)
  gaps, index = objective.draw(objective_lib.row_keys(rng, batch))
  video = objective._patches(batch['video'])
  guess = jitted(make().reconstruct)(params, video, gaps, index)
  truth = np.asarray(objective._later(video, gaps)) / 255
  truth -= truth.mean(-1, keepdims=True)
  truth /= np.sqrt((truth**2).mean(-1, keepdims=True) + 1e-6)
  loss, _ = jitted(objective.loss)(params, batch, rng)
  np.testing.assert_allclose(loss, np.mean((guess - truth) ** 2), rtol=1e-4)


def test_targets_are_told_from_all_sources_their_gap_and_what_is_seen(batch):
  """And of nothing else: neither what is hidden, nor other frames."""
  objective = make()
  params = params_of(objective, batch)
  video = objective._patches(batch['video'] / 255.0)[:1]
  gaps, index = jnp.array([[1, 3]]), jnp.array([[[0, 5], [2, 7]]])

  @jax.jit
  def slope(video, gaps):
    def first(video):
      guess = objective.reconstruct(params, video, gaps, index)
      return jnp.sum(
        guess[:, 0]
        * jnp.linspace(1, 2, guess[0, 0].size).reshape(guess[0, 0].shape)
      )

    return jax.grad(first)(video)

  change = np.abs(slope(video, gaps))[0].max(-1)
  assert (change[:3] > 0).all()  # every patch of every source
  assert np.flatnonzero(change[3]).tolist() == [0, 5]
  assert not change[4:].any()
  run = jitted(objective.reconstruct)
  # The frame that is one later, as if it were two: what is seen is the same.
  same = video.at[:, 4].set(video[:, 3])
  one, two = (
    run(params, same, jnp.array([[gap, 3]]), index)[:, 0] for gap in (1, 2)
  )
  assert np.abs(one - two).max() > 1e-3


def test_draws_are_different_gaps_and_places(batch):
  objective = make()
  keys = jax.random.split(jax.random.key(0), 200)
  gaps, index = jitted(objective.draw)(keys)
  assert {tuple(pair) for pair in gaps.tolist()} == {(1, 2), (1, 3), (2, 3)}
  assert index.shape == (200, 2, 2)
  assert {len({*places}) for places in index.reshape(-1, 2).tolist()} == {2}
  counts = np.bincount(index.ravel(), minlength=8)
  assert counts.min() > 60  # of 100
  assert not (index[:, 0] == index[:, 1]).all()


def test_draws_of_a_row_depend_on_its_number_and_the_key(batch):
  objective = make()
  params, rng = params_of(objective, batch), jax.random.key(2)
  loss = jitted(objective.loss)
  whole = loss(params, batch, rng)[0]
  parts = []
  for i in range(3):
    part = {name: value[i : i + 1] for name, value in batch.items()}
    parts.append(loss(params, part, rng)[0])
  np.testing.assert_allclose(np.mean(parts), whole, rtol=1e-5)
  other = loss(params, batch, jax.random.key(4))[0]
  assert abs(other - whole) > 1e-4


@pytest.mark.parametrize(
  'options',
  [
    {'remat': 'named'},
    pytest.param({'remat': 'none'}, marks=pytest.mark.slow),
    pytest.param({'remat': 'offload'}, marks=pytest.mark.slow),
    pytest.param({'remat': 'dots'}, marks=pytest.mark.slow),
  ],
  ids=str,
)
def test_scanned_equals_unrolled_in_value_and_gradient(options, batch):
  """Whatever is recomputed; unrolled, all is."""
  params = params_of(make(), batch)
  results = []
  for how in ({}, {'scan': False, 'remat': 'full'}):
    run = jax.value_and_grad(make(**options | how).loss, has_aux=True)
    results.append(jax.jit(run)(params, batch, jax.random.key(2)))
  for got, want in zip(*map(jax.tree.leaves, results)):
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)


def test_named_remat_makes_few_products_twice(batch):
  params = params_of(make(), batch)

  def flops(remat):
    loss = make(remat=remat, attention='plain').loss
    gradient = jax.grad(
      lambda params: loss(params, batch, jax.random.key(2))[0]
    )
    return forward_flops(gradient, params)

  least = flops('none')
  assert flops('named') - least < 0.25 * (flops('full') - least)


def test_gradients_reach_every_parameter(batch):
  objective = make()
  params = params_of(objective, batch)
  gradient = jax.jit(jax.grad(lambda *x: objective.loss(*x)[0]))(
    params, batch, jax.random.key(2)
  )
  for part in ('processor', 'core', 'decoder'):
    layers = gradient[part]['layers']
    # Keys' biases change nothing: a softmax does not see them.
    for name in layers.keys() & {'attention', 'cross_attention'}:
      layers[name]['key'].pop('bias')
  for path, leaf in jax.tree_util.tree_leaves_with_path(gradient):
    assert abs(leaf).max() > 1e-7, jax.tree_util.keystr(path)


def test_chunks_with_carried_state_equal_the_whole(batch):
  objective = make()
  params = params_of(objective, batch)
  run = features_of(objective)
  whole = run(params, batch['video'])
  state, tokens = None, []
  for first, end in ((0, 1), (1, 3), (3, 6)):
    part = run(params, batch['video'][:, first:end], state=state)
    tokens.append(part.tokens)
    state = part.state
  tokens = np.concatenate(tokens, axis=1)
  np.testing.assert_allclose(tokens, whole.tokens, rtol=1e-4, atol=1e-5)
  np.testing.assert_allclose(state, whole.state, rtol=1e-4, atol=1e-5)


def test_no_feature_depends_on_later_frames(batch):
  objective = make()
  params = params_of(objective, batch)

  def numbers(video):
    tokens = objective.features(params, video).tokens[0]
    mixed = jax.random.normal(jax.random.key(9), tokens.shape)
    return jnp.sum(tokens * mixed, axis=(1, 2))

  slopes = jax.jit(jax.jacrev(numbers))(batch['video'][:1] / 255.0)
  slopes = np.abs(slopes[:, 0]).max((2, 3, 4))
  assert (slopes[np.triu_indices(6, 1)] == 0).all()
  assert (slopes[np.tril_indices(6)] > 0).all()


def test_features_need_no_decoder(batch):
  objective = make()
  params = params_of(objective, batch)
  del params['decoder']
  jax.eval_shape(objective.features, params, batch['video'])


def test_flops_are_the_compilers(batch):
  """The formula against XLA's count, on a model of matrix products mostly."""
  objective = make(
    **{'dim': 32, 'mlp': 256, 'core_heads': 2, 'core_mlp': 200, 'depth': 1},
    **{'core_layers': 1, 'decoder_layers': 1, 'decoder_dim': 36},
    **{'decoder_mlp': 200, 'remat': 'none', 'scan': False},
  )
  params = jax.eval_shape(objective.init, jax.random.key(0), batch)
  step = jax.jit(jax.grad(lambda *x: objective.loss(*x)[0]))
  compiled = step.lower(params, batch, jax.random.key(0)).compile()
  formula = sum(objective.flops(batch).values())
  assert compiled.cost_analysis()['flops'] == pytest.approx(formula, rel=0.15)


def test_bfloat16_stays_close(batch):
  objective = make()
  params = params_of(objective, batch)
  params = jax.tree.map(lambda x: 0.5 * x, params)
  want = features_of(objective)(params, batch['video']).tokens
  half = features_of(make(dtype='bfloat16'))(params, batch['video'])
  assert half.tokens.dtype == half.state.dtype == jnp.float32
  np.testing.assert_allclose(half.tokens, want, atol=0.05)


@pytest.mark.parametrize(
  ('options', 'message'),
  [
    ({'patch': (4, 5)}, r'width=12 is not a multiple of 5'),
    ({'patch': (4, 4, 4)}, r'model.patch=\(4, 4, 4\) must be two numbers'),
    ({'gap': (1, 4)}, 'model.frames=6 must be at least 7'),
    ({'gap': (2, 2)}, 'with model.targets=2 different ones'),
    ({'gap': (0, 3)}, r'model.gap=\(0, 3\) must be two numbers of frames'),
    ({'targets': 0}, 'model.targets must be at least 1'),
    ({'mask_ratio': 0.95}, 'of 8 patches of a frame 0 are seen'),
    ({'core_heads': 3}, 'model.core_heads=3 must divide the core'),
    ({'decoder_layers': 0}, 'model.decoder_layers must be at least 1'),
    ({'positions': 'sine'}, "did you mean 'sines'"),
    ({'attention': 'flash'}, 'expected one of auto, plain'),
  ],
  ids=str,
)
def test_bad_options_say_what_to_do(options, message):
  with pytest.raises(ValueError, match=message):
    make(**options)


def test_bad_clips_are_refused_before_the_first_step(batch):
  narrow = {'video': batch['video'][:, :, :, :8]}
  with pytest.raises(ValueError, match=r'got shape \(3, 6, 8, 8, 3\)'):
    make().init(jax.random.key(0), narrow)
  params = jax.eval_shape(make().init, jax.random.key(0), batch)
  short = batch | {'video': batch['video'][:, :5]}
  with pytest.raises(ValueError, match=r'must have model\.frames=6'):
    jax.eval_shape(make().loss, params, short, jax.random.key(0))


def test_a_mesh_does_not_split_frames_that_follow_one_another(batch):
  objective = make()
  params = jax.eval_shape(objective.init, jax.random.key(0), batch)
  with (
    mesh_lib.use(mesh_lib.make(fsdp=4, sequence=2)),
    pytest.raises(ValueError, match='RVM sees one frame after another'),
  ):
    jax.eval_shape(objective.features, params, batch['video'])
