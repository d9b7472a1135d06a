"""A run that starts from a published file."""

import jax
import numpy as np
import pytest

from models import mae
from models.nn import positions
from models.published import files, loading, names
from tests.models import recipes
from train import checkpoint, init_from, mesh

OPTIONS = {
  **recipes.MAE,
  **{'dim': 16, 'depth': 3, 'mlp': 32, 'heads': 2},
  **{'frames': 4, 'height': 16, 'width': 24, 'patch': (2, 4, 8)},
  **{'output_patch': (4, 8, 8), 'mask_ratio': 0.5},
}


def init(objective, seed, places=None):
  clip = jax.ShapeDtypeStruct((8, *objective.backbone.clip, 3), np.uint8)
  make = jax.jit(lambda k: objective.init(k, {'video': clip}))
  params = make(jax.random.key(seed))
  return params if places is None else jax.device_put(params, places)


@pytest.fixture(scope='module')
def objective():
  return mae.make(**OPTIONS)


@pytest.fixture(scope='module')
def stored(objective):
  """What the file holds."""
  params = init(objective, 1)
  return {'backbone': {k: params[k] for k in ('encoder', 'processor')}}


@pytest.fixture(scope='module')
def path(stored, tmp_path_factory):
  path = str(tmp_path_factory.mktemp('weights') / 'b.npz')
  shapes = {name: x.shape for name, x in loading.flat(stored).items()}
  layout = names.of_params('backbone', shapes)
  files.write(path, loading.arrays(layout.leaves, stored))
  return path


@pytest.fixture(scope='module')
def start(path):
  """A function: new parameters of an objective, and those it starts with."""
  split = mesh.make(replica=2, fsdp=2, tensor=2)

  def run(objective, **changes):
    with mesh.use(split):
      places = mesh.params_shardings(split, init(objective, 0))
      params = init(objective, 0, places)
      options = {'path': path} | changes
      return params, init_from.start_from(params, places, **options)

  return run


def test_the_backbone_is_the_files_and_the_rest_is_new_and_named(
  start, objective, stored, capsys
):
  new, params = start(objective)
  said = capsys.readouterr().out
  for part in ('encoder', 'processor'):
    jax.tree.map(
      np.testing.assert_array_equal, params[part], stored['backbone'][part]
    )
  for part in ('latents', 'head'):
    jax.tree.map(np.testing.assert_array_equal, params[part], new[part])
  assert 'new: head/bias, head/kernel, latents/embeddings' in said
  jax.tree.map(
    lambda a, b: pytest.fail('moved') if a.sharding != b.sharding else None,
    new,
    params,
  )


def test_it_may_be_a_part_of_the_parameters(objective, path, stored):
  one = mesh.make(devices=jax.devices()[:1])
  params = {'backbone': init(objective, 0)}
  with mesh.use(one):
    places = mesh.params_shardings(one, params)
    got = init_from.start_from(params, places, path=path, at='backbone')
  jax.tree.map(
    np.testing.assert_array_equal,
    got['backbone']['processor'],
    stored['backbone']['processor'],
  )


@pytest.mark.parametrize(
  ('changes', 'message'),
  [
    (
      {'depth': 4},
      r'layers/\S+ is \(3,.*\) there, \(4,.*\) here.* and \d+ more',
    ),
    (
      {'height': 32},
      r'encoder/posenc/embeddings is \(2, 4, 3, 16\) there, \(2, 8, 3, 16\)',
    ),
  ],
)
def test_other_shapes_are_listed(start, changes, message):
  with pytest.raises(ValueError, match=message):
    start(mae.make(**(OPTIONS | changes)))


def test_positions_are_resized_on_request(start, stored, capsys):
  larger = mae.make(**(OPTIONS | {'frames': 8, 'height': 32}))
  _, params = start(larger, resize=True)
  said = capsys.readouterr().out
  assert (
    'encoder/posenc/embeddings is (2, 4, 3) there, resized to (4, 8' in said
  )
  table = stored['backbone']['encoder']['posenc']['embeddings']
  got = params['encoder']['posenc']['embeddings']
  np.testing.assert_allclose(got, positions.resize(table, (4, 8, 3)), atol=1e-6)
  # Means over neighbours are those of the table it was made of.
  np.testing.assert_allclose(got.mean((0, 1)), table.mean((0, 1)), atol=0.02)


def test_a_runs_positions_are_resized_too(objective, start, tmp_path):
  clip = {**OPTIONS, 'height': 32, 'output_patch': (4, 16, 8)}
  config = {'model': OPTIONS}
  params = init(objective, 1)
  checkpoint.create(str(tmp_path), config, params)
  with pytest.raises(ValueError, match='posenc/embeddings is'):
    start(mae.make(**clip), path=str(tmp_path))
  # Twice the height in patches, as many latents of twice the height.
  wide = mae.make(**clip)
  params = {key: params[key] for key in ('encoder', 'processor', 'latents')}
  checkpoint.create(str(tmp_path / 'b'), config, params)
  one = mesh.make(devices=jax.devices()[:1])
  wanted = {key: init(wide, 0)[key] for key in params}
  with mesh.use(one):
    places = mesh.params_shardings(one, wanted)
    got = init_from.start_from(
      wanted, places, path=str(tmp_path / 'b'), resize=True
    )
  np.testing.assert_allclose(
    got['encoder']['posenc']['embeddings'],
    positions.resize(params['encoder']['posenc']['embeddings'], (2, 8, 3)),
    atol=1e-6,
  )
  np.testing.assert_array_equal(
    got['latents']['embeddings'], params['latents']['embeddings']
  )


def test_files_have_no_steps(start, objective):
  with pytest.raises(ValueError, match=r'leave init_from\.step=3'):
    start(objective, step=3)


def test_a_checkpoint_is_read_as_it_is(objective, tmp_path):
  params = init(objective, 3)
  checkpoint.create(str(tmp_path), {'a': 1}, params)
  jax.tree.map(
    np.testing.assert_array_equal, checkpoint.read(str(tmp_path)), params
  )
  with pytest.raises(ValueError, match='another config'):
    checkpoint.create(str(tmp_path), {'a': 2}, params)
