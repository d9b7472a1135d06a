"""MOVi-E: the labels of a small scene in the real format."""

import cv2
import numpy as np
import pytest

from data import source
from data.formats import tfds
from data.source import BadRecord
from data.sources.movi import source as movi
from data.sources.movi import tracks
from tests.data.sources.movi.files import (
  BOX,
  BOX_TURN,
  CAMERA,
  DOME,
  FRAMES,
  HEIGHT,
  SCALE,
  WIDTH,
  cast,
  example,
  features,
  png,
  rays,
  render,
  sixteen,
  write,
)


@pytest.fixture(scope='module')
def scene():
  return features()


@pytest.fixture(scope='module')
def records(scene):
  return [example(scene), example(features(shift=3))]


@pytest.fixture(scope='module')
def folder(records, tmp_path_factory):
  return write(tmp_path_factory.mktemp('movi') / '1.0.0', records)


def make(folder, split='validation', **options):
  size = {'frames': 24, 'height': HEIGHT, 'width': WIDTH, 'keys': movi.KEYS}
  return movi.make(split, path=str(folder), **{**size, **options})


def rng(seed=0):
  return np.random.default_rng(seed)


@pytest.fixture(scope='module')
def clip(folder):
  """The whole record as it is stored, with many points."""
  return make(folder, points=100).read(0, rng())


def project(clip, place):
  """Raster coordinates [.. t 2] of places [.. t 3] in the world."""
  pose = clip['pose'].astype(np.float64)
  local = np.einsum('tji,...tj->...ti', pose[:, :3, :3], place - pose[:, :3, 3])
  pixel = local @ clip['intrinsics'].T
  return pixel[..., :2] / pixel[..., 2:] / (WIDTH, HEIGHT)


def test_reads_by_the_name_of_the_module(folder):
  made = source.make(
    'movi',
    'train',
    path=str(folder),
    keys=('video', 'depth'),
    frames=5,
    height=20,
  )
  assert isinstance(made, source.Source)
  assert len(made) == 2
  read = made.read(1, rng())
  assert read.keys() == {'video', 'depth'}
  assert read['video'].shape == (5, 20, 224, 3)
  assert read['depth'].shape == (5, 20, 224, 1)
  assert read['depth'].dtype == np.float32


def test_both_formats_of_files_give_the_same(folder, records, tmp_path):
  other = make(write(tmp_path / 'a', records, 'tfrecord'))
  for index in range(2):
    one, two = make(folder).read(index, rng()), other.read(index, rng())
    for key in movi.KEYS:
      np.testing.assert_array_equal(one[key], two[key])


def test_colours_are_red_first(clip):
  red = clip['video'][..., 0]
  assert red[:, 0, 0].tolist() == [7 * frame for frame in range(FRAMES)]
  blue = clip['video'][..., 2]
  np.testing.assert_array_equal(blue, 200 * clip['segmentation'][..., 0])


def test_depth_is_along_the_axis_and_not_to_the_camera(clip):
  """Depth, intrinsics and pose together give back the dome and the box."""
  (fx, _, cx), (_, fy, cy), _ = clip['intrinsics'].astype(np.float64)
  assert fx == fy
  rows, columns = np.mgrid[:HEIGHT, :WIDTH] + 0.5
  ray = np.stack([(columns - cx) / fx, (rows - cy) / fy, 0 * rows + 1], -1)
  pose = clip['pose'].astype(np.float64)
  place = np.einsum('tij,thwj->thwi', pose[:, :3, :3], ray * clip['depth'])
  place += pose[:, None, None, :3, 3]
  background = clip['segmentation'][..., 0] == 0
  radius = np.linalg.norm(place[background], axis=-1)
  np.testing.assert_allclose(radius, DOME, atol=1e-3)
  for frame in (0, 13):
    local = place[frame][~background[frame]] - BOX[frame]
    side = np.abs(local @ BOX_TURN[frame] / SCALE).max(-1)
    np.testing.assert_allclose(side, 0.5, atol=1e-3)


def test_the_pose_has_the_axes_of_opencv(clip):
  """In Blender's axes the camera would look the other way."""
  centre = rays(3).mean((0, 1))
  forward, down = clip['pose'][3, :3, 2], clip['pose'][3, :3, 1]
  assert forward @ centre > 0.8
  assert down[2] < 0
  np.testing.assert_allclose(np.linalg.det(clip['pose']), 1, atol=1e-5)


def test_boxes_are_where_the_object_is_seen(clip):
  seen = clip['segmentation'][..., 0] > 0
  assert clip['boxes'].shape == (25, FRAMES, 4)
  assert clip['boxes_visible'][0].tolist() == seen.any((1, 2)).tolist()
  assert not clip['boxes_visible'][1:].any()
  rows, columns = seen[7].nonzero()
  ymin, xmin, ymax, xmax = clip['boxes'][0, 7]
  assert (rows.min() / HEIGHT, columns.min() / WIDTH) == (
    pytest.approx(ymin),
    pytest.approx(xmin),
  )
  assert (ymax - ymin) * HEIGHT == pytest.approx(np.ptp(rows) + 1)
  assert (xmax - xmin) * WIDTH == pytest.approx(np.ptp(columns) + 1)


def test_objects_without_a_row_are_told_of_without_reading_all_records(
  folder, tmp_path, scene, monkeypatch, capsys
):
  read, seen = tfds.Folder.read, []
  monkeypatch.setattr(
    tfds.Folder, 'read', lambda self, i: seen.append(i) or read(self, i)
  )
  made = make(folder, objects=1)
  assert 'may have up to 23; those beyond' in capsys.readouterr().out
  assert seen == [0]
  assert made.read(0, rng())['boxes'].shape[0] == 1
  make(folder, objects=23)
  make(folder, objects=1, keys=('video',))
  assert not capsys.readouterr().out

  crowd = {**scene, movi._LENGTHS: np.array([*scene[movi._LENGTHS]] + [0] * 24)}
  crowded = write(tmp_path / 'a', [example(crowd)])
  with pytest.raises(BadRecord, match='26 objects, at most 23'):
    make(crowded, keys=('boxes',)).read(0, rng())


def on_box(clip):
  """Which of the points are of the box, and their pixels in frame 0."""
  column, row = (clip['tracks'][:, 0] * (WIDTH, HEIGHT)).astype(int).T
  return clip['segmentation'][0, row, column, 0] > 0, row, column


def test_points_of_the_background_stand_still_in_the_world(clip):
  on, row, column = on_box(clip)
  ray = rays(0)[row, column] * render(0)[0][row, column]
  path = np.repeat((CAMERA[0] + ray)[:, None], FRAMES, axis=1)
  expected = project(clip, path)
  assert (~on).sum() > 20
  np.testing.assert_allclose(clip['tracks'][~on], expected[~on], atol=1e-4)


def test_points_of_an_object_move_with_it(clip):
  on, row, column = on_box(clip)
  local = (render(0)[2][row, column] - 0.5) * SCALE
  path = np.einsum('tij,qj->qti', BOX_TURN, local) + BOX
  expected = project(clip, path)
  assert on.sum() >= 3
  np.testing.assert_allclose(clip['tracks'][on], expected[on], atol=1e-4)
  np.testing.assert_allclose(
    expected[on, 0] * (WIDTH, HEIGHT),
    np.stack([column, row], -1)[on] + 0.5,
    atol=1e-2,
  )


def test_points_are_seen_where_nothing_is_before_them(folder):
  """Against rays from the camera to the points."""
  many = make(folder, points=500).read(0, rng())
  on, row, column = on_box(many)
  first, _, local, _ = (layer[row, column] for layer in render(0))
  still = CAMERA[0] + rays(0)[row, column] * first
  queries = many['tracks_visible'][:, 0]
  right, hidden = [], {True: 0, False: 0}
  for frame in range(FRAMES):
    moved = ((local - 0.5) * SCALE) @ BOX_TURN[frame].T + BOX[frame]
    offset = np.where(on[:, None], moved, still) - CAMERA[frame]
    own = np.linalg.norm(offset, axis=-1, keepdims=True)
    seen = (cast(offset / own, frame)[0] > 0.999 * own)[:, 0]
    x, y = many['tracks'][:, frame].T
    inside = (x >= 0) & (x < 1) & (y >= 0) & (y < 1) & queries
    right.append((many['tracks_visible'][:, frame] == seen)[inside])
    for which in hidden:
      hidden[which] += (~seen & inside & (on == which)).sum()
  assert hidden[True] > 50
  assert hidden[False] > 50
  # Beside an outline a pixel is not enough to tell.
  assert np.concatenate(right).mean() > 0.97


def test_a_point_out_of_the_frame_is_not_seen(clip):
  outside = ((clip['tracks'] < 0) | (clip['tracks'] >= 1)).any(-1)
  assert outside.any()
  assert not clip['tracks_visible'][outside].any()


def test_small_objects_get_points_and_the_rest_is_padding(folder):
  box = int(render(0)[1].sum())
  made = make(folder, points=400).read(0, rng())
  used = np.flatnonzero(made['tracks'][:, 0].any(-1))
  drawn = round(box / 10) + round((HEIGHT * WIDTH - box) / 10)
  assert used.tolist() == list(range(drawn))
  on = on_box(made)[0][used]
  assert on.sum() == round(box / 10)
  assert not made['tracks_visible'][drawn:].any()


def test_points_are_shared_among_objects():
  segmentation = np.zeros((20, 30), np.uint8)
  segmentation[:5, :8], segmentation[5:15, :20] = 1, 2
  row, column = tracks._draw(segmentation, 30, rng())
  counts = np.bincount(segmentation[row, column])
  assert counts.tolist() == [13, 4, 13]  # a tenth of 40; halves of the rest
  assert len(set(zip(row.tolist(), column.tolist()))) == 30


def test_a_bumpy_normal_is_not_asked(clip, scene, tmp_path):
  """And neither is one that faces away from the start."""
  noise = rng().uniform(size=(FRAMES, HEIGHT, WIDTH, 3))
  bumpy = {**scene, 'normal': list(map(png, sixteen(noise)))}
  made = make(write(tmp_path / 'bumpy', [example(bumpy)]), points=100)
  read = made.read(0, rng())
  assert read['tracks_visible'].sum() >= clip['tracks_visible'].sum()
  flipped = [
    png(255 * 257 - cv2.imdecode(np.frombuffer(each, np.uint8), -1)[..., ::-1])
    for each in scene['normal']
  ]
  away = {**scene, 'normal': flipped}
  made = make(write(tmp_path / 'away', [example(away)]), points=100)
  assert (made.read(0, rng())['tracks_visible'][:, 0]).sum() == (
    clip['tracks_visible'][:, 0].sum()
  )


def test_labels_scale_with_the_picture(folder, clip):
  large = make(folder, height=2 * HEIGHT, width=3 * WIDTH).read(0, rng())
  np.testing.assert_allclose(
    large['intrinsics'], np.diag([3, 2, 1]) @ clip['intrinsics'], rtol=1e-6
  )
  np.testing.assert_array_equal(
    large['depth'][:, ::2, 1::3], clip['depth'], strict=True
  )
  np.testing.assert_array_equal(large['boxes'], clip['boxes'])


def test_training_is_random_and_the_rest_is_not(folder):
  options = {'frames': 7, 'stride': (1, 3), 'points': 9}
  train = make(folder, 'train', **options)
  one, same, other = (train.read(0, rng(seed)) for seed in (1, 1, 2))
  for key in movi.KEYS:
    np.testing.assert_array_equal(one[key], same[key])
  assert (one['video'] != other['video']).any()
  assert (one['tracks'] != other['tracks']).any()
  test = make(folder, 'test', **options)
  for key in movi.KEYS:
    np.testing.assert_array_equal(
      test.read(0, rng(1))[key], test.read(0, rng(2))[key]
    )
  frames = test.read(0, rng())['video'][:, 0, 0, 0] / 7
  assert frames.tolist() == [5, 7, 9, 11, 13, 15, 17]
  middle = make(folder, 'train', window='middle', **options)
  assert middle.is_fixed
  assert make(folder, **options).is_fixed
  assert not make(folder, 'train', **options).is_fixed
  np.testing.assert_array_equal(
    middle.read(0, rng(3))['tracks'], test.read(0, rng())['tracks']
  )


def test_only_what_is_asked_for_is_decoded(folder):
  read = make(folder, keys=('boxes', 'pose', 'intrinsics')).read(0, rng())
  assert read.keys() == {'boxes', 'pose', 'intrinsics'}
  assert make(folder, keys=('tracks',)).read(0, rng())['tracks'].any()


@pytest.mark.parametrize(
  ('options', 'message'),
  [
    ({'split': 'val'}, "split of .* 'val': expected one of train, val"),
    ({'keys': ('video', 'label')}, 'label'),
    ({'frames': 25}, '24 frames'),
    ({'frames': 9, 'stride': (3, 3)}, 'do not fit'),
    ({'stride': (2, 1)}, 'in order'),
    ({'window': 'first'}, "window of .* 'first': expected one of random"),
    ({'points': 0}, 'points=0'),
  ],
)
def test_bad_options_are_told(folder, options, message):
  with pytest.raises(ValueError, match=message):
    make(folder, **options)


def test_other_data_is_told(folder, scene, tmp_path):
  lacking = {k: v for k, v in scene.items() if k != 'normal'}
  with pytest.raises(ValueError, match=r'not MOVi-E.*normal'):
    make(write(tmp_path / 'lacking', [example(lacking)]))


@pytest.mark.parametrize(
  'change',
  [
    {'depth': [b'']},
    {'segmentations': [png(np.full((HEIGHT, WIDTH, 1), 9, np.uint8))] * 24},
    {'camera/positions': CAMERA[:, :2]},
    {'camera/quaternions': np.zeros((FRAMES, 4))},
    {'instances/bbox_frames/ragged_flat_values': np.array([99])},
    {'instances/bbox_frames/ragged_row_lengths_0': np.array([2**40])},
    {'camera/positions': [b'x'] * 72},
  ],
  ids=lambda change: next(iter(change)),
)
def test_a_damaged_record_is_a_bad_record(records, scene, change, tmp_path):
  bad = example({**scene, **change})
  made = make(write(tmp_path / 'bad', [records[0], bad]))
  with pytest.raises(BadRecord, match='not a clip of MOVi'):
    made.read(1, rng())
