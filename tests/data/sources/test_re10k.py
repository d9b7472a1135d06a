"""RealEstate10K, from texts and frames written here as published."""

import shutil

import cv2
import numpy as np
import pytest

from data import source
from data.inspect import check
from data.source import BadRecord
from data.sources import re10k

ROWS, HEIGHT, WIDTH = 14, 36, 64
MISSING = (2, 5)
SIZE = {'frames': 4, 'height': 9, 'width': 12, 'stride': (1, 1)}
RNG = np.random.default_rng(0)  # not used where clips are not random


def world_to_camera(number):
  """The camera is at (number, 0, 2), turned about the vertical axis."""
  angle = 0.3 + 0.1 * number
  cos, sin = np.cos(angle), np.sin(angle)
  turn = np.array([[cos, 0, -sin], [0, 1, 0], [sin, 0, cos]])
  return np.concatenate([turn, -turn @ [[number], [0], [2]]], 1)


def frame(number):
  """Red tells the row of the text, green the column."""
  picture = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
  picture[..., 0] = 15 * number
  picture[..., 1] = 3 * np.arange(WIDTH)
  return picture


def write(folder, split, scene, missing=(), suffix='.png'):
  images = folder / split / scene
  images.mkdir(parents=True)
  lines = ['https://www.youtube.com/watch?v=abc']
  for number in range(ROWS):
    timestamp = 33333 * number
    pose = ' '.join(f'{x:.9f}' for x in world_to_camera(number).reshape(-1))
    lines.append(f'{timestamp} 0.5 0.8 0.5 0.4 0.0 0.0 {pose}')
    if number not in missing:
      picture = frame(number)[..., ::-1]
      cv2.imwrite(str(images / f'{timestamp}{suffix}'), picture)
  (folder / split / f'{scene}.txt').write_text('\n'.join(lines) + '\n')


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
  folder = tmp_path_factory.mktemp('re10k')
  write(folder, 'train', '00aa', MISSING)
  write(folder, 'train', '11bb', range(1, ROWS))
  write(folder, 'test', '22cc', suffix='.jpg')
  return folder


def make(folder, split='train', **options):
  options = {'keys': re10k.KEYS, 'validation': 'test', **SIZE, **options}
  return re10k.make(split, path=str(folder), **options)


def test_poses_are_camera_to_world(folder):
  made = make(folder, 'test', frames=ROWS)
  assert isinstance(made, source.Source)
  record = made.read(0, RNG)
  assert check.faults(record) == []
  for number, pose in enumerate(record['pose']):
    np.testing.assert_allclose(pose[:3, 3], [number, 0, 2], atol=1e-5)
    product = np.vstack([world_to_camera(number), [0, 0, 0, 1]]) @ pose
    np.testing.assert_allclose(product, np.eye(4), atol=1e-5)


def test_intrinsics_are_pixels_of_what_is_shown(folder):
  record = make(folder, 'test').read(0, RNG)
  # 48 of 64 columns from column 8, and all 36 rows; a pixel is 4 x 4 pixels.
  np.testing.assert_allclose(
    record['intrinsics'],
    [
      [0.5 * 64 / 4, 0, (0.5 * 64 - 8) / 4],
      [0, 0.8 * 36 / 4, 0.4 * 36 / 4],
      [0, 0, 1],
    ],
  )
  green = record['video'][0, 4, :, 1]
  np.testing.assert_allclose(green, 3 * (4 * np.arange(12) + 9.5), atol=4)


def test_rows_without_a_frame_are_left_out_and_counted(folder):
  made = make(folder, frames=12)
  assert len(made) == 1
  assert made.excluded == {
    'row whose frame is missing': len(MISSING) + ROWS - 1,
    'scene with fewer than 12 frames': 1,
  }
  record = made.read(0, RNG)
  numbers = [n for n in range(ROWS) if n not in MISSING]
  np.testing.assert_allclose(record['pose'][:, 0, 3], numbers, atol=1e-5)
  np.testing.assert_array_equal(
    record['video'][:, 0, 0, 0], 15 * np.array(numbers)
  )


def test_frames_may_lie_elsewhere(folder, tmp_path):
  (tmp_path / 'test').mkdir()
  text = (folder / 'test' / '22cc.txt').read_text()
  (tmp_path / 'test' / '22cc.txt').write_text(text)
  made = make(tmp_path, 'test', images=str(folder))
  assert made.read(0, RNG)['video'].shape == (4, 9, 12, 3)


def test_frames_elsewhere_are_below_path_or_absolute(
  folder, tmp_path, monkeypatch
):
  moved = tmp_path / 'moved'
  shutil.copytree(folder, moved, ignore=shutil.ignore_patterns('*.txt'))
  for split in ('train', 'test'):
    (tmp_path / split).mkdir()
    for text in (folder / split).glob('*.txt'):
      shutil.copy(text, tmp_path / split)
  monkeypatch.chdir(folder)
  for images in ('moved', str(moved)):
    assert make(tmp_path, 'test', images=images).scenes == ('22cc',)
  with pytest.raises(ValueError, match='with images=') as error:
    make(tmp_path, 'test')
  assert f'below {tmp_path} or absolute' in str(error.value)


def test_validation_is_held_out_of_training(tmp_path):
  for number in range(8):
    write(tmp_path, 'train', f'{number}', suffix='.jpg')
  trained, held = (
    set(make(tmp_path, split, validation='', validation_fraction=0.4).scenes)
    for split in ('train', 'validation')
  )
  assert not trained & held
  assert trained | held == set('01234567')
  assert 1 < len(held) < 5


def test_clips_of_validation_are_spread(folder):
  made = make(folder, 'validation', clips=2, keys=('pose',))
  starts = [made.read(i, RNG)['pose'][0, 0, 3] for i in range(len(made))]
  np.testing.assert_allclose(starts, [0, 10], atol=1e-5)
  trained = make(folder, keys=('pose',))
  starts = {
    float(trained.read(0, np.random.default_rng(seed))['pose'][0, 0, 3])
    for seed in range(20)
  }
  assert len(starts) > 3
  assert made.is_fixed
  assert not trained.is_fixed


def test_damage_is_told(folder, tmp_path):
  write(tmp_path, 'test', '33dd')
  made = make(tmp_path, 'test')
  picture = frame(0)[:20]
  for file in (tmp_path / 'test' / '33dd').iterdir():
    cv2.imwrite(str(file), picture)
    break
  whole = make(tmp_path, 'test', frames=ROWS)
  with pytest.raises(BadRecord, match='differ in size'):
    whole.read(0, RNG)
  for file in (tmp_path / 'test' / '33dd').iterdir():
    file.write_bytes(b'no picture')
  with pytest.raises(BadRecord, match='10 bytes are not a picture'):
    made.read(0, RNG)
  text = tmp_path / 'test' / '33dd.txt'
  text.write_text(text.read_text().replace('0.8', 'x'))
  with pytest.raises(BadRecord, match=r'33dd\.txt: could not convert'):
    made.read(0, RNG)
  with text.open('a') as file:
    file.write('123 0.5 0.5\n')
  with pytest.raises(ValueError, match=r'line 16 of .* has 3 numbers'):
    make(tmp_path, 'test')


def test_blank_lines_at_the_end_are_none_and_others_are_named(tmp_path):
  write(tmp_path, 'test', '44ee')
  text = tmp_path / 'test' / '44ee.txt'
  whole = text.read_text()
  text.write_text(whole + '\n  \n')
  assert make(tmp_path, 'test', frames=ROWS).read(0, RNG)['pose'].shape[0] == 14
  text.write_text(whole.replace('\n33333 ', '\n\n33333 '))
  with pytest.raises(ValueError, match=r'line 3 of .*44ee\.txt has 0 numbers'):
    make(tmp_path, 'test')


@pytest.mark.parametrize(
  ('old', 'new', 'said'),
  [
    (
      'https://www.youtube.com/watch?v=abc\n',
      '',
      r"line 1 of .*is '0 0\.5 0\.8",
    ),
    ('\n66666 ', '\n22222 ', 'line 4 of .*is of 22222 micro.*more than 33333'),
    ('\n66666 ', '\n33333 ', 'line 4 of .*is of 33333 micro.*more than 33333'),
    ('\n66666 ', '\n66666.0 ', 'line 4 of .*is of 66666.0 micro'),
  ],
)
def test_rows_out_of_order_are_named(tmp_path, old, new, said):
  """They would be taken for a video, and a first row for an address."""
  write(tmp_path, 'test', '55ff')
  text = tmp_path / 'test' / '55ff.txt'
  text.write_text(text.read_text().replace(old, new))
  with pytest.raises(ValueError, match=said):
    make(tmp_path, 'test')


@pytest.mark.parametrize(
  ('column', 'value'),
  [(7, 'nan'), (12, '-inf'), (1, '0'), (2, 'nan'), (7, '2')],
)
def test_a_row_that_is_no_camera_is_a_bad_record(tmp_path, column, value):
  write(tmp_path, 'test', '66aa')
  text = tmp_path / 'test' / '66aa.txt'
  lines = text.read_text().split('\n')
  words = lines[3].split()
  words[column] = value
  text.write_text('\n'.join([*lines[:3], ' '.join(words), *lines[4:]]))
  made = make(tmp_path, 'test')
  with pytest.raises(BadRecord, match=r'66aa\.txt: the row of 66666 is no cam'):
    made.read(0, RNG)


def test_bad_options_are_told(folder):
  for options, message in (
    ({'split': 'val'}, "split of .* 'val': expected one of train, val"),
    ({'keys': ('depth',)}, 'depth'),
    ({'frames': 15}, 'no scene of .* has 15 frames'),
    ({'train': 'nowhere'}, 'no scene'),
  ):
    with pytest.raises(ValueError, match=message):
      make(folder, **options)
