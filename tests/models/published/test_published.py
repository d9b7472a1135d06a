"""Published files: recognised, run as the official code runs them, refused."""

import pathlib
import pickle
import warnings
import zipfile

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import mae, rvm
from models import objective, published, sizes
from models.published import files, loading, names
from tests.models.published import layouts
from tests.models.rvm import reference

LAYOUTS = {
  'backbone': layouts.backbone(),
  'depth': layouts.depth(),
  'moog': layouts.moog(decoder=True),
  'rvm': layouts.rvm(),
  'points': layouts.points(),
  'boxes': layouts.boxes(),
}
# What google-deepmind/representations4d (and its MooG notebook), run on
# kauldron 1.4.2 with the same weights and inputs, says: five numbers evenly
# spread over the flat result, and its root mean square.
OFFICIAL = {
  'backbone': ([-1.29239, 0.297813, -0.175092, 0.391519, 0.329105], 1.244619),
  'last': ([-2.479091, -1.0364, -1.651787, -0.744039, -1.00346], 1.846911),
  'depth': ([-1.8973, 0.357421, 0.466766, 0.32307, 0.432695], 2.239950),
  'features': ([-3.456624, 0.596671, -0.171983, 2.320151, 0.033054], 3.239512),
  'state': ([1.392522, 4.44504, -0.171983, -0.090788, 0.033054], 3.495409),
  'points': ([0.909234, 0.056004, 0.213844, 0.09382, 0.184036], 0.510008),
  'visible': ([-1.810645, 0.01465, 2.62817, 1.387531, 1.680278], 1.678186),
  'certain': ([0.26443, 1.349395, -0.93408, 2.285824, -0.293346], 1.876236),
  'seen': ([0, 0, 0, 1, 0], 0.316228),
  'boxes': ([2.436226, 0.20516, 1.681332, 0.223789, 1.522754], 1.164284),
}


@pytest.fixture(scope='module')
def inputs():
  """The inputs of OFFICIAL."""
  rng = np.random.default_rng(0)
  shape = (2, layouts.T, layouts.H, layouts.W, 3)
  return {
    'video': rng.random(shape, dtype=np.float32),
    'state': rng.normal(size=(2, 7, 10)).astype(np.float32),
    'points': rng.random((2, 5, 2), dtype=np.float32),
    'boxes': rng.random((2, 5, 4), dtype=np.float32),
    'features': rng.normal(size=(2, layouts.T, 7, 10)).astype(np.float32),
  }


@pytest.fixture(scope='module')
def paths(tmp_path_factory):
  folder = tmp_path_factory.mktemp('published')
  return {
    kind: layouts.save(folder / f'{kind}.npz', shapes)
    for kind, shapes in LAYOUTS.items()
  }


@pytest.fixture(scope='module')
def load(paths):
  """A function: the model of a kind."""
  return lambda kind: published.load(
    paths[kind], output_patch=layouts.OUTPUT_PATCH
  )


def check(name, got, shape):
  values, rms = OFFICIAL[name]
  got = np.asarray(got, np.float64)
  assert got.shape == shape
  picked = got.reshape(-1)[np.linspace(0, got.size - 1, 5).astype(int)]
  np.testing.assert_allclose(picked, values, atol=1e-5 * rms + 1e-6)
  np.testing.assert_allclose(np.sqrt(np.mean(got**2)), rms, rtol=1e-5)


def test_a_backbone_gives_the_input_of_every_block(load, inputs):
  model = load('backbone')
  got = model(inputs['video'])
  assert (model.kind, len(got)) == ('backbone', 5)
  np.testing.assert_array_equal(got[0], got[1])
  check('backbone', got[3], (2, 24, 12))
  check('last', got[4], (2, 24, 12))


def test_depth_is_the_official_one(load, inputs):
  check('depth', load('depth')(inputs['video']), (2, 6, 8, 20, 1))


def test_moog_with_a_state_is_the_official_one(load, inputs):
  got = load('moog')(inputs['video'], state=inputs['state'])
  check('features', got['features'], (2, 6, 7, 10))
  check('state', got['state'], (2, 7, 10))


def test_moog_goes_on_where_it_was(load, inputs):
  model, video = load('moog'), inputs['video']
  whole = model(video, state=inputs['state'])
  first = model(video[:, :4], state=inputs['state'])
  second = model(video[:, 4:], state=first['state'])
  np.testing.assert_allclose(
    jnp.concatenate([first['features'], second['features']], axis=1),
    whole['features'],
    atol=1e-5,
  )


def test_moog_starts_from_noise_of_its_key(load, inputs):
  model, video = load('moog'), inputs['video'][:, :1]
  one, same, other = (model(video, rng=jax.random.key(i)) for i in (1, 1, 2))
  assert one['features'].shape == (2, 1, 1024, 10)
  np.testing.assert_array_equal(one['state'], same['state'])
  assert np.abs(one['state'] - other['state']).max() > 1e-3


def test_rvm_is_the_published_graph(paths, load, inputs):
  """By names as they are in the file, without those of ours."""
  arrays = {key: x.astype(float) for key, x in np.load(paths['rvm']).items()}

  def under(prefix):
    return loading.nested(
      {
        key.removeprefix(prefix): x
        for key, x in arrays.items()
        if key.startswith(prefix)
      }
    )

  def stacked(prefix, count):
    layers = [under(f'{prefix}_{i}/') for i in range(count)]
    return jax.tree.map(lambda *x: np.stack(x), *layers)

  core = stacked('rnn_core/transformer/xa_blocks', 2)
  core['cross_norm'] = core.pop('ca_attention_norm')
  core['cross_attention'] = core.pop('ca_attention')
  params = {
    'encoder': {
      'patch_embedding': under('tokenizer/patch_embedding/Conv_0/'),
      'class_token': {'embeddings': arrays['cls_token']},
    },
    'processor': {
      'layers': stacked('encoder/layers', 3),
      'norm': under('encoder/LayerNorm_0/'),
    },
    'core': {
      **under('rnn_core/'),
      'state_norm': under('rnn_core/state_layer_norm/'),
      'layers': core,
      'norm': under('rnn_core/transformer/output_norm/'),
    },
  }
  table = reference.sines(256, 12).reshape(16, 16, 12)
  place = jax.image.resize(jnp.asarray(table), (2, 4, 12), 'bicubic')
  want = reference.run(
    params, inputs['video'][1], np.asarray(place, float).reshape(8, 12)
  )
  model, video = load('rvm'), inputs['video']
  whole = model(video)
  np.testing.assert_allclose(whole['features'][1], want[:, 1:], atol=1e-5)
  np.testing.assert_allclose(whole['state'][1], want[-1], atol=1e-5)
  state = model(video[:, :2])['state']
  rest = model(video[:, 2:], state=state)
  np.testing.assert_allclose(
    rest['features'], whole['features'][:, 2:], atol=1e-5
  )


def test_what_reconstructs_in_rvm_is_told_and_what_is_unknown_is_refused(
  paths, tmp_path
):
  shapes = layouts.rvm(decoder=True)
  path = layouts.save(tmp_path / 'x.npz', shapes)
  with pytest.warns(UserWarning, match='also holds decoder_x/y/kernel'):
    model = published.load(path)
  beside = shapes.keys() - layouts.rvm().keys()
  assert set(model.layout.extra) == beside
  back = loading.arrays(model.layout.leaves, model.params)
  with np.load(path) as whole:
    assert set(whole.files) == back.keys() | beside
    for key, value in back.items():
      np.testing.assert_array_equal(value, whole[key])
  for other in ('rnn_core/input_update/bias', 'posenc'):
    path = layouts.save(tmp_path / 'y.npz', layouts.rvm() | {other: (12,)})
    with pytest.raises(ValueError, match=f'but also holds {other}: expected'):
      published.load(path)


def test_sizes_of_rvm_are_read_off_shapes():
  def large(n):
    # Of the layout: 12 wide, 3 and 2 heads, MLPs of 20 and 14.
    sizes = {12: 1024, 3: 16, 2: 16, 4: 64, 6: 64, 20: 4096, 14: 4096}
    return sizes.get(n, n)

  small = layouts.rvm()
  shapes = {
    key: tuple(map(large, shape))
    for key, shape in small.items()
    if 'Conv_0' not in key
  }
  name = 'tokenizer/patch_embedding/Conv_0'
  shapes |= {f'{name}/kernel': (1, 16, 16, 3, 1024), f'{name}/bias': (1024,)}
  for i in range(24):
    own = {k: s for k, s in shapes.items() if k.startswith('encoder/layers_0/')}
    shapes |= {k.replace('_0/', f'_{i}/', 1): s for k, s in own.items()}
  for i in range(4):
    start = 'rnn_core/transformer/xa_blocks_0/'
    own = {k: s for k, s in shapes.items() if k.startswith(start)}
    shapes |= {k.replace('_0/', f'_{i}/', 1): s for k, s in own.items()}
  options = published.model_options(
    'x.npz',
    names.of_file('x.npz', shapes),
    rvm.get_config('size=large,data=-').model.to_dict(),
  )
  wanted = {'size': 'L', 'dim': None, 'patch': (16, 16), 'core_layers': 4}
  assert wanted.items() <= options.items()
  made = objective.make(**options)
  clips = {'video': jax.ShapeDtypeStruct((1, 52, 256, 256, 3), np.uint8)}
  ours = loading.flat(jax.eval_shape(made.init, jax.random.key(0), clips))
  layout = names.of_file('x.npz', shapes)
  for key, leaf in layout.leaves.items():
    assert ours[key.removeprefix('backbone/')].shape == leaf.shape
  left = ours.keys() - {x.removeprefix('backbone/') for x in layout.leaves}
  assert all(key.startswith('decoder/') for key in left)


def test_points_are_the_official_ones(load, inputs):
  got = load('points')(inputs['features'], inputs['points'])
  check('points', got['values'], (2, 6, 5, 2))
  check('visible', got['logits_visible'], (2, 6, 5, 1))
  check('certain', got['logits_certainty'], (2, 6, 5, 1))
  check('seen', got['visible'], (2, 6, 5, 1))


def test_boxes_are_the_official_ones(load, inputs):
  got = load('boxes')(inputs['features'], inputs['boxes'])
  check('boxes', got['values'], (2, 6, 5, 4))
  assert got['visible'] is got['logits_visible'] is None


def test_heads_refuse_clips_of_another_length(load, inputs):
  with pytest.raises(ValueError, match='t=6 and d=10, got shape'):
    load('points')(inputs['features'][:, :5], inputs['points'])
  with pytest.raises(ValueError, match=r'queries must be \[b q 4\]'):
    load('boxes')(inputs['features'], inputs['points'])


@pytest.mark.parametrize('kind', LAYOUTS)
@pytest.mark.parametrize('ending', ['npz', 'safetensors'])
def test_a_round_trip_keeps_every_bit(paths, tmp_path, kind, ending):
  path = str(tmp_path / f'out.{ending}')
  first = np.load(paths[kind])
  for source in (paths[kind], path):
    model = published.load(source, output_patch=layouts.OUTPUT_PATCH)
    shapes = {k: x.shape for k, x in loading.flat(model.params).items()}
    layout = names.of_params(kind, shapes)
    assert layout.leaves == model.layout.leaves
    files.write(path, loading.arrays(layout.leaves, model.params))
  back = {key: entry.read() for key, entry in files.opened(path).items()}
  assert back.keys() == set(first.files)
  for key in back:
    assert back[key].shape == first[key].shape
    assert back[key].tobytes() == first[key].tobytes(), key


def test_safetensors_are_those_of_the_library(paths, tmp_path):
  library = pytest.importorskip('safetensors.numpy')
  theirs, ours = (
    str(tmp_path / 'a.safetensors'),
    str(tmp_path / 'b.safetensors'),
  )
  arrays = dict(np.load(paths['depth']))
  library.save_file(arrays, theirs)
  files.write(ours, arrays)
  again = library.load_file(ours)
  for key, entry in files.opened(theirs).items():
    np.testing.assert_array_equal(entry.read(), arrays[key])
    np.testing.assert_array_equal(again[key], arrays[key])


@pytest.mark.parametrize('size', ['tiny', 'S', 'B', 'L', 'e'])
def test_sizes_are_read_off_shapes(size):
  known = sizes.SIZES[size]
  d, heads = known.width, known.heads
  shapes = {
    key: tuple(
      {12: d, 3: heads, 4: d // heads, 20: known.mlp}.get(n, n) for n in shape
    )
    for key, shape in layouts.backbone(known.depth).items()
    if 'processor' in key
  }
  name = 'params/encoder/patch_embedding/Conv_0'
  shapes |= {
    f'{name}/kernel': (2, 16, 16, 3, d),
    f'{name}/bias': (d,),
    'params/encoder/posenc/embeddings': (8, 14, 14, d),
  }
  layout = names.of_file('x.npz', shapes)
  options = published.model_options(
    'x.npz', layout, mae.get_config().model.to_dict()
  )
  assert (options['size'], options['frames'], options['width']) == (
    *(size, 16, 224),
  )
  assert len(shapes) == 16 * known.depth + 3
  assert sum(np.prod(shape) for shape in shapes.values()) == known.parameters


def test_names_beside_the_model_are_warned_of(tmp_path, inputs):
  shapes = layouts.moog() | {'pretrained_model/decoder/recon/bias': (3,)}
  path = layouts.save(tmp_path / 'x.npz', shapes)
  with pytest.warns(UserWarning, match='also holds .*decoder/recon/bias'):
    published.load(path)
  with warnings.catch_warnings():
    warnings.simplefilter('error')
    published.load(layouts.save(path, layouts.moog()))


BLOCK = 'params/processor/layers_2'


@pytest.mark.parametrize(
  ('changes', 'message'),
  [
    ({f'{BLOCK}/mlp/dense_in/bias': None}, f'lacks {BLOCK}/mlp/dense_in/bias:'),
    (
      {f'{BLOCK}/attention/out/bias': (13,)},
      rf'{BLOCK}/attention/out/bias is \(13,\), expected \[d\] = \(12,\)',
    ),
    (
      {'params/encoder/posenc/embeddings': (1, 3, 2, 4, 12)},
      r'posenc/embeddings is \(1, 3, 2, 4, 12\), expected 4 axes: \[t h w d\]',
    ),
    (
      {'params/encoder/posenc/embeddings': (2, 4)},
      r'posenc/embeddings is \(1, 1, 2, 4\), expected \[t h w d\]',
    ),
  ],
)
def test_what_does_not_fit_is_named(tmp_path, changes, message):
  shapes = layouts.backbone() | changes
  shapes = {key: shape for key, shape in shapes.items() if shape}
  with pytest.raises(ValueError, match=message):
    published.load(layouts.save(tmp_path / 'x.npz', shapes))


@pytest.mark.parametrize(
  ('grid', 'stored'),
  [((1, 2, 2), (2, 2)), ((1, 1, 1), ()), ((3, 1, 2), (3, 1, 2))],
)
def test_positions_are_published_without_leading_axes_of_one(
  tmp_path, grid, stored
):
  key = 'params/encoder/posenc/embeddings'
  arrays = layouts.weights(layouts.backbone() | {key: (*grid, 12)})
  whole, trimmed = tmp_path / 'whole.npz', tmp_path / 'trimmed.npz'
  # What was written before has all axes; it is read as well.
  np.savez(whole, **arrays)
  np.savez(trimmed, **arrays | {key: arrays[key].reshape(*stored, 12)})
  models = [published.load(str(path)) for path in (whole, trimmed)]
  for model in models:
    assert model.clip == tuple(n * p for n, p in zip(grid, (2, 4, 5)))
    again = loading.arrays(model.layout.leaves, model.params)
    assert again[key].shape == (*stored, 12)
    np.testing.assert_array_equal(again[key].ravel(), arrays[key].ravel())


@pytest.mark.parametrize('grid', [(1, 1, 1), (1, 1, 2), (3, 2, 4)])
def test_a_run_can_be_made_of_any_grid(grid):
  """An autoencoder that is pretrained further sees a patch, of one too."""
  key = 'params/encoder/posenc/embeddings'
  layout = names.of_file('x', layouts.backbone() | {key: (*grid, 12)})
  model = published.model_options(
    'x', layout, mae.get_config().to_dict()['model']
  )
  made = objective.make(**model)
  assert made.backbone.grid == grid
  assert made.visible >= 1


def test_a_video_that_does_not_fill_its_patches_is_cut_when_asked(
  paths, load, inputs
):
  """As the official tokenizer does, whose convolution has no padding."""
  video = inputs['video']
  larger = np.pad(video, ((0, 0), (0, 1), (0, 3), (0, 4), (0, 0)))
  with pytest.raises(ValueError, match=r'got shape \(2, 7,.*with cut=True'):
    load('backbone')(larger)
  cutting = published.load(paths['backbone'], cut=True)
  check('last', cutting(larger)[4], (2, 24, 12))
  with pytest.raises(ValueError, match=r'as many patches of \(2, 4, 5\) as'):
    cutting(np.pad(larger, ((0, 0), (0, 1), (0, 0), (0, 0), (0, 0))))
  with pytest.raises(ValueError, match="kind 'points': leave it out"):
    published.load(paths['points'], cut=True)


def test_other_models_are_refused(tmp_path):
  path = layouts.save(tmp_path / 'x.npz', {'blocks.0.weight': (3, 2)})
  with pytest.raises(ValueError, match=r'no known model.*blocks\.0\.weight'):
    published.load(path)


def test_an_output_patch_that_does_not_fit_is_asked_for(paths):
  with pytest.raises(ValueError, match='give the output_patch of this head'):
    published.load(paths['depth'])


@pytest.mark.parametrize('ending', ['npz', 'safetensors'])
@pytest.mark.parametrize('kept', [0.97, 0.3])
def test_truncated_files_are_refused(paths, tmp_path, ending, kept):
  path = tmp_path / f'x.{ending}'
  files.write(str(path), dict(np.load(paths['backbone'])))
  path.write_bytes(path.read_bytes()[: int(kept * path.stat().st_size)])
  with pytest.raises(ValueError, match='truncated or damaged'):
    published.load(str(path))


def test_pickles_and_other_dtypes_are_refused(tmp_path):
  arrays = layouts.weights(layouts.backbone())
  name = f'{BLOCK}/mlp_norm/bias'
  path = str(tmp_path / 'x.npz')

  class Trap:
    def __reduce__(self):
      return pytest.fail, ('it was unpickled',)

  np.savez(path, **arrays | {name: np.array([Trap()], object)})
  with pytest.raises(ValueError, match=f'{name} holds pickled objects'):
    published.load(path)
  np.savez(path, **arrays | {name: arrays[name].astype(np.float16)})
  with pytest.raises(ValueError, match=f'{name} is float16, expected float32'):
    published.load(path)
  with zipfile.ZipFile(path, 'w') as archive:
    archive.writestr(f'{name}.npy', pickle.dumps(3))
  with pytest.raises(ValueError, match=f'{name} is not an array'):
    published.load(path)
  for wrong in (tmp_path, tmp_path / 'none.npz', __file__):
    with pytest.raises(ValueError, match=r'does not exist|neither an npz'):
      published.load(str(wrong))


def test_a_damaged_array_fails_its_checksum(paths, tmp_path):
  path = tmp_path / 'x.npz'
  content = bytearray(pathlib.Path(paths['backbone']).read_bytes())
  content[len(content) // 2] ^= 1
  path.write_bytes(content)
  files.check_sums(paths['backbone'])
  with pytest.raises(ValueError, match='is damaged'):
    files.check_sums(str(path))


def test_compressed_and_fortran_arrays_are_read(paths, tmp_path):
  arrays = dict(np.load(paths['backbone']))
  path = str(tmp_path / 'x.npz')
  for save in (np.savez_compressed, np.savez):
    save(path, **{k: np.asfortranarray(v) for k, v in arrays.items()})
    for key, entry in files.opened(path).items():
      np.testing.assert_array_equal(entry.read(), arrays[key])


def test_each_device_gets_its_own_part(paths):
  entries = files.opened(paths['depth'])
  layout = names.of_file('x', {k: x.shape for k, x in entries.items()})
  mesh = jax.make_mesh((2, 4), ('a', 'b'))
  spec = jax.sharding.PartitionSpec
  kernel = 'backbone/processor/layers/mlp/dense_in/kernel'
  parts = {kernel: spec('a', None, 'b'), 'head/query/embeddings': spec('b')}
  places = {
    name: jax.sharding.NamedSharding(mesh, parts.get(name, spec()))
    for name in layout.leaves
  }
  split = loading.flat(loading.params(entries, layout.leaves, places))
  whole = loading.flat(loading.params(entries, layout.leaves))
  assert split[kernel].sharding == places[kernel]
  assert split[kernel].addressable_shards[0].data.shape == (2, 12, 5)
  for name, leaf in whole.items():
    np.testing.assert_array_equal(split[name], leaf)
