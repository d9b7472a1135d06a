"""What a folder may hold; what would load in part or be read wrong, may not."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from models.published import hf
from models.published.hf import folder as folder_lib
from tests.models.published.hf import folders
from tests.models.published.hf.conftest import loaded

FAMILIES = sorted(folders.CONFIGS)
# The first array of a block.
FIRST = {
  'videomae': 'encoder.layer.{}.layernorm_before.weight',
  'vjepa2': 'encoder.layer.{}.norm1.weight',
  'dinov2': 'encoder.layer.{}.norm1.weight',
  'dinov2_with_registers': 'encoder.layer.{}.norm1.weight',
}
# What files of larger models have beside the encoder, and their prefix.
BESIDE = {
  'videomae': (
    'videomae.',
    ['mask_token', 'encoder_to_decoder.weight', 'decoder.norm.weight'],
  ),
  'vjepa2': (
    'vjepa2.',
    ['vjepa2.predictor.layernorm.bias', 'pooler.query_tokens'],
  ),
  'dinov2': ('dinov2.', ['dinov2.embeddings.mask_token', 'classifier.bias']),
  'dinov2_with_registers': (
    'dinov2_with_registers.',
    ['dinov2_with_registers.embeddings.mask_token', 'classifier.bias'],
  ),
}


def same(one, other, atol=0.0):
  one, other = map(jax.tree_util.tree_leaves_with_path, (one, other))
  assert [path for path, _ in one] == [path for path, _ in other]
  for (path, x), (_, y) in zip(one, other):
    np.testing.assert_allclose(x, y, atol=atol, err_msg=str(path))


def params(path):
  return hf.read(path).params


@pytest.mark.parametrize('family', FAMILIES)
def test_pieces_prefixes_and_what_is_beside_change_nothing(family, tmp_path):
  given = folders.arrays(family)
  whole = params(folders.save(tmp_path / 'a', family, given))
  same(whole, params(folders.save(tmp_path / 'b', family, given, pieces=3)))
  prefix, beside = BESIDE[family]
  larger = {prefix + name: x for name, x in given.items()}
  larger |= dict.fromkeys(beside, np.ones((2, 3), np.float32))
  same(whole, params(folders.save(tmp_path / 'c', family, larger)))


@pytest.mark.parametrize('family', FAMILIES)
@pytest.mark.parametrize('dtype', ['F16', 'BF16'])
def test_half_precision_is_read_as_what_it_holds(family, dtype, tmp_path):
  given = folders.arrays(family)
  held = {
    name: x.astype(folders.DTYPES[dtype]).astype(np.float32)
    for name, x in given.items()
  }
  got = params(folders.save(tmp_path / 'a', family, given, dtype=dtype))
  same(got, params(folders.save(tmp_path / 'b', family, held)))
  assert {x.dtype for x in jax.tree.leaves(got)} == {np.dtype('float32')}


@pytest.mark.parametrize('family', FAMILIES)
def test_each_array_is_needed(family, tmp_path):
  """Also biases, which stay zero where a file is loaded in part."""
  given = folders.arrays(family)
  for name in given:
    left = {key: x for key, x in given.items() if key != name}
    path = folders.save(tmp_path / 'x', family, left)
    with pytest.raises(ValueError, match=f'lacks {name}: config.json tells'):
      hf.read(path)


@pytest.mark.parametrize('family', FAMILIES)
def test_another_number_of_blocks_is_refused(family, tmp_path):
  given = folders.arrays(family)
  layers = folders.CONFIGS[family]['num_hidden_layers']
  path = folders.save(
    tmp_path / 'x', family, given, num_hidden_layers=layers + 1
  )
  first = FIRST[family].format(layers)
  with pytest.raises(ValueError, match=rf'lacks {first} and \d+ more'):
    hf.read(path)
  path = folders.save(
    tmp_path / 'x', family, given, num_hidden_layers=layers - 1
  )
  last = f'layer.{layers - 1}'
  with pytest.raises(
    ValueError, match=rf'holds .*{last}.* and \d+ more, which'
  ):
    hf.read(path)


@pytest.mark.parametrize('family', FAMILIES)
@pytest.mark.parametrize(
  ('key', 'value', 'message'),
  [
    ('num_attention_heads', 5, 'num_attention_heads=5 does not divide'),
    (
      'num_attention_heads',
      0,
      'num_attention_heads=0, expected a number above',
    ),
    ('num_attention_heads', None, 'num_attention_heads holds a NoneType'),
    ('patch_size', 2, r'is \(\d+, 3, .*\), expected \(\d+, 3, .*\) as config'),
    ('hidden_size', 96, r'is \(.*\), expected \(.*\) as config.json tells'),
    ('hidden_act', 'gelu_new', "hidden_act='gelu_new', and a"),
    ('qkv_bias', False, 'qkv_bias=False, and a'),
    ('model_type', 'clip', 'unknown model_type in .* expected one of'),
  ],
)
def test_a_config_of_other_weights_is_refused(
  family, key, value, message, tmp_path
):
  given = folders.arrays(family)
  path = folders.save(tmp_path / 'x', family, given, **{key: value})
  with pytest.raises(ValueError, match=message):
    hf.read(path)


@pytest.mark.parametrize('family', FAMILIES)
def test_nothing_of_a_config_is_taken_for_granted(family, tmp_path):
  path = tmp_path / 'x'
  folders.save(path, family)
  config = json.loads((path / 'config.json').read_text())
  for key in config:
    left = {name: x for name, x in config.items() if name != key}
    (path / 'config.json').write_text(json.dumps(left))
    with pytest.raises(ValueError, match=f"(lacks {key}|{key}='nothing')"):
      hf.read(str(path))


@pytest.mark.parametrize('family', FAMILIES)
def test_arrays_that_nobody_knows_are_refused(family, tmp_path):
  given = folders.arrays(family)
  given |= {'encoder.gate': np.ones(3, np.float32)}
  path = folders.save(tmp_path / 'x', family, given)
  with pytest.raises(ValueError, match=r'holds encoder\.gate, which no'):
    hf.read(path)


def test_two_names_of_one_array_are_refused(tmp_path):
  given = folders.arrays('videomae')
  own = 'encoder.layer.1.attention.attention'
  both = {**given, f'{own}.query.bias': given[f'{own}.q_bias']}
  with pytest.raises(ValueError, match='two names of one array'):
    hf.read(folders.save(tmp_path / 'a', 'videomae', both))
  new = {
    key.replace('q_bias', 'query.bias').replace('v_bias', 'value.bias'): x
    for key, x in given.items()
  }
  assert new.keys() != given.keys()
  same(
    params(folders.save(tmp_path / 'b', 'videomae', new)),
    params(folders.save(tmp_path / 'c', 'videomae', given)),
  )


def test_a_norm_that_the_config_denies_is_refused(tmp_path):
  """Files of classifiers have none behind the last block."""
  given = folders.arrays('videomae')
  path = folders.save(tmp_path / 'x', 'videomae', given, use_mean_pooling=True)
  with pytest.raises(ValueError, match=r'holds layernorm.bias and 1 more'):
    hf.read(path)


def test_a_videomae_sees_its_own_clips_alone(tmp_path):
  path = folders.save(tmp_path / 'x', 'videomae')
  assert hf.read(path, frames=4).model['frames'] == 4
  with pytest.raises(ValueError, match='frames=8, and this VideoMAE sees 4'):
    hf.read(path, frames=8)


def test_a_vjepa2_sees_any_even_number_of_frames(tmp_path):
  path = folders.save(tmp_path / 'x', 'vjepa2')
  assert hf.read(path).model['frames'] == 16
  assert hf.read(path, frames=6).model['frames'] == 6
  with pytest.raises(ValueError, match='frames=5 must be a multiple of'):
    hf.read(path, frames=5)
  with pytest.raises(ValueError, match='width=16, and this V-JEPA 2 sees 12'):
    hf.read(path, width=16)


def test_a_dinov2_sees_frames_of_any_size_that_patches_divide(tmp_path):
  path = folders.save(tmp_path / 'x', 'dinov2')
  model = hf.read(path).model
  assert [model[x] for x in ('frames', 'height', 'width')] == [16, 64, 64]
  assert hf.read(path, frames=5, width=20).model['width'] == 20
  with pytest.raises(ValueError, match='height=18 must be a multiple of'):
    hf.read(path, height=18)
  message = r'position_embeddings is \(1, 26, 24\), expected \(1, 37, 24\)'
  path = folders.save(
    tmp_path / 'y', 'dinov2', folders.arrays('dinov2'), image_size=24
  )
  with pytest.raises(ValueError, match=message):
    hf.read(path)


def test_new_names_of_a_dinov2_are_read(tmp_path):
  changes = {'use_swiglu_ffn': True}
  given, new = folders.arrays('dinov2', **changes), {}
  for name, x in given.items():
    for old, now in (
      *((f'attention.attention.{y}', y[0]) for y in ('query', 'key', 'value')),
      ('attention.output.dense', 'o'),
    ):
      name = name.replace(old, f'attention.{now}_proj')
    name = name.replace('weights_out', 'down_proj')
    if 'weights_in' in name:
      gate, value = np.split(x, 2)
      new[name.replace('weights_in', 'gate_proj')] = gate
      new[name.replace('weights_in', 'up_proj')] = value
    else:
      new[name] = x
  assert len(new) == len(given) + 6
  same(
    params(folders.save(tmp_path / 'a', 'dinov2', new, **changes)),
    params(folders.save(tmp_path / 'b', 'dinov2', given, **changes)),
  )


def test_pixels_are_imagenets_where_nothing_else_is_told(tmp_path):
  path = folders.save(tmp_path / 'x', 'videomae', preprocessor=None)
  clips = jnp.asarray(folders.video('videomae'))
  found = folder_lib.opened(path)
  assert found.mean == (0.485, 0.456, 0.406)
  assert "ImageNet's" in hf.read(path).said
  told = {'image_mean': list(found.mean), 'image_std': list(found.std)}
  other = folders.save(tmp_path / 'y', 'videomae', preprocessor=told)
  one, two = (
    made.features(weights, clips, depth=1.0).tokens
    for made, weights in map(loaded, (path, other))
  )
  np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize(
  ('told', 'message'),
  [
    ({'image_std': [1, 1, 1]}, 'lacks image_mean'),
    ({'image_mean': [0, 0], 'image_std': [1, 1, 1]}, 'expected three numbers'),
    ({'image_mean': [0, 0, 0], 'image_std': [1, 0, 1]}, 'deviations above 0'),
    ({'do_rescale': False}, 'expected pixels over 255'),
    ({'rescale_factor': 1 / 127.5}, 'expected pixels over 255'),
  ],
  ids=str,
)
def test_a_preprocessor_that_is_not_understood_is_refused(
  told, message, tmp_path
):
  path = folders.save(tmp_path / 'x', 'videomae', preprocessor=told)
  with pytest.raises(ValueError, match=message):
    hf.read(path)


def test_two_preprocessors_that_differ_are_refused(tmp_path):
  path = folders.save(tmp_path / 'x', 'videomae')
  other = {**folders.PREPROCESSOR, 'image_mean': [0.5, 0.5, 0.5]}
  name = tmp_path / 'x' / 'video_preprocessor_config.json'
  name.write_text(json.dumps(other))
  with pytest.raises(ValueError, match='differ in what becomes of pixels'):
    hf.read(path)
  name.write_text(json.dumps(folders.PREPROCESSOR))
  hf.read(path)


def test_folders_that_are_none_say_what_is_missing(tmp_path):
  with pytest.raises(ValueError, match='is not a folder'):
    hf.read(str(tmp_path / 'none'))
  with pytest.raises(ValueError, match=r'has no config\.json'):
    hf.read(str(tmp_path))
  (tmp_path / 'config.json').write_text('{"model_type": "videomae"}')
  (tmp_path / 'pytorch_model.bin').write_text('')
  with pytest.raises(ValueError, match=r'pytorch_model\.bin may run any code'):
    hf.read(str(tmp_path))


def test_pieces_are_those_of_the_index(tmp_path):
  path = tmp_path / 'x'
  folders.save(path, 'videomae', pieces=2)
  index = path / 'model.safetensors.index.json'
  text = index.read_text()
  map_ = json.loads(text)['weight_map']
  name = min(map_)
  moved = {key: x for key, x in map_.items() if key != name}
  for change, message in (
    ({**map_, name: '../x'}, 'expected the name of a file beside it'),
    ({**map_, 'more': map_[name]}, 'lacks more, and'),
    (moved, f'holds {name}, and'),
    ({}, 'names no array'),
  ):
    index.write_text(json.dumps({'weight_map': change}))
    with pytest.raises(ValueError, match=message):
      hf.read(str(path))
  index.write_text(text)
  (path / map_[name]).unlink()
  with pytest.raises(ValueError, match=r'lacks model-0.*, a piece that'):
    hf.read(str(path))


def test_what_it_was_made_of_has_a_digest(tmp_path):
  path = folders.save(tmp_path / 'x', 'videomae', pieces=2)
  before = folder_lib.digest(path)
  assert len(before) == 5  # config, preprocessor, index, two pieces
  (tmp_path / 'x' / 'README.md').write_text('not of the encoder')
  assert folder_lib.digest(path) == before
  folders.save(
    tmp_path / 'x', 'videomae', folders.arrays('videomae', seed=1), pieces=2
  )
  after = folder_lib.digest(path)
  assert sum(before[name] != after[name] for name in before) == 2
