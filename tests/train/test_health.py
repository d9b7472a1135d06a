"""What is watched tells collapse and spikes, and changes nothing."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from models import objective as objective_lib
from tests.models import recipes
from train import health as health_lib
from train import mesh as mesh_lib
from train import program as program_lib
from train import step as step_lib
from train.health import Health

OPTIONS = {'every': 2, 'clips': 8, 'spike': 4.0}


def program_of(config, mesh=(1, 1, 1)):
  """A config's program on (replica, fsdp, tensor) devices."""
  made = mesh_lib.make(
    **dict(zip(('replica', 'fsdp', 'tensor'), mesh)),
    devices=jax.devices()[: np.prod(mesh)],
  )
  model = config['model']
  clip = (*(model[key] for key in ('frames', 'height', 'width')), 3)
  example = {'video': jax.ShapeDtypeStruct(clip, np.uint8)}
  with mesh_lib.use(made):
    objective = objective_lib.make(**model)
    return program_lib.make(config, objective, example, made)


class Setup:
  """A program on a mesh, its first state and a batch of noise."""

  def __init__(self, config, mesh=(1, 1, 1)):
    self.program = program_of(config, mesh)
    self.mesh = self.program.mesh
    with mesh_lib.use(self.mesh):
      self.state = self.program.fresh(jax.random.key(0))
      shape = self.program.batch['video']
      video = np.random.default_rng(1).integers(0, 256, shape.shape, np.uint8)
      self.batch = {'video': jax.device_put(video, shape.sharding)}

  def look(self, **changes):
    """What is written of a look before the first step."""
    health, written = Health(self.program, 0, **OPTIONS | changes), []
    with mesh_lib.use(self.mesh):
      health.look(self.state, self.batch, 1)
      health.read(1, lambda *line: written.append(line))
    ((step, values),) = written
    assert step == 1
    return values


@pytest.fixture(scope='module')
def one(tiny_config):
  return Setup(tiny_config())


def test_norms_by_layer_make_up_that_of_the_step(one):
  before = jax.tree.map(np.asarray, one.state)
  looked = one.look()
  jax.tree.map(np.testing.assert_array_equal, before, one.state)
  with mesh_lib.use(one.mesh):
    copy = jax.tree.map(jnp.copy, one.state)  # a step takes its buffers
    _, logged = one.program.step(copy, one.batch)
  # The same rows, with the same draws.
  assert looked['health/grad_norm'] == pytest.approx(
    float(logged['optim/grad_norm']), rel=1e-4
  )
  layers = {
    name.removeprefix('health/grad_norm/'): norm
    for name, norm in looked.items()
    if name.startswith('health/grad_norm/')
  }
  assert layers.keys() == {
    *('encoder/patch_embedding', 'encoder/posenc', 'latents', 'head'),
    *(f'processor/layers/{i}' for i in range(3)),
  }
  assert len({*layers.values()}) == len(layers)
  assert np.sqrt(sum(x**2 for x in layers.values())) == pytest.approx(
    looked['health/grad_norm']
  )


def test_of_fewer_clips_ranks_are_smaller(one):
  few, more = (one.look(clips=clips) for clips in (2, 4))
  assert few['health/grad_norm'] != more['health/grad_norm']
  # Of two clips one direction is all that they can differ in.
  assert few['health/feature_rank_of_clips'] == pytest.approx(1.0)
  assert 1.5 < more['health/feature_rank_of_clips'] <= 3


def test_split_and_scanned_layers_look_like_whole_ones(tiny_config, one):
  split = Setup(tiny_config(**{'model.scan': True}), (2, 2, 2)).look()
  assert split == pytest.approx(one.look(), rel=2e-3)


def shapes(config):
  """Shapes of what a look finds: nothing is compiled."""
  program = program_of(config)
  look = health_lib._make_look(program, 0, 1)
  with mesh_lib.use(program.mesh):
    found = jax.eval_shape(look, program.state, program.batch)
  return jax.tree.map(lambda x: x.shape, found)


def test_rvm_is_watched_by_its_own_layers(tiny_config):
  config = tiny_config()
  known = ('frames', 'height', 'width', 'dim', 'depth', 'mlp', 'heads')
  rvm = recipes.RVM | {key: config['model'][key] for key in known}
  rvm |= {'name': 'rvm', 'patch': (4, 8), 'mask_ratio': 0.75, 'sources': 2}
  rvm |= {'targets': 1, 'gap': (1, 2), 'decoder_dim': 24, 'decoder_heads': 2}
  found = shapes(config | {'model': rvm})
  layers = {'processor': (3,), 'core': (4,), 'decoder': (8,)}
  for part, count in layers.items():
    assert found['squares'][f'{part}/layers'] == count
  assert found['squares']['core/input_reset'] == ()
  clips, _, width = found['features']['tokens']
  assert (clips, width) == (8, 16)


def test_moog_and_a_student_are_watched_by_their_own_layers(tiny_config):
  config = tiny_config()
  sizes = {key: config['model'][key] for key in ('frames', 'height', 'width')}
  moog = recipes.MOOG | sizes | {'name': 'moog', 'tokens': 6, 'dim': 16}
  moog |= {'mlp': 32, 'channels': (8, 16), 'strides': (2, 2), 'head_dim': 8}
  for part in ('predictor', 'corrector', 'decoder'):
    moog |= {f'{part}_layers': 2, f'{part}_heads': 2}
  moog |= {'encoder_bases': 2, 'decoder_bases': 2, 'subsample': 4}
  found = shapes(config | {'model': moog})
  names = {f'predictor/layer_{i}' for i in (0, 1)} | {'encoder/conv_0'}
  assert found['squares'].keys() >= {*names, 'decoder/transformer/layer_1'}
  assert {*found['squares'].values()} == {()}
  clips, _, width = found['features']['tokens']
  assert (clips, width) == found['features']['means'] == (8, 16)

  small = {key: config['model'][key] for key in ('dim', 'mlp', 'heads')}
  vit = recipes.VIT | small | {'depth': 2, 'patch': (2, 4, 8)}
  distill = {'name': 'distill', 'student': vit, 'teacher': vit, **sizes}
  config['step'] |= {'freeze': ('teacher/.*',)}
  squares = shapes(config | {'model': distill | {'depth': 0.95}})['squares']
  assert squares['student/processor/layers'] == (2,)
  assert not [name for name in squares if 'teacher' in name]


def test_a_collapse_is_told_of_tokens_and_of_clips():
  draw = np.random.default_rng(0)
  tokens = draw.standard_normal([8, 32, 16])

  def found(tokens):
    return health_lib.collapse(tokens, tokens.mean(axis=1))

  sound = found(tokens)
  assert sound['health/feature_rank'] > 15
  assert sound['health/feature_deviation'] == pytest.approx(1, abs=0.05)
  larger = found(10 * tokens)
  assert larger.pop('health/feature_rms') == pytest.approx(10, rel=0.1)
  del sound['health/feature_rms']
  assert larger == pytest.approx(sound)
  # Each clip says one thing at all places.
  same = found(np.repeat(tokens[:, :1], 32, axis=1))
  assert same['health/feature_deviation'] == pytest.approx(0, abs=1e-6)
  assert same['health/feature_deviation_of_clips'] > 0.5
  # All clips say the same at each place.
  same = found(np.repeat(tokens[:1], 8, axis=0))
  assert same['health/feature_rank_of_clips'] == 0
  assert same['health/feature_deviation_of_clips'] == pytest.approx(0, abs=1e-6)
  assert same['health/feature_deviation'] > 0.5


@pytest.mark.parametrize('shape', [(64, 12), (12, 64)])
def test_the_effective_rank_is_the_number_of_directions(shape):
  draw = np.random.default_rng(0)
  for rank in (1, 3, 6):
    # Orthogonal, of one length, and around 0.
    left, _ = np.linalg.qr(
      np.c_[np.ones(shape[0]), draw.standard_normal((shape[0], rank))]
    )
    right, _ = np.linalg.qr(draw.standard_normal((shape[1], rank)))
    rows = 5.0 + left[:, 1:] @ right.T
    assert health_lib.effective_rank(rows) == pytest.approx(rank, rel=1e-3)
  assert health_lib.effective_rank(np.full(shape, 3.0)) == 0
  assert np.isnan(health_lib.effective_rank(np.full(shape, np.nan)))


def test_spikes_on_the_host_are_the_outliers_of_the_device(one):
  draw = np.random.default_rng(0)
  known = one.state.norms.shape[0]
  norms = draw.uniform(1, 2, 2 * known).astype(np.float32)
  norms[[3, known + 5, known + 9]] = 20.0, 9.0, 30.0
  norms[known + 7] = np.nan
  health = Health(one.program, 0, **OPTIONS)
  health.begin(one.state.norms)
  last, outliers = one.state.norms, []
  for norm in norms:
    health.seen(float(norm))
    outliers.append(bool(step_lib.times_usual(norm, last) > OPTIONS['spike']))
    last = step_lib.with_norm(last, norm)
  # Not of the first, when no median was known.
  assert np.flatnonzero(outliers).tolist() == [known + 5, known + 9]
  found = health.spikes()
  assert found['optim/grad_norm_spikes'] == 2
  assert found['optim/grad_norm_over_median'] == pytest.approx(20, rel=0.2)
  assert health.spikes() == {}
  # A run that goes on knows the same norms.
  again = Health(one.program, 0, **OPTIONS)
  again.begin(last)
  for each in (health, again):
    each.seen(1.5)
  assert health.spikes() == again.spikes() != {}


@pytest.mark.parametrize(
  ('rows', 'shards', 'clips', 'parts'),
  [(8, 1, 8, 1), (8, 1, 4, 2), (8, 1, 3, 2), (256, 64, 8, 4), (6, 2, 4, 1)],
)
def test_each_shard_has_as_many_of_the_rows(rows, shards, clips, parts):
  assert health_lib.parts_of(rows, shards, clips) == parts


@pytest.mark.parametrize(
  'change', [{'every': -1}, {'clips': 1}, {'spike': 1.0}]
)
def test_what_cannot_be_watched_is_refused(one, change):
  with pytest.raises(ValueError, match=r'config\.health: every='):
    Health(one.program, 0, **OPTIONS | change)
