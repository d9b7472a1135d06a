"""Point maps: in the first camera, where the pixels show them, of one room."""

import numpy as np
import pytest

from data import point_maps, source
from data.inspect import check

SIZE = {'frames': 4, 'height': 18, 'width': 26}
KEYS = (
  *('point_map', 'point_map_known', 'depth', 'pose', 'intrinsics'),
  'segmentation',
)


def clip(cache='', keys=KEYS, **options):
  options = {**SIZE, 'clips': 3, 'keys': keys, 'cache': str(cache), **options}
  made = source.make('world', 'train', **options)
  return made.read(1, np.random.default_rng(0))


def in_world(record):
  """The points of all frames, in the axes of the world."""
  first = record['pose'][0]
  return record['point_map'] @ first[:3, :3].T + first[:3, 3]


def test_points_are_seen_in_their_pixels():
  record = clip(camera_speed=4.0)
  assert check.faults(record) == []
  assert record['point_map_known'].all()
  x, y = np.meshgrid(
    np.arange(SIZE['width']) + 0.5, np.arange(SIZE['height']) + 0.5
  )
  for frame, points in enumerate(in_world(record)):
    pose = record['pose'][frame]
    local = (points - pose[:3, 3]) @ pose[:3, :3]
    pixels = local @ record['intrinsics'].T
    pixels = pixels[..., :2] / pixels[..., 2:]
    np.testing.assert_allclose(pixels, np.stack([x, y], -1), atol=2e-3)
    depth = record['depth'][frame]
    np.testing.assert_allclose(local[..., 2:], depth, rtol=1e-4)
  # Of the first frame they are in its own axes: z is depth.
  z = record['point_map'][0, ..., 2:]
  np.testing.assert_allclose(z, record['depth'][0], rtol=1e-5)


def test_what_stands_still_has_one_place_in_all_frames():
  record = clip(camera_speed=4.0)
  eyes = record['pose'][:, :3, 3]
  assert np.linalg.norm(eyes[-1] - eyes[0]) > 0.3
  # The faces of the room, whose numbers are those of an axis and an end, are
  # seen in the first frame; points of the others lie in the same planes.
  world, room = in_world(record), record['segmentation'][..., 0] == 0
  first = world[0][room[0]]
  ends = np.array([first.min(0), first.max(0)])
  # The floor is y = 0.
  assert ends[1, 1] == pytest.approx(0, abs=1e-4)
  for points, shown in zip(world[1:], room[1:]):
    apart = np.abs(points[shown][:, None] - ends).min(axis=(1, 2))
    assert np.quantile(apart, 0.9) < 1e-3


def test_other_keys_and_their_files_stay_as_they_are(tmp_path):
  before = clip(tmp_path, keys=('depth', 'pose'))
  files = {f.name: f.read_bytes() for f in tmp_path.rglob('*.npy')}
  record = clip(tmp_path)
  after = {f.name: f.read_bytes() for f in tmp_path.rglob('*.npy')}
  assert files.keys() == {'depth.npy', 'pose.npy'}
  assert after.keys() - files.keys() == {'intrinsics.npy', 'segmentation.npy'}
  assert all(after[name] == files[name] for name in files)
  for key, value in before.items():
    np.testing.assert_array_equal(record[key], value)
  # Depth is rounded on disk, and so are the points.
  np.testing.assert_allclose(
    record['point_map'], clip()['point_map'], rtol=1e-3, atol=5e-3
  )


def test_a_pixel_of_unknown_depth_has_no_point():
  record = clip()
  depth = record['depth'].copy()
  depth[1, 2, 3] = 0
  points, known = point_maps.of(depth, record['pose'], record['intrinsics'])
  assert np.argwhere(~known[..., 0]).tolist() == [[1, 2, 3]]
  assert not points[1, 2, 3].any()
  others = known[..., 0]
  np.testing.assert_array_equal(points[others], record['point_map'][others])
  wrong = dict(record, point_map_known=known)
  assert check.faults(wrong) == ['point_map: not 0 where it is unknown']
