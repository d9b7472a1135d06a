"""ScanNet, from files that are written here as ScanNet writes them."""

import shutil
import struct
import zlib

import cv2
import numpy as np
import pytest

from data import source
from data.inspect import check
from data.source import BadRecord
from data.sources import scannet

FRAMES, COLOUR, DEPTH = 12, (48, 80), (24, 40)
LOST = (3, 7)  # frames without a pose
CAMERA = np.diag([70.0, 71.0, 1.0, 1.0])
CAMERA[:2, 2] = 39.5, 23.5  # the middle, counted from pixel centres
OTHER = np.diag([33.0, 34.0, 1.0, 1.0])  # depth camera: not to be used
RNG = np.random.default_rng(0)  # not used where clips are not random
SIZE = {'frames': 4, 'height': 12, 'width': 10, 'stride': (1, 1)}


def pose(number):
  if number in LOST:
    return np.full((4, 4), -np.inf)
  turn = np.eye(4)
  turn[:3, :3] = [[0, 0, 1], [-1, 0, 0], [0, -1, 0]]  # not its own inverse
  turn[:3, 3] = number, 2 * number, 0.5
  return turn


def colour(number):
  """Red tells the number, green the column, blue the row."""
  rows, columns = np.mgrid[: COLOUR[0], : COLOUR[1]]
  red = np.full(COLOUR, 20 * number)
  return np.stack([red, 3 * columns, 5 * rows], -1).astype(np.uint8)


def depth(number):
  """Millimetres: 1000 + 100 per frame + column; the left half unknown."""
  values = np.tile(np.arange(DEPTH[1]), (DEPTH[0], 1)) + 1000 + 100 * number
  values[:, : DEPTH[1] // 2] = 0
  return values.astype(np.uint16)


def jpeg(number):
  options = [cv2.IMWRITE_JPEG_QUALITY, 98]
  return cv2.imencode('.jpg', colour(number)[..., ::-1], options)[1].tobytes()


def write_sens(path, version=4, frames=FRAMES):
  name = b'StructureSensor'
  data = [struct.pack('<IQ', version, len(name)), name]
  for matrix in (CAMERA, np.eye(4), OTHER, np.eye(4)):
    data.append(struct.pack('<16f', *matrix.reshape(-1)))
  data.append(struct.pack('<ii', 2, 1))
  data.append(struct.pack('<IIII', *COLOUR[::-1], *DEPTH[::-1]))
  data.append(struct.pack('<fQ', 1000.0, frames))
  for number in range(frames):
    picture = jpeg(number)
    packed = zlib.compress(depth(number).tobytes())
    data.append(struct.pack('<16f', *pose(number).reshape(-1)))
    data.append(struct.pack('<QQQQ', 7, 8, len(picture), len(packed)))
    data += [picture, packed]
  path.parent.mkdir(parents=True)
  path.write_bytes(b''.join(data))


def write_folder(path):
  for folder in ('color', 'depth', 'pose', 'intrinsic'):
    (path / folder).mkdir(parents=True)
  np.savetxt(path / 'intrinsic' / 'intrinsic_color.txt', CAMERA)
  np.savetxt(path / 'intrinsic' / 'intrinsic_depth.txt', OTHER)
  for number in range(FRAMES):
    (path / 'color' / f'{number}.jpg').write_bytes(jpeg(number))
    cv2.imwrite(str(path / 'depth' / f'{number}.png'), depth(number))
    np.savetxt(path / 'pose' / f'{number}.txt', pose(number))


@pytest.fixture
def folder(tmp_path):
  write_sens(tmp_path / 'scans' / 'scene0000_00' / 'scene0000_00.sens')
  write_folder(tmp_path / 'scene0001_00')
  (tmp_path / 'scannetv2_train.txt').write_text(
    'scene0000_00\nscene0001_00\nscene0002_00\n'
  )
  (tmp_path / 'scannetv2_val.txt').write_text('scene0000_00\n')
  return tmp_path


def make(folder, split='train', **options):
  options = {'keys': scannet.KEYS, **SIZE, **options}
  return scannet.make(split, path=str(folder), **options)


def test_both_layouts_give_the_same(folder):
  made = make(folder)
  assert isinstance(made, source.Source)
  assert len(made) == 2
  assert made.excluded == {'scene not on disk': 1}
  one, two = (made.read(i, np.random.default_rng(3)) for i in range(2))
  assert tuple(one) == scannet.KEYS
  assert check.faults(one) == []
  assert one['video'].shape == (4, 12, 10, 3)
  assert one['depth'].shape == (4, 12, 10, 1)
  for key, value in one.items():
    np.testing.assert_array_equal(two[key], value)


def test_frames_without_a_pose_are_left_out(folder):
  made = make(folder, 'validation', frames=10, keys=('pose', 'video'))
  record = made.read(0, RNG)
  numbers = [0, 1, 2, 4, 5, 6, 8, 9, 10, 11]
  np.testing.assert_allclose(record['pose'][:, 0, 3], numbers)
  reds = record['video'][..., 0].mean((1, 2))
  np.testing.assert_allclose(reds, 20 * np.array(numbers), atol=3)
  # Camera to world as stored, not inverted.
  np.testing.assert_allclose(record['pose'][1], pose(1))


def test_depth_is_metres_and_never_mixed(folder):
  record = make(folder, 'validation', frames=10).read(0, RNG)
  values = record['depth'][0, :, :, 0]
  # Columns 10 to 30 of 40 are shown: the nearest to ten centres.
  np.testing.assert_allclose(values[0, 5:], (1000 + np.arange(21, 31, 2)) / 1e3)
  assert (values[:, :5] == 0).all()


def test_intrinsics_are_those_of_what_is_shown(folder):
  record = make(folder, 'validation').read(0, RNG)
  # 40 of 80 columns and all 48 rows are shown; a pixel is 4 x 4 pixels.
  expected = [[70 / 4, 0, 5], [0, 71 / 4, 6], [0, 0, 1]]
  np.testing.assert_allclose(record['intrinsics'], expected)
  green = record['video'][0, 6, :, 1].astype(int)
  np.testing.assert_allclose(green, 3 * (4 * np.arange(10) + 21.5), atol=5)


def test_clips_of_a_scan_follow_each_other(folder):
  made = make(folder, 'validation', clips=3, keys=('pose',))
  starts = [made.read(i, RNG)['pose'][0, 0, 3] for i in range(len(made))]
  assert starts == [0, 4, 8]


def test_training_clips_are_random(folder):
  made = make(folder, keys=('pose',), stride=(1, 2))
  starts = {
    made.read(1, np.random.default_rng(seed))['pose'][0, 0, 3]
    for seed in range(20)
  }
  assert len(starts) > 3
  assert not make(folder).is_fixed
  assert make(folder, 'validation').is_fixed


def scan(folder):
  return folder / 'scans' / 'scene0000_00' / 'scene0000_00.sens'


@pytest.mark.parametrize('cut', [5, 400, 5000])
def test_a_truncated_scan_is_a_bad_record(folder, cut):
  scan(folder).write_bytes(scan(folder).read_bytes()[:-cut])
  with pytest.raises(BadRecord, match='ends'):
    make(folder).read(0, np.random.default_rng(0))


def test_a_scan_that_promises_more_than_it_holds_is_a_bad_record(folder):
  data = scan(folder).read_bytes()
  name = 12 + len(b'StructureSensor')
  sizes, frame = name + 4 * 64 + 8 + 8, name + 4 * 64 + 8 + 16 + 12
  packed = zlib.compress(bytes(2**24))
  data = data[: frame - 8] + struct.pack('<Q', 1) + data[frame:]
  for at, forged, said in (
    (4, struct.pack('<Q', 2**64 - 1), 'ends at byte .*, in a header'),
    (sizes, struct.pack('<II', 2**31, 2**31), r'depth of \d+ x \d+ pixels'),
    (sizes + 8, struct.pack('<f', 0), '0.0 units in a metre'),
    (frame + 80, struct.pack('<Q', 2**63), 'ends within a frame'),
    (frame + 80, struct.pack('<QQ', 0, len(packed)) + packed, 'has 1921 bytes'),
  ):
    whole = data[:at] + forged + data[at + len(forged) :]
    scan(folder).write_bytes(whole)
    scannet.scannet.load.cache_clear()
    with pytest.raises(BadRecord, match=said):
      scannet.scannet.load(scan(folder)).frame(0)


def test_other_damage_is_a_bad_record(folder):
  rng = np.random.default_rng(0)
  data = scan(folder).read_bytes()
  scan(folder).write_bytes(struct.pack('<I', 3) + data[4:])
  (folder / 'scene0001_00' / 'depth' / '0.png').write_bytes(jpeg(0))
  np.savetxt(
    folder / 'scene0001_00' / 'intrinsic' / 'intrinsic_color.txt', 8 * CAMERA
  )
  odd = folder / 'scene0001_00' / 'color' / 'x.jpg'
  odd.touch()
  with pytest.raises(BadRecord, match=r'color/x\.jpg, expected NUMBER\.jpg'):
    make(folder, frames=10).read(1, rng)
  odd.unlink()
  with pytest.raises(BadRecord, match='version 3'):
    make(folder).read(0, rng)
  with pytest.raises(BadRecord, match='16-bit depth'):
    make(folder, frames=10).read(1, rng)
  (folder / 'scene0001_00' / 'depth' / '0.png').write_bytes(
    (folder / 'scene0001_00' / 'depth' / '1.png').read_bytes()
  )
  with pytest.raises(BadRecord, match='of other pictures'):
    make(folder, frames=10).read(1, rng)


def test_bad_options_are_told(folder):
  for options, message in (
    ({'split': 'test'}, 'scannetv2_test.txt is missing'),
    ({'split': 'val'}, "split of .* 'val': expected one of train, val"),
    ({'keys': ('boxes',)}, 'boxes'),
    ({'stride': (3, 1)}, 'stride='),
    ({'clips': 0}, 'clips=0'),
  ):
    with pytest.raises(ValueError, match=message):
      make(folder, **options)
  (folder / 'scannetv2_test.txt').write_text('scene0009_00')
  with pytest.raises(ValueError, match='none of the 1 scenes'):
    make(folder, 'test')
  for scene in ('../scene0000_00', str(folder.parent / 'scene0000_00')):
    (folder / 'scannetv2_test.txt').write_text(scene)
    with pytest.raises(ValueError, match=rf"names '{scene}', which is outside"):
      make(folder, 'test')


def test_the_fingerprint_is_of_the_scans_not_of_where_they_lie(
  folder, tmp_path_factory
):
  moved = tmp_path_factory.mktemp('moved') / 'scans'
  shutil.copytree(folder, moved)
  assert make(moved).fingerprint == make(folder).fingerprint
  (moved / 'scannetv2_train.txt').write_text('scene0000_00\n')
  assert make(moved).fingerprint != make(folder).fingerprint
