"""Waymo, both releases, from files written here in their formats."""

import struct
import sys

import cv2
import numpy as np
import pytest

from data import source
from data.inspect import check
from data.source import BadRecord
from data.sources import waymo

FRAMES = 20  # of a segment, ten in a second
SIZE = {'frames': 4, 'height': 12, 'width': 12, 'together': 3}
RNG = np.random.default_rng(0)  # not used
FRONT, SIDE = 1, 2

# Object -> (centre x, centre y, along x, along y) in each frame, or None.
OBJECTS = {
  'car': lambda t: (960 + 8 * t, 640, 200, 100),
  'cut': lambda t: (340, 300, 200, 200),  # 120 of its 200 columns are shown
  'outside': lambda t: (100, 640, 200, 400),
  'small': lambda t: (960, 200, 80, 90),  # under 0.5% of 1280 x 1280
  'late': lambda t: (800, 900, 300, 300) if t >= 2 else None,
  'rare': lambda t: (800, 900, 300, 300) if t % 8 == 0 else None,
}


def jpeg(number):
  """Red tells the frame, green the column."""
  picture = np.zeros((160, 240, 3), np.uint8)
  picture[..., 0] = 12 * number
  picture[..., 1] = np.arange(240)
  return cv2.imencode('.jpg', picture[..., ::-1])[1].tobytes()


def labels(number, objects):
  found = {name: where(number) for name, where in objects.items()}
  return {name: box for name, box in found.items() if box}


def varint(value):
  groups = []
  while value > 127:
    groups.append(value & 127 | 128)
    value >>= 7
  return bytes([*groups, value])


def field(number, value):
  """A field of a protocol buffer: an integer, a double or bytes."""
  if isinstance(value, int):
    return varint(number << 3) + varint(value)
  if isinstance(value, float):
    return varint(number << 3 | 1) + struct.pack('<d', value)
  return varint(number << 3 | 2) + varint(len(value)) + value


def frame(number, objects):
  """A Frame of dataset.proto."""
  message = field(1, field(1, b'segment'))  # context
  message += field(2, 1_500_000_000_000_000 + 100_000 * number)
  for camera in (SIDE, FRONT):
    content = jpeg(number if camera == FRONT else 0)
    message += field(4, field(1, camera) + field(2, content))
  message += field(5, b'\x0a\x05laser')
  for camera in (SIDE, FRONT):
    listed = field(1, camera)
    for name, (x, y, along_x, along_y) in labels(number, objects).items():
      if camera == SIDE:
        x, y = 10.0, 10.0
      # In label.proto width is 4 and length 5; length is along x.
      box = field(1, float(x)) + field(2, float(y))
      box += field(5, float(along_x)) + field(4, float(along_y))
      label = field(1, box) + field(3, 1) + field(4, name.encode())
      listed += field(2, label)
    message += field(8, listed)
  return message


def write_records(folder, objects, name='segment-1'):
  folder.mkdir(parents=True, exist_ok=True)
  data = b''
  for number in range(FRAMES):
    record = frame(number, objects)
    data += struct.pack('<QI', len(record), 0) + record + bytes(4)
  (folder / f'{name}_with_camera_labels.tfrecord').write_bytes(data)


def write_tables(folder, objects, name='1_2'):
  pyarrow = pytest.importorskip('pyarrow')
  from pyarrow import parquet

  pictures, boxes = [], []
  # Rows in another order than time.
  for number in reversed(range(FRAMES)):
    for camera in (SIDE, FRONT):
      key = {
        'key.segment_context_name': name,
        'key.frame_timestamp_micros': 100_000 * number,
        'key.camera_name': camera,
      }
      content = jpeg(number if camera == FRONT else 0)
      pictures.append({**key, '[CameraImageComponent].image': content})
      for label, (x, y, *size) in labels(number, objects).items():
        if camera == SIDE:
          x, y = 10.0, 10.0
        sides = dict(
          zip(('center.x', 'center.y', 'size.x', 'size.y'), (x, y, *size))
        )
        box = {
          f'[CameraBoxComponent].box.{k}': float(v) for k, v in sides.items()
        }
        boxes.append({**key, 'key.camera_object_id': label, **box})
  for component, rows in (('camera_image', pictures), ('camera_box', boxes)):
    (folder / component).mkdir(parents=True, exist_ok=True)
    parquet.write_table(
      pyarrow.Table.from_pylist(rows),
      folder / component / f'{name}.parquet',
      row_group_size=7,
    )


@pytest.fixture(scope='module', params=[write_records, write_tables])
def folder(request, tmp_path_factory):
  folder = tmp_path_factory.mktemp('waymo')
  request.param(folder / 'training', OBJECTS)
  return folder


def make(folder, split='train', **options):
  options = {'keys': waymo.KEYS, **SIZE, **options}
  return waymo.make(split, path=str(folder), **options)


def test_clips_are_at_half_the_rate_and_spaced(folder):
  made = make(folder)
  assert isinstance(made, source.Source)
  starts = []
  for index in range(len(made)):
    video = made.read(index, RNG)['video']
    assert video.shape == (4, 12, 12, 3)
    numbers = np.round(video[..., 0].mean((1, 2)) / 12)
    np.testing.assert_array_equal(np.diff(numbers), 2)
    starts.append(int(numbers[0]))
  assert starts == [0, 6, 12]
  assert made.is_fixed


def test_boxes_are_moved_clipped_and_chosen(folder):
  record = make(folder).read(0, RNG)
  assert check.faults(record) == []
  assert record['boxes'].shape == (25, 4, 4)
  # 1280 of 1920 columns are shown, from column 320.
  car = [590 / 1280, (860 - 320) / 1280, 690 / 1280, (1060 - 320) / 1280]
  np.testing.assert_allclose(record['boxes'][0, 0], car, atol=1e-6)
  moved = record['boxes'][0, 1:] - record['boxes'][0, :-1]
  step = np.tile([0, 16 / 1280, 0, 16 / 1280], (3, 1))
  np.testing.assert_allclose(moved, step, atol=1e-6)
  cut = [200 / 1280, 0, 400 / 1280, 120 / 1280]
  np.testing.assert_allclose(record['boxes'][1, 2], cut, atol=1e-6)
  # Neither what is outside, too small, late nor rare.
  assert record['boxes_visible'].all(1).tolist() == [True, True] + 23 * [False]
  assert (record['boxes'][2:] == 0).all()
  # The late one is there in the next clip.
  assert make(folder).read(1, RNG)['boxes_visible'].any(1).sum() == 3


def test_pictures_are_cut_like_boxes(folder):
  green = make(folder).read(0, RNG)['video'][0, 6, :, 1]
  # 160 of 240 columns from column 40; a pixel is 160 / 12 columns.
  expected = 40 + 160 / 12 * (np.arange(12) + 0.5) - 0.5
  np.testing.assert_allclose(green, expected, atol=3)


@pytest.mark.parametrize(
  ('seen', 'options', 'objects'),
  [
    ([1, 1, 1, 1, 1, 1, 1, 1], {}, 2),
    ([0, 1, 1, 1, 1, 1, 1, 1], {}, 1),  # not in frame 0
    ([1, 0, 0, 1, 1, 1, 1, 1], {}, 2),
    ([1, 0, 0, 1, 1, 0, 1, 1], {}, 1),  # in 5 of 8
    ([1, 1, 1, 1, 1, 1, 0, 0], {'max_gap': 1}, 1),  # away too long
    ([1, 0, 0, 1, 1, 1, 1, 1], {'together': 7}, 0),
    ([1, 1, 1, 1, 1, 1, 1, 1], {'objects': 1}, 0),  # too many
  ],
)
def test_rules(seen, options, objects):
  rules = {'objects': 5, 'min_area': 0.005, 'min_presence': 0.7}
  rules |= {'max_gap': 2, 'together': 5}
  visible = np.array([seen, [1] * 8], bool)
  assert len(waymo.Rules(**{**rules, **options}).kept(visible)) == objects


def test_exclusions_are_counted(tmp_path):
  write_records(tmp_path / 'validation', {'car': OBJECTS['car']})
  write_records(tmp_path / 'validation', {'late': OBJECTS['late']}, 'segment-2')
  write_records(tmp_path / 'validation', {}, 'segment-3')
  made = make(tmp_path, 'test')
  assert made.excluded == {
    'start without 1 to 25 objects to follow': 1 + 7,
    'segment without a clip': 1,
  }
  assert len(made) == 3 + 2
  with pytest.raises(ValueError, match='none of the 3 segments'):
    make(tmp_path, 'test', min_area=0.5)


def test_validation_is_held_out_of_training(tmp_path):
  for number in range(6):
    write_records(
      tmp_path / 'training', {'car': OBJECTS['car']}, f'segment-{number}'
    )
  parts = [
    {
      file.name[8]
      for file in make(tmp_path, split, validation_fraction=0.5).files
    }
    for split in ('train', 'validation')
  ]
  assert not parts[0] & parts[1]
  assert parts[0] | parts[1] == set('012345')
  assert 1 < len(parts[1]) < 5


def test_damage_is_told(tmp_path):
  folder = tmp_path / 'training'
  write_records(folder, OBJECTS)
  (file,) = folder.iterdir()
  made = make(tmp_path)
  data = file.read_bytes()
  file.write_bytes(data.replace(b'\xff\xd8\xff', bytes(3)))
  with pytest.raises(BadRecord, match='not a picture'):
    made.read(0, RNG)
  (folder / 'segment-2.tfrecord').write_bytes(data[:-1000])
  with pytest.raises(BadRecord, match=r'segment-2.* truncated'):
    make(tmp_path)
  file.unlink()
  with pytest.raises(BadRecord, match='segment-1'):
    made.read(0, RNG)


def test_more_objects_in_frames_than_there_can_be_are_told(
  tmp_path, monkeypatch
):
  """Labels of some bytes each would make a table of all with all."""
  write_records(tmp_path / 'training', OBJECTS)
  monkeypatch.setattr(waymo.waymo, '_CELLS', 1)
  with pytest.raises(
    BadRecord, match=r'segment-1.*: \d+ objects in \d+ frames'
  ):
    make(tmp_path)


def test_of_both_releases_it_is_said_which_is_read(tmp_path, capsys):
  write_tables(tmp_path / 'training', OBJECTS)
  alone = make(tmp_path)
  assert 'releases' not in capsys.readouterr().out
  write_records(tmp_path / 'training', OBJECTS)
  assert make(tmp_path).files == alone.files
  said = capsys.readouterr().out
  assert 'both releases: camera_image/*.parquet is read (1), *.tf' in said


def test_release_2_says_what_it_needs(tmp_path, monkeypatch):
  write_tables(tmp_path / 'training', OBJECTS)
  monkeypatch.setitem(sys.modules, 'pyarrow', None)
  with pytest.raises(ValueError, match='pip install pyarrow'):
    make(tmp_path)


def test_bad_options_are_told(folder):
  for options, message in (
    ({'split': 'test'}, 'no segment in .*validation'),
    ({'split': 'val'}, "split of .* 'val': expected one of train, val"),
    ({'keys': ('label',)}, 'label'),
    ({'together': 5}, 'together=5'),
    ({'step': 0}, 'step=0'),
  ):
    with pytest.raises(ValueError, match=message):
      make(folder, **options)
