"""Data sets that TensorFlow Datasets prepared, read as its package does."""

import dataclasses
import json
import re
import shutil
import sys
import types

import numpy as np
import pytest

from base import files as store
from configs import mae
from data import pipeline, source
from data.formats.tfds import pictures
from data.inspect import check
from data.source import BadRecord
from data.sources import movi, tfds
from data.sources.tfds import named
from tests.data.sources.movi import files

SIZE = {'frames': 4, 'height': 24, 'width': 32}
# What must be told of each: the only video, and the only ClassLabel, is found.
TOLD = {
  'ucf101_like': {},
  'davis_like': {'label': 'metadata/num_frames'},
  'robot_like': {
    'video': 'steps/observation/image',
    'label': 'episode_metadata/success',
  },
  'tensor_like': {'video': 'numbers'},
}


def make(root, of, split='test', **options):
  options = {'keys': ('video',), **SIZE, **TOLD.get(of, {}), **options}
  return tfds.make(split, path=str(root / of / '1.0.0'), **options)


def rng(seed=0):
  return np.random.default_rng(seed)


@pytest.mark.parametrize('name', TOLD)
def test_clips_are_those_that_the_package_reads(root, name):
  oracle = np.load(root / f'{name}.npz')
  keys = ('video', 'video_id') if name == 'davis_like' else tfds.KEYS
  made = source.make(
    'tfds',
    'test',
    path=str(root / name / '1.0.0'),
    keys=keys,
    **SIZE,
    **TOLD[name],
    stride='1+1',
  )
  assert isinstance(made, source.Source)
  assert len(made) == 2
  for number in range(2):
    clip = made.read(number, rng())
    whole = oracle[f'test/{number}/video'].astype(int)
    start = (len(whole) - 4) // 2
    # JPEG decoders differ by some steps of colour; two frames by 11.
    most = 5 if name == 'ucf101_like' else 0
    assert np.abs(clip['video'] - whole[start : start + 4]).max() <= most
    if 'label' in keys:
      assert clip['label'] == oracle[f'test/{number}/label']
    assert clip['video_id'] == number
    assert check.faults(clip) == []
  assert made.is_fixed
  assert len(made.fingerprint) == 16


@pytest.mark.parametrize(
  'video',
  [
    *('raw', 'packed', 'sized', 'grey', 'list'),
    *(f'deep/steps/seen/{name}' for name in ('numbers', 'raw', 'sized')),
  ],
)
def test_pictures_in_tensors_are_those_that_the_package_reads(root, video):
  oracle = np.load(root / 'tensor_like.npz')
  label = 'deep/success'
  keys = ('video', 'label')
  for number in range(2):
    whole = oracle[f'test/{number}/{video}']
    size = dict(zip(('height', 'width'), whole.shape[1:3]))
    options = {'video': video, 'label': label, 'keys': keys, **size}
    made = make(root, 'tensor_like', **options)
    clip = made.read(number, rng())
    start = (len(whole) - 4) // 2
    want = np.broadcast_to(whole[start : start + 4], clip['video'].shape)
    np.testing.assert_array_equal(clip['video'], want)
    assert clip['label'] == oracle[f'test/{number}/{label}']
    assert made.classes == 2


def test_a_tensor_that_is_cut_off_is_a_bad_record(root, monkeypatch):
  made = make(root, 'tensor_like', video='packed')
  stored = dataclasses.replace(made.stored, shape=(0, 5, 5, 3))
  other = dataclasses.replace(made, stored=stored)
  with pytest.raises(
    BadRecord, match=r'not Tensor of uint8 \[\* 5 5 3\]: cann'
  ):
    other.read(0, rng())
  monkeypatch.setattr(pictures, '_BYTES', 99)
  with pytest.raises(BadRecord, match=r'packed is not .* more than 99 bytes'):
    made.read(0, rng())
  numbers = dataclasses.replace(made.stored, coding='none')
  other = dataclasses.replace(made, stored=numbers)
  with pytest.raises(BadRecord, match='other values than whole numbers'):
    other.read(0, rng())


@pytest.mark.parametrize(
  ('key', 'reason'),
  [
    ('video', 'video has no picture'),
    ('label', 'its label is -1, expected 0 to 1'),
  ],
)
def test_a_record_that_lacks_what_is_asked_for_is_a_bad_one(root, key, reason):
  made = make(root, 'odd_like', keys=(key,))
  reasons = []
  for index in range(2):
    try:
      assert made.read(index, rng()).keys() == {key}
    except BadRecord as error:
      reasons.append(str(error))
  (said,) = reasons
  assert said.endswith(reason)


@pytest.fixture
def package(monkeypatch):
  """A stand-in, of which every data set is in its data_dir, if it is there."""

  class Builder:
    def __init__(self, name, data_dir):
      self.data_path = f'{data_dir}/{name}/1.0.0'

    def is_prepared(self):
      return store.exists(self.data_path)

  made = types.SimpleNamespace(builder=Builder)
  monkeypatch.setitem(sys.modules, 'tensorflow_datasets', made)


@pytest.mark.usefixtures('package')
def test_a_data_set_with_a_name_may_be_in_a_store(bucket):
  store.write(f'{bucket}/here/1.0.0/dataset_info.json', '{}')
  assert named.folder_of('here', bucket, False) == f'{bucket}/here/1.0.0'
  with pytest.raises(ValueError, match='prepare it on a disk with `tfds build'):
    named.folder_of('there', bucket, True)
  with pytest.raises(ValueError, match=r'none: there is no such folder'):
    named.folder_of('here', f'{bucket}/none', False)


@pytest.mark.parametrize('kind', ['tfrecord', 'array_record'])
def test_movi_e_as_the_package_writes_kubrics_features(root, tmp_path, kind):
  """The same as of the records that other tests write by hand."""
  by_hand = files.write(tmp_path / '1.0.0', [files.example(files.features())])
  size = {'frames': 24, 'height': files.HEIGHT, 'width': files.WIDTH}
  clips = [
    movi.make('validation', path=str(path), keys=movi.KEYS, **size).read(
      0, rng()
    )
    for path in (by_hand, root / kind / 'movi_e_like' / '1.0.0')
  ]
  for key in movi.KEYS:
    np.testing.assert_allclose(*(clip[key] for clip in clips), atol=1e-6)


def test_classes_have_their_names(root):
  made = make(root, 'ucf101_like', keys=('label',))
  assert made.names == ('ApplyLipstick', 'Archery', 'Biking')
  assert made.classes == 3
  robot = make(root, 'robot_like', keys=('label',))
  assert (robot.label, robot.classes) == ('episode_metadata/success', 0)
  # A number of frames is no class: it is taken only if it is named.
  with pytest.raises(
    ValueError, match=r'no feature is surely the label, .*or do without'
  ):
    make(root, 'davis_like', keys=('label',), label='')


def test_training_draws_clips_and_holds_some_records_out(root):
  trains = make(root, 'ucf101_like', 'train', validation_fraction=0.4)
  held = make(root, 'ucf101_like', 'validation', validation_fraction=0.4)
  assert sorted([*trains.rows, *held.rows]) == [0, 1, 2, 3, 4]
  assert len(held)
  options = {'stride': (1, 2), 'scale': (1.0, 1.0), 'aspect': (4 / 3, 4 / 3)}
  trains = make(root, 'ucf101_like', 'train', validation='train', **options)
  assert len(trains) == 5
  assert not trains.is_fixed
  starts = set()
  for seed in range(20):
    blue = trains.read(0, rng(seed))['video'][:, 12, 16, 2].astype(float)
    numbers = np.round(blue / 11).astype(int)
    assert set(np.diff(numbers)) <= {1, 2}
    starts.add(numbers[0])
  assert len(starts) > 1
  same = [trains.read(3, rng(5))['video'] for _ in range(2)]
  np.testing.assert_array_equal(*same)
  flipped = make(
    *(root, 'ucf101_like', 'train'), validation='train', flip=1.0, **options
  ).read(3, rng(5))['video']
  np.testing.assert_array_equal(flipped, same[0][:, :, ::-1])


def test_several_clips_and_crops_of_a_record(root):
  made = make(root, 'davis_like', clips=2, crops=3, width=16)
  assert len(made) == 2 * 6
  greens = [made.read(n, rng())['video'][0, 0, :, 1] for n in range(3)]
  # Green grows from left to right.
  assert greens[0].mean() < greens[1].mean() < greens[2].mean()
  blues = [made.read(n, rng())['video'][:, 0, 0, 2] // 11 for n in (0, 3)]
  # The package shuffles records as it writes them.
  last = len(np.load(root / 'davis_like.npz')['test/0/video']) - 4
  assert [int(each[0]) for each in blues] == [0, last]
  assert np.diff(blues).tolist() == [[1, 1, 1]] * 2


@pytest.mark.parametrize(
  ('name', 'options', 'message'),
  [
    (
      *('robot_like', {'video': ''}),
      r'2 features may be the video, .*/image \(Image of uint8 \[\* 24',
    ),
    (
      *('robot_like', {'video': 'steps/observation/state'}),
      r"Tensor of float32 \[\* 7\], .* did you mean 'steps/observation/image'",
    ),
    (
      *('robot_like', {'video': 'steps/observation/imag'}),
      "did you mean 'steps/observation/image'",
    ),
    (
      *('davis_like', {'keys': ('label',), 'label': 'video/frames'}),
      r'label=video/frames is a Image of uint8 .*, expected one whole number',
    ),
    (
      *('tensor_like', {'video': 'floats'}),
      r'floats is a Tensor of float32 \[2 4 4 3\], .*: there is .*list',
    ),
  ],
)
def test_features_that_are_not_the_video_are_told(root, name, options, message):
  with pytest.raises(ValueError, match=message) as error:
    make(root, name, **options)
  assert '\n' not in str(error.value)


def test_without_features_json_a_feature_is_taken_on_trust(root, tmp_path):
  shutil.copytree(root / 'davis_like', tmp_path / 'davis_like')
  (tmp_path / 'davis_like' / '1.0.0' / 'features.json').unlink()
  with pytest.raises(ValueError, match=r'has no features\.json, .*video='):
    make(tmp_path, 'davis_like')
  named = make(tmp_path, 'davis_like', video='video/frames').read(0, rng())
  np.testing.assert_array_equal(
    named['video'], make(root, 'davis_like').read(0, rng())['video']
  )
  with pytest.raises(
    ValueError, match="no feature frames; did you mean 'video/frames'"
  ):
    make(tmp_path, 'davis_like', video='frames')
  with pytest.raises(ValueError, match='num_frames has no picture'):
    make(tmp_path, 'davis_like', video='metadata/num_frames')
  damaged = tmp_path / 'davis_like' / '1.0.0' / 'features.json'
  damaged.write_text(json.dumps({'pythonClassName': 'x', 'featuresDict': []}))
  with pytest.raises(ValueError, match=r'features\.json does not describe'):
    make(tmp_path, 'davis_like')


def test_bad_options_are_told(root):
  for options, message in (
    ({'crops': 2}, 'crops=2: 1 .* or 3'),
    ({'keys': ('depth',)}, 'depth'),
    ({'flip': 2}, 'flip=2 must be 0 to 1'),
    ({'test': 'valid'}, "no split 'valid' with records: it has"),
    ({'dataset': 'ucf101'}, 'give path=, .* or dataset='),
  ):
    with pytest.raises(ValueError, match=message):
      make(root, 'ucf101_like', **options)


def test_a_run_is_pretrained_on_a_data_set_by_its_folder(root):
  argument = f'size=tiny,data=tfds,data.path={root}/ucf101_like/1.0.0'
  config = mae.get_config(argument).to_dict()
  made = pipeline.make(
    split='train', **{**config['data'], 'batch_size': 2, 'workers': 0}
  )
  (batch,) = next(made.batches())
  assert batch['video'].shape == (2, 16, 64, 64, 3)
  assert made.fingerprint['train']


def test_names_are_those_of_the_package(root):
  """What it prepares, what it only finds prepared, what it does not know."""
  small = str(root / 'named_clips' / 'small' / '1.2.0')
  ucf101 = str(root / 'ucf101_like' / '1.0.0')
  told = json.loads((root / 'named.json').read_text())
  want = [
    f'is not in {small}: prepare it with `tfds build named_clips/small:1.2.0`',
    *[small] * 4,
    "only: 1.2.0; did you mean 'named_clips/small:1.2.0'",
    "lange not found with version 1.2.0; did you mean 'named_clips/",
    'by_hand cannot be prepared: Manual directory',
    "named_clip: neither .* did you mean 'named_clips'",
    'dataset=named clips: Parsing builder name string named clips failed',
    *[ucf101] * 2,
    "only: 1.0.0; did you mean 'ucf101_like:1.0.0'",
  ]
  assert len(told) == len(want)
  for found, pattern in zip(told, want):
    assert re.search(pattern, found), found
    assert '\n' not in found
  made = tfds.make('train', path=told[1], keys=('video',), **SIZE)
  assert len(made) == 2  # of three, one is held out
