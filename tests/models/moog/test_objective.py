"""MooG: both published graphs, time, causality, draws and what it costs."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from evals.flops import forward_flops
from models.moog.cell import Pixels
from models.nn import pixels
from models.objective import row_keys
from tests.models import recipes
from tests.models.moog import reference
from train import mesh as mesh_lib

MODELS = (
  {'variant': 'A'},
  {'variant': 'B'},
  {'loss_gradient': True},
  {'layout': 'grid_recurrent', 'tokens': 24},
)


def make(**changes):
  """A tiny model, t != h != w, with few wavelengths: no rounding matters."""
  options = {
    'frames': 4,
    'height': 8,
    'width': 12,
    'tokens': 7,
    'dim': 10,
    'channels': (4, 6),
    'strides': (2, 1),
    'predictor_layers': 1,
    'predictor_heads': 1,
    'corrector_layers': 1,
    'corrector_heads': 2,
    'decoder_layers': 2,
    'decoder_heads': 2,
    'head_dim': 6,
    'mlp': 14,
    'encoder_bases': 3,
    'decoder_bases': 2,
    'start_std': 0.5,
    'subsample': 4,
    'eval_subsample': 2,
  }
  return recipes.moog(**options | changes)


@pytest.fixture(scope='module', autouse=True)
def quick_to_compile():
  """These programs run once: compiling them well takes longer than they do."""
  jax.config.update('jax_disable_most_optimizations', True)
  yield
  jax.config.update('jax_disable_most_optimizations', False)


@pytest.fixture(scope='module')
def batch():
  video = np.random.default_rng(0).integers(
    0, 256, (3, 4, 8, 12, 3), dtype=np.uint8
  )
  rows = np.arange(3, dtype=np.uint32)
  return {'video': jnp.asarray(video), 'row': jnp.asarray(rows)}


def params_of(objective, batch):
  """Parameters with no zeros among them, so that biases matter."""
  made = jax.eval_shape(objective.init, jax.random.key(0), batch)
  leaves, tree = jax.tree.flatten(made)
  rng = np.random.default_rng(1)
  values = [rng.normal(0, 0.3, leaf.shape) for leaf in leaves]
  return tree.unflatten([jnp.asarray(v, jnp.float32) for v in values])


@functools.cache
def loss_of(objective):
  return jax.jit(objective.loss)


@pytest.mark.parametrize('variant', ['A', 'B'])
def test_features_are_the_published_graph(variant, batch):
  objective = make(variant=variant)
  params = params_of(objective, batch)
  state = np.random.default_rng(2).normal(size=(3, 7, 10)).astype(np.float32)
  got = jax.jit(objective.features)(params, batch['video'], state=state)
  for clip, start, tokens, end in zip(batch['video'], state, *got):
    _, want, last = reference.run(objective, params, clip / 255, start)
    np.testing.assert_allclose(tokens, want, rtol=1e-4, atol=2e-4)
    np.testing.assert_allclose(end, last, rtol=1e-4, atol=2e-4)


@pytest.mark.parametrize(
  'options',
  [{'variant': 'A'}, {'variant': 'B'}, {'loss_gradient': True}],
  ids=str,
)
def test_the_loss_is_the_published_graph(options, batch):
  objective = make(**options)
  params, rng = params_of(objective, batch), jax.random.key(3)
  loss, metrics = loss_of(objective)(params, batch, rng)
  errors, copies = [], []
  keys = jax.vmap(lambda key: jax.random.split(key, 3))(row_keys(rng, batch))
  starts = objective.cell.start(params, keys[:, 2])
  shifts = np.asarray(pixels.draw(keys[:, 0], 4, 4))
  for clip, start, shift in zip(batch['video'], starts, shifts):
    clip = np.asarray(clip) / 255
    # As published: roll, then resize to a quarter.
    rolled = [np.roll(x, s, (0, 1))[2::4, 2::4] for x, s in zip(clip, shift)]
    place = reference.places(8, 12)
    place = [np.roll(place, s, (0, 1))[2::4, 2::4] for s in shift]
    error = reference.errors(objective, params, clip, start, rolled, place)
    errors.append(error)
    for t in range(1, 4):
      before = np.roll(clip[t - 1], shift[t], (0, 1))[2::4, 2::4]
      copies.append(np.mean((before - rolled[t]) ** 2))
  np.testing.assert_allclose(loss, np.mean(errors), rtol=1e-4)
  psnr = -10 * np.log10(np.mean(np.array(errors)[:, 1:]))
  np.testing.assert_allclose(metrics['psnr'], psnr, rtol=1e-4)
  psnr = -10 * np.log10(np.mean(copies))
  np.testing.assert_allclose(metrics['psnr_copy'], psnr, rtol=1e-4)


def test_evaluation_takes_more_pixels_and_does_not_shift_them(batch):
  objective = make()
  params = params_of(objective, batch)
  run = jax.jit(functools.partial(objective.loss, train=False))
  loss, _ = run(params, batch, jax.random.key(3))
  keys = jax.vmap(lambda key: jax.random.split(key, 3))(
    row_keys(jax.random.key(3), batch)
  )
  starts = objective.cell.start(params, keys[:, 2])
  errors = []
  for clip, start in zip(batch['video'], starts):
    clip = np.asarray(clip) / 255
    place = reference.places(8, 12)[1::2, 1::2]
    errors.append(
      reference.errors(
        *(objective, params, clip, start),
        clip[:, 1::2, 1::2],
        [place] * 4,
      )
    )
  np.testing.assert_allclose(loss, np.mean(errors), rtol=1e-4)


@pytest.mark.parametrize(
  ('options', 'count'),
  [
    ({'variant': 'A'}, 34_726_787),
    ({'variant': 'A', 'loss_gradient': True}, 35_251_587),
    ({'variant': 'B'}, 35_193_811),
  ],
  ids=str,
)
def test_parameter_counts_are_the_published_ones(options, count):
  objective = recipes.moog(**options)
  clips = {'video': jax.ShapeDtypeStruct((1, 8, 128, 128, 3), np.uint8)}
  params = jax.eval_shape(objective.init, jax.random.key(0), clips)
  assert sum(leaf.size for leaf in jax.tree.leaves(params)) == count
  if options['variant'] == 'B':
    # What the published weights hold without their decoder.
    del params['decoder']
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) == 19_337_680


@pytest.mark.parametrize(
  'options',
  [
    {'loss_gradient': True, 'stop_gradient': 0.5},
    pytest.param({'variant': 'B', 'remat': 'none'}, marks=pytest.mark.slow),
    pytest.param(
      {'layout': 'grid_recurrent', 'tokens': 24, 'remat': 'offload'},
      marks=pytest.mark.slow,
    ),
    pytest.param(
      {'layout': 'grid', 'tokens': 24, 'remat': 'dots'},
      marks=pytest.mark.slow,
    ),
    pytest.param({'remat': 'named'}, marks=pytest.mark.slow),
  ],
  ids=str,
)
def test_scanned_equals_unrolled_in_value_and_gradient(options, batch):
  """Whatever is recomputed; unrolled, all is."""
  # One carry from frame to frame; where all is on, one of another.
  frames = 3 if 'loss_gradient' in options else 2
  options = options | {'decoder_layers': 1, 'frames': frames}
  batch = batch | {'video': batch['video'][:, :frames]}
  params = params_of(make(**options), batch)
  results = []
  for how in ({}, {'scan': False, 'remat': 'full'}):
    run = jax.value_and_grad(make(**options | how).loss, has_aux=True)
    results.append(jax.jit(run)(params, batch, jax.random.key(2)))
  for got, want in zip(*map(jax.tree.leaves, results)):
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
  'options',
  # Under the loss gradient the decoder's backward pass is not kept.
  [each for each in MODELS if 'loss_gradient' not in each],
  ids=str,
)
def test_named_remat_makes_few_products_twice(options, batch):
  """Logits of attention, places and pixels; what is wide is kept."""
  params = params_of(make(**options), batch)

  def flops(remat):
    loss = make(remat=remat, attention='plain', **options).loss
    gradient = jax.grad(
      lambda params: loss(params, batch, jax.random.key(2))[0]
    )
    return forward_flops(gradient, params)

  least = flops('none')
  assert flops('named') - least < 0.2 * (flops('full') - least)


def test_gradients_reach_every_parameter(batch):
  objective = make(loss_gradient=True)
  params = params_of(objective, batch)
  gradient = jax.jit(jax.grad(lambda *x: objective.loss(*x)[0]))(
    params, batch, jax.random.key(2)
  )
  for path, leaf in jax.tree_util.tree_leaves_with_path(gradient):
    assert abs(leaf).max() > 1e-7, jax.tree_util.keystr(path)


@pytest.mark.parametrize(
  'options',
  [{'variant': 'A'}, {'variant': 'B'}, {'loss_gradient': True}],
  ids=str,
)
def test_chunks_with_carried_state_equal_the_whole(options, batch):
  objective = make(**options)
  params = params_of(objective, batch)
  run = jax.jit(objective.features)
  whole = run(params, batch['video'])
  state, tokens = None, []
  for first, end in ((0, 1), (1, 3), (3, 4)):
    part = run(params, batch['video'][:, first:end], state=state)
    tokens.append(part.tokens)
    state = part.state
  tokens = np.concatenate(tokens, axis=1)
  np.testing.assert_allclose(tokens, whole.tokens, rtol=1e-4, atol=1e-5)
  np.testing.assert_allclose(state, whole.state, rtol=1e-4, atol=1e-5)


def jacobian(function, video):
  """[t t]: how much output t [t ...] changes with frame t of the first clip."""
  mixed = jax.random.normal(jax.random.key(9), function(video).shape)
  mixed = mixed.reshape(len(mixed), -1)

  def numbers(video):
    return jnp.sum(function(video).reshape(mixed.shape) * mixed, axis=1)

  slopes = jax.jit(jax.jacrev(numbers))(video)
  return np.abs(slopes[:, 0]).max((2, 3, 4))


@pytest.mark.parametrize(
  'options',
  [
    pytest.param(each, marks=[pytest.mark.slow] * (number > 0))
    for number, each in enumerate(MODELS)
  ],
  ids=str,
)
def test_no_output_depends_on_later_frames(options, batch):
  """And what a frame is decoded from not on the frame itself."""
  objective = make(**options)
  params = params_of(objective, batch)
  video = batch['video'][:1] / 255.0

  def tokens(video):
    return objective.features(params, video).tokens[0]

  slopes = jacobian(tokens, video)
  assert (slopes[np.triu_indices(4, 1)] == 0).all()
  assert (slopes[np.tril_indices(4)] > 0).all()
  slopes = jacobian(functools.partial(objective.decoded, params), video)
  assert (slopes[np.triu_indices(4)] == 0).all()
  assert (slopes[np.tril_indices(4, -1)] > 0).all()


def test_the_grid_baselines_remember_as_they_say(batch):
  video = batch['video'][:1] / 255.0
  for layout in ('grid', 'grid_recurrent'):
    objective = make(layout=layout, tokens=24, read='corrected')
    params = params_of(objective, batch)

    def tokens(video, objective=objective, params=params):
      return objective.features(params, video).tokens[0]

    slopes = jacobian(tokens, video)
    assert (np.diagonal(slopes) > 0).all()
    assert (slopes[np.triu_indices(4, 1)] == 0).all()
    past = slopes[np.tril_indices(4, -1)]
    assert (past > 0).all() if layout == 'grid_recurrent' else not past.any()


def test_the_loss_gradient_is_not_computed_when_it_is_off(batch):
  objective = make()
  params = params_of(objective, batch)
  del params['decoder']  # nothing is decoded to follow a video
  jax.eval_shape(objective.features, params, batch['video'])
  objective = make(loss_gradient=True)
  params = params_of(objective, batch)
  del params['decoder']
  with pytest.raises(KeyError, match='decoder'):
    jax.eval_shape(objective.features, params, batch['video'])


def test_nothing_is_learned_through_the_slope_of_the_loss(batch):
  """It is an input: no second derivatives, by which the decoder would learn."""
  cell = make(loss_gradient=True).cell
  params = params_of(make(loss_gradient=True), batch)
  frame = batch['video'][:, 0]
  ones = jnp.ones([3, 1], jnp.int32)
  asked = Pixels(frame[:, 1:2, 1:2], rows=ones, columns=ones)

  def corrected(decoder):
    own = {**params, 'decoder': decoder}
    state = jnp.ones([3, *cell.state])
    return cell.step(own, state, cell.encode(own, frame), asked).corrected

  def total(decoder):
    return jnp.sum(jnp.square(corrected(decoder)))

  gradient = jax.jit(jax.grad(total))(params['decoder'])
  assert max(abs(x).max() for x in jax.tree.leaves(gradient)) == 0
  # Though what comes out depends on it.
  other = jax.tree.map(lambda x: 2 * x, params['decoder'])
  assert abs(corrected(other) - corrected(params['decoder'])).max() > 1e-3


def test_a_stopped_gradient_does_not_cross_frames(batch):
  """In A a frame's tokens matter to later frames only."""
  norms = []
  for probability in (0.0, 1.0):
    objective = make(stop_gradient=probability)
    params = params_of(objective, batch)
    gradient, _ = jax.jit(jax.grad(objective.loss, has_aux=True))(
      params, batch, jax.random.key(2)
    )
    norms.append(
      max(abs(x).max() for x in jax.tree.leaves(gradient['encoder']))
    )
    assert abs(gradient['predictor']['norm']['scale']).max() > 0
  assert norms[0] > 0
  assert norms[1] == 0


def test_draws_of_a_row_depend_on_its_number_and_the_key(batch):
  objective = make()
  params, rng = params_of(objective, batch), jax.random.key(2)
  loss = loss_of(objective)
  whole = loss(params, batch, rng)[0]
  parts = []
  for i in range(3):
    part = {name: value[i : i + 1] for name, value in batch.items()}
    parts.append(loss(params, part, rng)[0])
  np.testing.assert_allclose(np.mean(parts), whole, rtol=1e-5)
  other = loss(params, batch, jax.random.key(4))[0]
  assert abs(other - whole) > 1e-4


@pytest.mark.parametrize('options', MODELS, ids=str)
def test_flops_are_the_compilers(options, batch):
  """The formula against XLA's count, on a model of matrix products mostly."""
  batch = batch | {'video': batch['video'][:, :2]}
  objective = make(
    **{
      'decoder_layers': 1,
      'dim': 32,
      'mlp': 256,
      'head_dim': 64,
      'channels': (64, 64),
    }
    | {'subsample': 1, 'remat': 'none', 'scan': False, 'frames': 2}
    | options
  )
  params = jax.eval_shape(objective.init, jax.random.key(0), batch)
  step = jax.jit(jax.grad(lambda *x: objective.loss(*x)[0]))
  compiled = step.lower(params, batch, jax.random.key(0)).compile()
  formula = sum(objective.flops(batch).values())
  assert compiled.cost_analysis()['flops'] == pytest.approx(formula, rel=0.15)


def test_pictures_show_prediction_tokens_and_attention(batch):
  objective = make()
  params = params_of(objective, batch)
  pictures = jax.jit(objective.pictures)(params, batch, jax.random.key(2))
  shapes = {name: clip.shape for name, clip in pictures.items()}
  assert shapes == {
    'prediction': (3, 4, 16, 12, 3),
    'tokens': (3, 4, 8, 12, 3),
    'attention': (3, 4, 32, 12, 3),
  }
  for clip in pictures.values():
    assert clip.min() >= 0
    assert clip.max() <= 1
    assert clip.std() > 0.01
  predicted, truth = np.split(np.asarray(pictures['prediction']), 2, axis=2)
  np.testing.assert_allclose(truth, batch['video'] / 255.0, atol=1e-6)
  states = jax.jit(objective.decoded)(params, batch['video'])
  place = reference.places(8, 12).reshape(-1, 2)
  numbers = jax.tree.map(lambda x: np.asarray(x, np.float64), params)
  want = reference.decode(states[2, 1], numbers['decoder'], place, 2)
  want = np.clip(want.reshape(8, 12, 3), 0, 1)
  np.testing.assert_allclose(predicted[1, 2], want, atol=1e-4)


def test_bfloat16_stays_close(batch):
  objective = make()
  params = params_of(objective, batch)
  params = jax.tree.map(lambda x: 0.3 * x, params)
  want = jax.jit(objective.features)(params, batch['video']).tokens
  half = jax.jit(make(dtype='bfloat16').features)(params, batch['video'])
  assert half.tokens.dtype == half.state.dtype == jnp.float32
  np.testing.assert_allclose(half.tokens, want, atol=0.05)


@pytest.mark.parametrize(
  ('options', 'message'),
  [
    (
      {'variant': 'C'},
      "model.variant 'C': expected one of A, B",
    ),
    ({'layout': 'girds'}, "did you mean 'grid'"),
    ({'norm': 'both'}, 'expected one of corrected, incoming'),
    ({'strides': (2, 1, 1)}, r'model.strides=\(2, 1, 1\) must have one'),
    ({'subsample': 8}, 'model.subsample=8 must divide model.height=8 and'),
    ({'eval_subsample': 0}, 'model.eval_subsample=0 must divide'),
    ({'frames': 1}, 'model.frames=1 must be at least 2'),
    ({'layout': 'grid'}, r'the 4 x 6 places .* set it to 24'),
    ({'loss_gradient': True, 'variant': 'B'}, 'model.decode=predicted, got'),
    ({'stop_gradient': 1.5}, 'must be a probability'),
    ({'attention': 'flash'}, 'expected one of auto, plain'),
  ],
  ids=str,
)
def test_bad_options_say_what_to_do(options, message):
  with pytest.raises(ValueError, match=message):
    make(**options)


def test_bad_clips_are_refused_before_the_first_step(batch):
  narrow = {'video': batch['video'][:, :, :, :8]}
  with pytest.raises(ValueError, match=r'got shape \(3, 4, 8, 8, 3\)'):
    make().init(jax.random.key(0), narrow)
  short = {'video': batch['video'][:, :3]}
  with pytest.raises(ValueError, match=r'must have model.frames=4'):
    make().init(jax.random.key(0), short)


@pytest.mark.parametrize('start', ['learned', 'places'])
def test_tokens_may_start_as_learned_embeddings(batch, start):
  """Alike for every clip, and trained; then all is as with such noise."""
  learned, noise = make(start=start), make()
  params = params_of(learned, batch)
  tokens = params['start']['embeddings']
  assert tokens.shape == (7, 10)
  keys = jax.random.split(jax.random.key(3), 2)
  start = learned.cell.start(params, keys)
  np.testing.assert_array_equal(start[0], start[1])
  np.testing.assert_allclose(
    jax.jit(learned.features)(params, batch['video']).tokens,
    jax.jit(noise.features)(
      params, batch['video'], state=jnp.repeat(start[:1], 3, axis=0)
    ).tokens,
    atol=1e-5,
  )
  loss = functools.partial(learned.loss, batch=batch, rng=keys[0])
  slope, _ = jax.jit(jax.grad(loss, has_aux=True))(params)
  assert jnp.abs(slope['start']['embeddings']).max() > 0


def test_a_mesh_does_not_split_frames_that_follow_one_another(batch):
  objective = make()
  params = jax.eval_shape(objective.init, jax.random.key(0), batch)
  with (
    mesh_lib.use(mesh_lib.make(fsdp=4, sequence=2)),
    pytest.raises(ValueError, match='MooG sees one frame after another'),
  ):
    jax.eval_shape(objective.features, params, batch['video'])
