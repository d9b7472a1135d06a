"""One update is the same on every mesh, and however the batch is cut."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from configs.common import training
from data import pipeline
from models import objective as objective_lib
from models.nn import layers
from tests.models import recipes
from train import feed, optim
from train import mesh as mesh_lib
from train import program as program_lib
from train import step as step_lib

# What moves is the gradient, and no rounding that a division made large.
SGD = {'optim.name': 'sgd', 'optim.lr': 0.1, 'optim.clip_norm': 0.0}


class Setup:
  """A state and its step on one mesh; a new state, if none is to begin with."""

  def __init__(self, config, begin=None):
    self.config = config
    self.mesh = mesh_lib.make(
      **config['mesh'], devices=jax.devices()[: _devices(config['mesh'])]
    )
    data = pipeline.make(split='train', **config['data'])
    parts = feed.local_parts(self.mesh, data.batch_size)
    self.batch = feed.to_device(
      self.mesh, data.batch_size, parts, next(data.batches(0, parts=parts))
    )
    with mesh_lib.use(self.mesh):
      self.program = program_lib.make(
        config,
        objective_lib.make(**config['model']),
        data.example(),
        self.mesh,
      )
      self.state = (
        self.program.fresh(jax.random.key(0))
        if begin is None
        else jax.device_put(begin, self.program.places)
      )

  def train(self, steps=2):
    state = jax.tree.map(jnp.copy, self.state)  # a step takes its buffers
    with mesh_lib.use(self.mesh):
      for _ in range(steps):
        state, logged = self.program.step(state, self.batch)
    return jax.device_get(state), jax.device_get(logged)


def _devices(mesh):
  return mesh['replica'] * mesh['fsdp'] * mesh['tensor']


def on(replica, fsdp, tensor):
  return {
    'mesh.replica': replica,
    'mesh.fsdp': fsdp,
    'mesh.tensor': tensor,
    'optim.warmup_fraction': 0.0,
  }


def assert_close(got, want, tolerance):
  jax.tree.map(
    functools.partial(np.testing.assert_allclose, rtol=0, atol=tolerance),
    got,
    want,
  )


@pytest.fixture(scope='module')
def expected(tiny_config):
  return Setup(tiny_config(**on(1, 1, 1))).train()


@pytest.mark.parametrize('mesh', [(1, 8, 1), (2, 2, 2), (8, 1, 1), (1, 4, 2)])
def test_sharded_equals_unsharded(tiny_config, expected, mesh):
  setup = Setup(tiny_config(**on(*mesh)))
  state, logged = setup.train()
  assert_close(logged, expected[1], 1e-5)
  # AdamW divides by the gradient's size, so a parameter whose gradient is
  # rounding noise can move by the learning rate, 3e-3, either way. The next
  # test compares the others.
  assert_close(state.params['head'], expected[0].params['head'], 1e-5)


def test_every_parameter_moves_alike_however_it_is_split(
  tiny_config, monkeypatch
):
  alone = Setup(tiny_config(**on(1, 1, 1), **SGD))
  begin = jax.device_get(alone.state)
  one = alone.train()[0].params
  split = Setup(tiny_config(**on(2, 2, 2), **SGD)).train()[0].params
  assert_close(split, one, 1e-6)
  # The products of a TPU, which are others than a CPU's.
  monkeypatch.setattr(layers, 'platform', lambda: 'tpu')
  split = Setup(tiny_config(**on(2, 2, 2), **SGD), begin).train()[0].params
  assert_close(split, one, 1e-6)
  moved = jax.tree.map(lambda a, b: np.abs(a - b).max(), one, begin.params)
  # Keys' biases change nothing: a softmax does not see them.
  moved['processor']['layers']['attention']['key'].pop('bias')
  assert min(jax.tree.leaves(moved)) > 1e-5


def moog_config(tiny_config, mesh, changes):
  """A tiny MooG in place of the masked autoencoder."""
  config = tiny_config(**on(*mesh), **SGD)
  sizes = ('frames', 'height', 'width')
  model = {key: config['model'][key] for key in sizes}
  model = recipes.MOOG | model
  model |= {'name': 'moog', 'tokens': 6, 'dim': 16, 'mlp': 32}
  model |= {'channels': (8, 16), 'strides': (2, 2), 'head_dim': 8}
  for part in ('predictor', 'corrector', 'decoder'):
    model |= {f'{part}_layers': 1, f'{part}_heads': 2}
  model |= {'encoder_bases': 2, 'decoder_bases': 2, 'start_std': 0.3}
  model |= {'stop_gradient': 0.3, 'subsample': 4}
  return config | {'model': model | changes}


@pytest.fixture(
  scope='module',
  params=[
    {'variant': 'A', 'loss_gradient': True},
    pytest.param({'variant': 'B', 'remat': 'named'}, marks=pytest.mark.slow),
  ],
  ids=['A', 'B'],
)
def moog(request, tiny_config):
  """What makes its config for a mesh; what one device begins and ends with."""
  make = functools.partial(moog_config, tiny_config, changes=request.param)
  alone = Setup(make((1, 1, 1)))
  return make, jax.device_get(alone.state), alone.train()


@pytest.mark.parametrize(
  'mesh',
  [
    (1, 8, 1),
    pytest.param((1, 4, 2), marks=pytest.mark.slow),
    pytest.param((2, 2, 2), marks=pytest.mark.slow),
  ],
)
def test_sharded_moog_equals_unsharded(moog, mesh):
  make, begin, expected = moog
  setup = Setup(make(mesh), begin)
  _, fsdp, tensor = mesh
  layer = setup.state.params['predictor']['layer_0']
  kernel = layer['mlp']['dense_in']['kernel'].addressable_shards[0].data
  assert kernel.shape == (16 // fsdp, 32 // tensor)
  query = layer['self_attention']['query']['kernel'].addressable_shards[0].data
  assert query.shape == (16 // fsdp, 2 // tensor, 8)
  state, logged = setup.train()
  assert_close(logged, expected[1], 1e-4)
  assert_close(state.params, expected[0].params, 1e-5)


def rvm_config(tiny_config, mesh):
  """A tiny RVM in place of the masked autoencoder."""
  config = tiny_config(**on(*mesh), **SGD)
  sizes = ('frames', 'height', 'width', 'dim', 'depth', 'mlp', 'heads')
  model = recipes.RVM | {key: config['model'][key] for key in sizes}
  model |= {'name': 'rvm', 'patch': (4, 8), 'mask_ratio': 0.75}
  model |= {'sources': 2, 'targets': 1, 'gap': (1, 2), 'core_layers': 1}
  model |= {'decoder_layers': 1, 'decoder_dim': 24, 'decoder_heads': 2}
  return config | {'model': model | {'decoder_mlp': 32}}


@pytest.mark.parametrize(
  'mesh', [(2, 2, 2), pytest.param((1, 8, 1), marks=pytest.mark.slow)]
)
def test_sharded_rvm_equals_unsharded(tiny_config, mesh):
  alone = Setup(rvm_config(tiny_config, (1, 1, 1)))
  begin = jax.device_get(alone.state)
  expected = alone.train()
  setup = Setup(rvm_config(tiny_config, mesh), begin)
  _, fsdp, tensor = mesh
  core = setup.state.params['core']
  kernel = core['layers']['cross_attention']['query']['kernel']
  shard = kernel.addressable_shards[0].data
  assert shard.shape == (1, 16 // fsdp, 2 // tensor, 8)
  gate = core['input_update']['kernel'].addressable_shards[0].data
  assert gate.shape == (16 // fsdp, 16)
  state, logged = setup.train()
  assert_close(logged, expected[1], 1e-4)
  assert_close(state.params, expected[0].params, 1e-5)


def test_parameters_and_moments_are_split(tiny_config):
  state = Setup(tiny_config(**on(1, 4, 2))).state
  kernel = ('processor', 'layers', 'mlp', 'dense_in', 'kernel')

  def shard_shape(tree):
    for name in kernel:
      tree = tree[name]
    return tree.addressable_shards[0].data.shape

  assert shard_shape(state.params) == (3, 16 // 4, 32 // 2)
  assert shard_shape(state.opt_state[1].mu) == (3, 16 // 4, 32 // 2)


def test_adafactor_is_the_same_on_a_mesh(tiny_config):
  changes = {'optim.name': 'adafactor', 'optim.lr': 1e-3}
  one, split = (
    Setup(tiny_config(**on(*mesh), **changes)).train()
    for mesh in ((1, 1, 1), (2, 2, 2))
  )
  assert_close(split[1], one[1], 1e-5)
  assert_close(split[0].params['head'], one[0].params['head'], 1e-5)


@pytest.mark.parametrize('accumulate', [2, 4])
def test_accumulated_equals_whole(tiny_config, expected, accumulate):
  changes = on(1, 2, 1) | {'step.accumulate': accumulate}
  state, logged = Setup(tiny_config(**changes)).train()
  assert_close(logged, expected[1], 1e-5)
  assert_close(state.params['head'], expected[0].params['head'], 1e-5)


def test_frozen_parameters_stay_and_have_no_moments(tiny_config):
  changes = on(1, 2, 1) | {
    'step.freeze': ('encoder/.*', 'processor/.*'),
    'optim.decay': ('head/kernel',),
  }
  setup = Setup(tiny_config(**changes))
  before = jax.device_get(setup.state.params)
  state, _ = setup.train()
  assert_close(state.params['encoder'], before['encoder'], 0)
  assert_close(state.params['processor'], before['processor'], 0)
  assert np.abs(state.params['head']['kernel'] - before['head']['kernel']).max()
  moments = sum(leaf.size for leaf in jax.tree.leaves(state.opt_state))
  trained = sum(
    leaf.size
    for name in ('latents', 'head')
    for leaf in jax.tree.leaves(before[name])
  )
  assert moments <= 2 * trained + 4


def test_moving_average_follows_by_its_decay(tiny_config):
  setup = Setup(tiny_config(**on(1, 2, 1) | {'step.ema': 0.75}))
  before = jax.device_get(setup.state.params)
  state, _ = setup.train(steps=1)
  want = jax.tree.map(
    lambda old, new: 0.75 * old + 0.25 * new, before, state.params
  )
  assert_close(state.ema, want, 1e-6)


def test_draws_change_with_the_step_and_not_otherwise(tiny_config):
  setup = Setup(tiny_config(**on(1, 1, 1) | {'optim.lr': 1e-12}))
  _, first = setup.train(steps=1)
  _, again = setup.train(steps=1)
  _, second = setup.train(steps=2)
  assert first == again
  assert first['train/loss'] != second['train/loss']


class Drawn:
  """An objective whose loss and pictures are a draw of the key it is given."""

  def init(self, rng, batch):
    return {'head': {'bias': jax.random.normal(rng, [2])}}

  def loss(self, params, batch, rng, *, ema=None, train=True):
    del ema, train, batch
    return jax.random.uniform(rng) + 0 * jnp.sum(params['head']['bias']), {}

  def pictures(self, params, batch, rng):
    return {'drawn': jax.random.uniform(rng, batch['row'].shape)}

  features = flops = loss  # not asked for here


def test_every_draw_is_of_the_seed_and_of_its_step_or_batch(tiny_config):
  """What a seed does not reach is the same in all runs of a sweep over it."""
  trained, evaluated, drawn = {}, {}, set()
  row = {'x': np.zeros([4, 4], np.float32)}
  mesh = mesh_lib.make(devices=jax.devices()[:1])
  for seed in (0, 1):
    config = tiny_config(
      **{'seed': seed, 'optim.weight_decay': 0.0, 'data.batch_size': 4}
    )
    program = program_lib.make(config, Drawn(), row, mesh)
    state = program.fresh(jax.random.key(0))
    for number in (0, 1):
      judged = program.eval_step(state.params, row, np.uint32(number))
      evaluated[seed, number] = float(judged['loss'])
      state, logged = program.step(state, row)
      trained[seed, number] = float(logged['train/loss'])
    draw = step_lib.make_pictures(Drawn(), seed=seed, clips=2)
    drawn.add(tuple(draw(state.params, row)['drawn'].tolist()))
  for found in (trained, evaluated):
    assert len({*found.values()}) == 4
  assert len(drawn) == 2


@pytest.mark.parametrize('count', [1, 2, 4])
def test_micro_batches_are_of_the_rows_that_each_device_has(count):
  """None is sent, and each device has as many of each micro-batch."""
  devices = 2
  rows = np.arange(8)
  found = step_lib.micro_batches({'row': rows}, count)['row']
  assert sorted(found.flat) == rows.tolist()
  there = rows.reshape(devices, -1)
  for batch in found:
    for own, part in zip(there, batch.reshape(devices, -1), strict=True):
      assert {*part} <= {*own}


def test_groups_of_gradient_norms_make_up_the_global_one(expected):
  logged = expected[1]
  groups = [v for k, v in logged.items() if k.startswith('optim/grad_norm/')]
  assert len(groups) >= 4
  assert logged['optim/grad_norm'] == pytest.approx(
    np.sqrt(np.sum(np.square(groups))), rel=1e-5
  )


@pytest.mark.slow
def test_memorises_eight_clips(tiny_config):
  changes = on(1, 1, 1) | {
    'steps': 600,
    'model.dim': 64,
    'model.mask_ratio': 0.25,
    'optim.lr': 5e-3,
    'optim.weight_decay': 0.0,
  }
  setup = Setup(tiny_config(**changes))
  variance = np.var(setup.batch['video'] / 255)
  _, logged = setup.train(steps=600)
  assert logged['train/loss'] < 0.25 * variance


class Hits:
  """An objective whose score is a ratio: hits of what is valid in a batch."""

  def loss(self, params, batch, rng, *, ema=None, train=True):
    del rng, ema, train
    valid = batch['valid'].astype(jnp.float32)
    sums = {'hits': jnp.sum(batch['hit'] * valid), 'count': jnp.sum(valid)}
    return params['w'] ** 2, {'sums': sums}

  def scores(self, metrics):
    return {'rate': metrics['sums']['hits'] / metrics['sums']['count']}

  init = features = flops = pictures = loss  # not asked for here


# One valid row in the first half, which is hit; three in the other, none is.
ROWS = {
  'hit': np.array([1, 0, 0, 0, 0, 0, 0, 0], np.float32),
  'valid': np.array([1, 0, 0, 0, 1, 1, 1, 0], np.float32),
}


@pytest.mark.parametrize('accumulate', [1, 2, 4])
def test_a_ratio_is_of_the_whole_batch_however_it_is_cut(accumulate):
  """The mean of the parts' ratios would be 1/2."""
  params = {'w': jnp.ones([])}
  is_frozen = {'w': False}
  tx = optax.sgd(0.1)
  step = step_lib.make_train_step(
    Hits(),
    tx,
    is_frozen,
    **{'seed': 0, 'accumulate': accumulate, 'ema': 0.0},
    **{'skip': (), 'outlier': 0.0},
  )
  state = step_lib.init_state(params, tx, is_frozen, ema=0.0)
  _, logged = step(state, ROWS)
  assert logged['train/rate'] == pytest.approx(0.25)


def test_a_ratio_is_of_all_validation_batches():
  step = step_lib.make_eval_step(Hits(), seed=0)
  halves = [
    {key: x[first : first + 4] for key, x in ROWS.items()} for first in (0, 4)
  ]
  found = [step({'w': jnp.ones([])}, half, 0) for half in halves]
  assert step_lib.eval_scores(Hits(), found) == pytest.approx(
    {'eval/loss': 1.0, 'eval/rate': 0.25}
  )


class Line:
  """An objective whose gradient is the mean of its batch."""

  def loss(self, params, batch, rng, *, ema=None, train=True):
    del rng, ema, train
    return jnp.mean(params['w'] * batch['x']), {}

  init = features = flops = pictures = loss  # not asked for here


def line(*, batches, accumulate=1, ema=0.9, skip=(), outlier=0.0):
  """States before and after each batch [b], and what was logged."""
  params, is_frozen = {'w': jnp.ones([])}, {'w': False}
  tx, _ = optim.make(
    steps=1000,
    **training(
      lr=0.1, warmup_fraction=0.0, every=1, log_every=1, health_every=0
    )['optim']
    | {'weight_decay': 0.0},
  )
  step = jax.jit(
    step_lib.make_train_step(
      Line(),
      tx,
      is_frozen,
      **{'seed': 0, 'accumulate': accumulate, 'ema': ema},
      **{'skip': skip, 'outlier': outlier},
    )
  )
  states, logs = [step_lib.init_state(params, tx, is_frozen, ema=ema)], []
  for batch in batches:
    state, logged = step(states[-1], {'x': jnp.asarray(batch, jnp.float32)})
    states.append(state)
    logs.append(logged)
  return states, logs


@pytest.mark.parametrize('accumulate', [1, 2])
@pytest.mark.parametrize('bad', [np.nan, np.inf])
def test_an_update_that_is_not_finite_changes_nothing_but_the_step(
  accumulate, bad
):
  good = [1.0, 2.0, 3.0, 4.0]
  states, logs = line(
    batches=[good, [1.0, 2.0, bad, 4.0], good], accumulate=accumulate
  )
  _, before, after, last = states
  assert_close(
    after._replace(step=0, skipped=0, norms=0),
    before._replace(step=0, skipped=0, norms=0),
    0,
  )
  np.testing.assert_array_equal(after.norms, before.norms)
  assert int(after.step) == 2
  assert [int(each['optim/skipped']) for each in logs] == [0, 1, 1]
  assert [bool(each[step_lib.IS_SKIPPED]) for each in logs] == [0, 1, 0]
  assert last.params['w'] < after.params['w'] < states[0].params['w']


class Root:
  """An objective whose loss is finite where its gradient is not: at 0."""

  def loss(self, params, batch, rng, *, ema=None, train=True):
    del batch, rng, ema, train
    return jnp.sqrt(params['w']), {}

  init = features = flops = pictures = loss  # not asked for here


def test_a_gradient_that_is_not_finite_is_left_out_whatever_the_loss_is():
  params, is_frozen, tx = {'w': jnp.zeros([])}, {'w': False}, optax.sgd(0.1)
  step = step_lib.make_train_step(
    Root(),
    tx,
    is_frozen,
    **{'seed': 0, 'accumulate': 1, 'ema': 0.0},
    **{'skip': (), 'outlier': 0.0},
  )
  state = step_lib.init_state(params, tx, is_frozen, ema=0.0)
  state, logged = step(state, ROWS)
  assert float(logged['train/loss']) == 0
  assert bool(logged[step_lib.IS_SKIPPED])
  assert float(state.params['w']) == 0


def test_named_steps_are_left_out():
  states, logs = line(batches=[[1.0, 2.0]] * 4, skip=(2, 4))
  w = [float(state.params['w']) for state in states]
  assert w[0] > w[1] == w[2] > w[3] == w[4]
  assert int(logs[-1]['optim/skipped']) == 2
  with pytest.raises(ValueError, match=r'step\.skip=\(0,\) must be steps'):
    line(batches=[], skip=(0,))


def test_outliers_are_left_out_once_the_usual_norm_is_known():
  usual, large = [1.0, 1.0], [5.0, 5.0]
  known = len(line(batches=[])[0][0].norms)
  batches = [large, *[usual] * (known - 1), large, usual, [2.0, 2.0]]
  _, logs = line(batches=batches, outlier=4.0)
  skipped = [n for n, x in enumerate(logs) if x[step_lib.IS_SKIPPED]]
  assert skipped == [known]
  with pytest.raises(ValueError, match=r'outlier=0\.5 must be above 1'):
    line(batches=[], outlier=0.5)


def test_an_update_is_left_out_on_all_shards(tiny_config):
  setup = Setup(tiny_config(**on(2, 2, 2) | {'step.ema': 0.9}))
  head = setup.state.params['head']
  head['kernel'] = head['kernel'].at[0, 0].set(jnp.inf)
  state, logged = setup.train(steps=2)
  before = jax.device_get(setup.state)
  jax.tree.map(
    np.testing.assert_array_equal,
    (state.params, state.opt_state, state.ema, state.norms),
    (before.params, before.opt_state, before.ema, before.norms),
  )
  assert int(state.step) == int(state.skipped) == 2
  assert not np.isfinite(logged['train/loss'])
