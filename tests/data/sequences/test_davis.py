"""DAVIS, from files that are written here as DAVIS stores them."""

import shutil

import numpy as np
import pytest
from PIL import Image

from data.sequences import davis
from data.source import BadRecord

# In the palette of DAVIS: black, dark red, dark green.
PALETTE = [0, 0, 0, 128, 0, 0, 0, 128, 0]


def write(folder, name, frames=3, height=12, width=20):
  images = folder / 'JPEGImages/480p' / name
  labels = folder / 'Annotations/480p' / name
  images.mkdir(parents=True)
  labels.mkdir(parents=True)
  for number in range(frames):
    colour = np.full((height, width, 3), 20 * number, np.uint8)
    Image.fromarray(colour).save(images / f'{number:05}.jpg', quality=95)
    numbers = np.zeros((height, width), np.uint8)
    numbers[2:5, number : number + 4] = 1
    numbers[8:, 10:] = 2
    picture = Image.fromarray(numbers)
    picture.putpalette(PALETTE)
    picture.save(labels / f'{number:05}.png')


@pytest.fixture
def folder(tmp_path):
  (tmp_path / 'ImageSets/2017').mkdir(parents=True)
  (tmp_path / 'ImageSets/2017/val.txt').write_text('goat\nbike-packing\n\n')
  write(tmp_path, 'goat', frames=11)
  write(tmp_path, 'bike-packing')
  return tmp_path


def test_frames_and_numbers_are_as_stored(folder):
  goat, bike = davis.sequences(str(folder))
  assert (goat.name, len(goat)) == ('goat', 11)
  assert (bike.name, len(bike)) == ('bike-packing', 3)
  video = goat.video(1, 3)
  assert video.shape == (2, 12, 20, 3)
  np.testing.assert_allclose(video.mean((1, 2, 3)), [20, 40], atol=2)
  # Indices of the palette, not the colours or their brightness.
  labels = bike.segmentation()
  assert labels.shape == (3, 12, 20)
  assert set(np.unique(labels)) == {0, 1, 2}
  assert np.flatnonzero((labels[2] == 1).any(0)).tolist() == [2, 3, 4, 5]


def _lose(folder):
  (folder / 'Annotations/480p/goat/00003.png').unlink()


def _lose_sequence(folder):
  shutil.rmtree(folder / 'JPEGImages/480p/goat')


def _lose_list(folder):
  (folder / 'ImageSets/2017/val.txt').unlink()


def _outside(folder):
  (folder / 'ImageSets/2017/val.txt').write_text('../../etc\n')


def _twice(folder):
  (folder / 'ImageSets/2017/val.txt').write_text('goat\ngoat\n')


def _named(folder):
  path = folder / 'JPEGImages/480p/goat'
  (path / '00003.jpg').rename(path / 'three.jpg')


@pytest.mark.parametrize(
  ('spoil', 'why'),
  [
    (_lose, 'frame 3 of goat is not in .*Annotations/480p/goat'),
    (_lose_sequence, 'JPEGImages/480p/goat holds no jpg or png'),
    (_lose_list, r'val\.txt is missing'),
    (_outside, 'outside'),
    (_twice, "names 'goat' twice"),
    (_named, r'three\.jpg is not a number'),
  ],
)
def test_a_folder_that_is_not_whole_is_refused(folder, spoil, why):
  spoil(folder)
  with pytest.raises(ValueError, match=why) as refused:
    davis.sequences(str(folder))
  assert '\n' not in str(refused.value)


def test_a_folder_that_is_none_is_refused(tmp_path):
  with pytest.raises(ValueError, match='is no folder'):
    davis.sequences(str(tmp_path / 'absent'))


def test_labels_of_colours_or_of_another_size_are_refused(folder):
  (goat, _) = davis.sequences(str(folder))
  file = folder / 'Annotations/480p/goat/00001.png'
  whole = file.read_bytes()
  with Image.open(file) as picture:
    colours = picture.convert('RGB')
  colours.save(file)
  with pytest.raises(BadRecord, match=r'mode RGB, expected .* palette'):
    goat.segmentation()
  Image.fromarray(np.zeros((6, 10), np.uint8)).save(file)
  with pytest.raises(BadRecord, match='6 x 10 pixels, its picture of 12 x 20'):
    goat.segmentation()
  file.write_bytes(whole[:60])
  with pytest.raises(BadRecord, match=r'00001\.png.*copy it again'):
    goat.segmentation()
