"""The source of ingested video: splits, clips, and clear errors."""

import pickle
import shutil

import numpy as np
import pytest

from data import source, transforms, video
from data.formats import shards
from data.ingest.folder import ingest
from data.ingest.recipe import Recipe
from data.source import BadRecord
from data.sources import videos
from data.splits import SPLITS
from tests.data import recipes

SIZE = {'frames': 4, 'height': 24, 'width': 32}
OPTIONS = recipes.videos(**SIZE)


@pytest.fixture(scope='module')
def folder(footage, tmp_path_factory):
  """Three videos in four records."""
  out = tmp_path_factory.mktemp('videos') / 'data'
  recipe = Recipe(chunk_frames=32, overlap_frames=16)
  ingest(str(footage), out, recipe, workers=0)
  return out


def make(folder, split='train', **options):
  return videos.make(split, path=str(folder), **OPTIONS | options)


def rng(seed=0):
  return np.random.default_rng(seed)


def test_reads_clips_by_the_name_of_the_module(folder):
  made = source.make('videos', 'train', path=str(folder), **OPTIONS)
  assert isinstance(made, source.Source)
  for index in range(len(made)):
    clip = made.read(index, rng())
    assert clip.keys() == {'video'}
    assert clip['video'].shape == (4, 24, 32, 3)
    assert clip['video'].dtype == np.uint8


def test_splits_share_no_video_and_lose_none(folder):
  train, validation, test = (make(folder, split) for split in SPLITS)
  names = [
    {split.fetch(i).name for i in range(len(split))}
    for split in (train, validation, test)
  ]
  assert names[0] | names[1] == {'a.mp4', 'below/b.mkv', 'c.avi'}
  assert not names[0] & names[1]
  assert len(names[1]) == 1  # of three, whatever the fraction
  assert names[2] == names[1]
  assert len(train) + len(validation) == 4


@pytest.mark.parametrize(
  ('split', 'fraction'), [('validation', 0.0), ('train', 1.0)]
)
def test_an_empty_split_is_an_error(folder, split, fraction):
  with pytest.raises(ValueError, match=f'{split} split of .* is empty'):
    make(folder, split, validation_fraction=fraction)


def test_a_read_depends_on_index_and_generator_only(folder):
  first, second = make(folder), pickle.loads(pickle.dumps(make(folder)))
  one = first.read(1, rng(3))['video']
  first.read(0, rng(8))
  np.testing.assert_array_equal(second.read(1, rng(3))['video'], one)
  assert (first.read(1, rng(4))['video'] != one).any()


def test_a_used_source_is_cheap_to_pickle(folder):
  made = make(folder)
  made.read(0, rng())
  assert len(pickle.dumps(made)) < 1000


def test_validation_is_not_augmented(folder):
  made = make(folder, 'validation', stride=(1, 3))
  clips = [made.read(0, rng(seed))['video'] for seed in range(5)]
  assert all((clip == clips[0]).all() for clip in clips)
  found = made.fetch(0)
  clip = made.draw(found, rng())
  assert np.diff(clip.frames).tolist() == [2, 2, 2]
  assert clip.box.height == found.height
  assert not clip.flip


def test_train_can_be_made_still(folder):
  made = make(folder, window='middle', crop='centre', flip=0)
  assert made.is_fixed
  assert make(folder, 'validation').is_fixed
  for drawn in ({'window': 'random'}, {'crop': 'random'}, {'flip': 0.5}):
    still = {'window': 'middle', 'crop': 'centre', 'flip': 0}
    assert not make(folder, **still | drawn).is_fixed
  one, two = (made.read(0, rng(seed))['video'] for seed in (1, 2))
  np.testing.assert_array_equal(one, two)


def test_frames_come_from_where_they_were_drawn(folder, film):
  made = make(folder, validation_fraction=0.0, crop='centre', flip=0.0)
  greys = next(i for i in range(len(made)) if made.fetch(i).name == 'c.avi')
  for seed in range(20):
    drawn = made.draw(made.fetch(greys), rng(seed)).frames
    clip = made.read(greys, rng(seed))['video']
    assert list(map(film.number, clip)) == drawn.tolist()


def test_too_many_frames_repeat_the_last(folder):
  made = make(folder, frames=40, stride=(1, 1), window='middle')
  clip = made.read(0, rng())['video']
  assert clip.shape[0] == 40
  np.testing.assert_array_equal(clip[-1], clip[-2])


def test_damage_is_a_bad_record(folder, tmp_path):
  copy = tmp_path / 'data'
  shutil.copytree(folder, copy)
  file = copy / shards.shard_name(0)
  data = bytearray(file.read_bytes())
  data[data.index(b'4DV1') + 500] ^= 1  # in the first record
  file.write_bytes(data)
  made = make(copy, validation_fraction=0.0)
  reasons = []
  for index in range(len(made)):
    try:
      made.read(index, rng())
    except BadRecord as error:
      reasons.append(str(error))
  (reason,) = reasons
  assert 'shard-00000' in reason


def test_a_shard_that_goes_away_is_a_bad_record(folder, tmp_path):
  copy = tmp_path / 'data'
  shutil.copytree(folder, copy)
  made = make(copy)
  (copy / shards.shard_name(0)).unlink()
  with pytest.raises(BadRecord, match='no file'):
    made.read(0, rng())


@pytest.mark.parametrize(
  ('options', 'message'),
  [
    ({'split': 'val'}, "split of .* 'val': expected one of train, val"),
    ({'crop': 'center'}, "'center': .* did you mean 'centre'"),
    ({'window': 'first'}, "window of .* 'first': expected one of random"),
    ({'keys': ('video', 'depth')}, 'no labels'),
    ({'frames': 0}, 'frames=0 must be a whole number, 1 or more'),
    ({'stride': (0, 2)}, 'stride='),
    ({'stride': (3, 2)}, 'in order'),
    ({'scale': (0.5, 1.5)}, 'at most 1'),
    ({'aspect': (2.0, 1.0)}, 'aspect='),
    ({'flip': 1.5}, 'flip=1.5'),
    ({'validation_fraction': -0.1}, 'validation_fraction'),
    ({'fingerprint': 'other'}, 'this is other data'),
  ],
)
def test_bad_options_are_told(folder, options, message):
  with pytest.raises(ValueError, match=message):
    make(folder, **options)


def test_bad_folders_are_told(folder, tmp_path):
  with pytest.raises(ValueError, match=r'no folder .* data\.ingest'):
    make(tmp_path / 'nowhere')
  with pytest.raises(ValueError, match='no manifest'):
    make(tmp_path)
  copy = tmp_path / 'data'
  shutil.copytree(folder, copy)
  with (copy / shards.shard_name(0)).open('ab') as file:
    file.write(b'more')
  with pytest.raises(ValueError, match='copy it again'):
    make(copy)


def test_the_right_fingerprint_is_accepted(folder):
  fingerprint = shards.manifest(folder)['fingerprint']
  assert make(folder, fingerprint=fingerprint).fingerprint == fingerprint


@pytest.fixture(scope='module')
def alone(film, tmp_path_factory):
  """A video of 120 frames in six records; one of 40 frames in a single one."""
  root = tmp_path_factory.mktemp('alone')
  for name, count in (('long', 120), ('short', 40)):
    (root / name).mkdir()
    clip = film.texture(count)
    # Every frame says its number: its halves, of 16 greys each.
    for number, picture in enumerate(clip):
      picture[:, :32] = 20 + 13 * (number % 16)
      picture[:, 32:] = 20 + 13 * (number // 16)
    film.write(root / name / 'a.mp4', clip)
    cut = {'chunk_frames': 32, 'overlap_frames': 16} if count > 40 else {}
    ingest(str(root / name), root / f'{name}.data', Recipe(**cut), workers=0)
  return root


def seen(made) -> set[int]:
  """Numbers of all frames of a split."""
  numbers = set()
  for index in range(len(made)):
    found = made.fetch(index)
    clip = video.render(
      video.decode(found, np.arange(found.frames)),
      *(transforms.Box(0, 0, found.height, found.width), 24, 32),
    )
    fine, coarse = (
      np.rint((half.mean((1, 2, 3)) - 20) / 13).astype(int)
      for half in (clip[:, :, :14], clip[:, :, 18:])
    )
    shown = (fine + 16 * coarse).tolist()
    assert shown == list(range(found.start, found.start + found.frames))
    numbers |= set(shown)
  return numbers


@pytest.mark.parametrize(
  ('name', 'fraction', 'held'),
  [
    ('long', 0.05, 24),
    ('long', 0.5, 72),
    ('long', 0.99, 104),
    ('short', 0.05, 8),
    ('short', 0.5, 24),
    ('short', 0.99, 24),
  ],
)
def test_a_single_video_is_split_by_time(alone, name, fraction, held):
  trained, held_out = (
    seen(make(alone / f'{name}.data', split, validation_fraction=fraction))
    for split in ('train', 'validation')
  )
  assert len(held_out) == held
  assert not trained & held_out
  assert max(trained) < min(held_out)
  assert trained | held_out == set(range(120 if name == 'long' else 40))


def test_copies_of_a_single_video_are_split_as_it_is(alone, tmp_path):
  for name in 'ab':
    shutil.copy(alone / 'short' / 'a.mp4', tmp_path / f'{name}.mp4')
  ingest(str(tmp_path / '*.mp4'), tmp_path / 'data', Recipe(), workers=0)
  one, other = (make(alone / 'short.data', s) for s in ('train', 'test'))
  two, both = (make(tmp_path / 'data', split) for split in ('train', 'test'))
  assert (len(two), len(both)) == (2 * len(one), 2 * len(other))
  assert seen(two) == seen(one)
  assert seen(both) == seen(other)


def test_no_fraction_holds_nothing_of_a_single_video(alone):
  assert len(seen(make(alone / 'short.data', validation_fraction=0))) == 40
  with pytest.raises(ValueError, match=r'validation split of .* is empty'):
    make(alone / 'short.data', 'validation', validation_fraction=0)
