"""Labels of the built-in world agree with each other and its pictures."""

import numpy as np

from data.sources.world import labels, render
from data.sources.world import source as world
from data.sources.world.scene import Solids, sample

T, H, W = 5, 24, 32
SMALL = {'frames': T, 'height': H, 'width': W}


def _clips(count=8, **options):
  source = world.make('train', **SMALL | {'keys': world.KEYS} | options)
  return [source.read(index) for index in range(count)]


def _project(points, pose, intrinsics):
  """Pixels (x, y) and depth of world points [n 3] in one camera."""
  local = (points - pose[:3, 3]) @ pose[:3, :3]
  pixels = local @ intrinsics.T
  return pixels[:, :2] / local[:, 2:], local[:, 2]


def _unproject(pixels, depth, pose, intrinsics):
  rays = np.append(pixels, np.ones((len(pixels), 1)), axis=1)
  local = rays @ np.linalg.inv(intrinsics).T * depth[:, None]
  return local @ pose[:3, :3].T + pose[:3, 3]


def _grid(height=H, width=W):
  x, y = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
  return np.stack([x.ravel(), y.ravel()], axis=-1)


def _inside(pixels, height=H, width=W):
  return ((pixels >= 0) & (pixels < (width, height))).all(-1)


def _at(image, pixels):
  x, y = np.floor(pixels).astype(int).T
  return image[y, x]


def test_depth_reprojects_into_the_next_frame():
  errors, still_errors, colours, still_colours = [], [], [], []
  for clip in _clips(camera_speed=4.0):
    first, last = 0, T - 1
    depth = clip['depth'][..., 0]
    room = clip['segmentation'][..., 0] == 0
    grid = _grid()
    points = _unproject(
      grid, depth[first].ravel(), clip['pose'][first], clip['intrinsics']
    )
    pixels, reach = _project(points, clip['pose'][last], clip['intrinsics'])
    kept = room[first].ravel() & (reach > 0) & _inside(pixels)
    kept[kept] &= _at(room[last], pixels[kept])
    errors.append(np.abs(_at(depth[last], pixels[kept]) / reach[kept] - 1))
    still_errors.append(np.abs(depth[last] / depth[first] - 1).ravel()[kept])
    before = clip['video'][first].reshape(-1, 3)[kept].astype(float)
    after = _at(clip['video'][last], pixels[kept])
    still = clip['video'][last].reshape(-1, 3)[kept]
    colours.append(np.abs(before - after).mean(-1))
    still_colours.append(np.abs(before - still).mean(-1))
  errors, still_errors = map(np.concatenate, (errors, still_errors))
  # What is left is the half pixel of the nearest neighbour.
  assert len(errors) > 1000
  assert np.median(errors) < 0.01
  assert np.quantile(errors, 0.95) < 0.06
  assert np.median(still_errors) > 4 * np.median(errors)
  colours, still_colours = map(np.concatenate, (colours, still_colours))
  assert colours.mean() < 0.75 * still_colours.mean()


def test_solids_hide_the_room_and_only_where_segmented():
  options = world.make('train', **SMALL, keys=('video',)).scene
  for seed in range(4):
    scene = sample(np.random.default_rng(seed), seed, **options)
    full = render.pixels(scene, H, W, video=False, antialias=False)
    empty = scene._replace(solids=Solids(*(part[:0] for part in scene.solids)))
    bare = render.pixels(empty, H, W, video=False, antialias=False)
    solid = full['segmentation'] > 0
    np.testing.assert_array_equal(solid, full['depth'] < bare['depth'])
    np.testing.assert_array_equal(full['depth'][~solid], bare['depth'][~solid])
    assert full['segmentation'].max() <= len(scene.solids.half)
    # Every point of the room is on one of its walls.
    points = _unproject(
      _grid(),
      bare['depth'][1].ravel(),
      labels.pose(scene)[1],
      scene.intrinsics,
    )
    off_wall = np.abs(points[:, None] - scene.room).min((1, 2))
    assert off_wall.max() < 1e-4


def test_points_are_visible_in_the_frame_of_their_query():
  found = []
  for clip in _clips(3, query_frame=-1):
    frames = clip['query_frames']
    assert clip['tracks_visible'][np.arange(len(frames)), frames].all()
    found += frames.tolist()
  assert set(found) == set(range(T))
  for clip in _clips(1, query_frame=2):
    assert set(clip['query_frames'].tolist()) == {2}


def test_tracks_agree_with_depth_and_pose():
  """A point of the room, lifted with depth, is where its track says."""
  size = {'height': 72, 'width': 96}
  errors, moved = [], []
  for clip in _clips(4, **size, camera_speed=2.0):
    pixels = clip['tracks'] * (96, 72)
    on_room = _at(clip['segmentation'][0, ..., 0], pixels[:, 0]) == 0
    pixels = pixels[on_room]
    points = _unproject(
      pixels[:, 0],
      _at(clip['depth'][0, ..., 0], pixels[:, 0]),
      clip['pose'][0],
      clip['intrinsics'],
    )
    for frame in range(T):
      expected, _ = _project(points, clip['pose'][frame], clip['intrinsics'])
      visible = clip['tracks_visible'][on_room, frame]
      gap = np.linalg.norm(expected - pixels[:, frame], axis=-1)
      errors.append(gap[visible])
    moved.append(np.linalg.norm(pixels[:, -1] - pixels[:, 0], axis=-1))
  assert np.median(np.concatenate(moved)) > 3
  # Depth is that of the nearest pixel's centre, so not exact.
  assert np.median(np.concatenate(errors)) < 0.05
  assert np.quantile(np.concatenate(errors), 0.95) < 0.7


def test_visibility_agrees_with_the_depth_buffer():
  size = {'height': 72, 'width': 96}
  agree, hidden = [], 0
  for clip in _clips(8, **size, camera_speed=3.0, objects=10):
    pixels = clip['tracks'] * (96, 72)
    on_room = _at(clip['segmentation'][0, ..., 0], pixels[:, 0]) == 0
    points = _unproject(
      pixels[on_room, 0],
      _at(clip['depth'][0, ..., 0], pixels[on_room, 0]),
      clip['pose'][0],
      clip['intrinsics'],
    )
    for frame in range(T):
      place, reach = _project(points, clip['pose'][frame], clip['intrinsics'])
      inside = _inside(place, 72, 96) & (reach > 0)
      visible = clip['tracks_visible'][on_room, frame]
      buffer = _at(clip['depth'][frame, ..., 0], place[inside])
      expected = buffer > 0.95 * reach[inside]
      agree.append(expected == visible[inside])
      hidden += (~expected).sum()
  agree = np.concatenate(agree)
  assert hidden > 30
  assert agree.mean() > 0.98


def test_visible_points_stay_on_their_solid():
  size = {'height': 72, 'width': 96}
  same, solids = [], set()
  for clip in _clips(8, **size):
    pixels = clip['tracks'] * (96, 72)
    start = _at(clip['segmentation'][0, ..., 0], pixels[:, 0])
    solids |= set(start)
    for frame in range(1, T):
      seen = clip['tracks_visible'][:, frame]
      now = _at(clip['segmentation'][frame, ..., 0], pixels[seen, frame])
      same.append(now == start[seen])
  assert len(solids) > 3
  assert np.concatenate(same).mean() > 0.97


def _ball_scene(turns):
  """A ball that turns about the vertical, straight before a still camera."""
  scene = sample(
    np.random.default_rng(0),
    0,
    **world.make('train', **SMALL, keys=('video',)).scene,
  )
  t = len(turns)
  rotation = np.zeros((1, t, 3, 3))
  for frame, angle in enumerate(turns):
    c, s = np.cos(angle), np.sin(angle)
    rotation[0, frame] = [[c, 0, s], [0, 1, 0], [-s, 0, c]]
  return scene._replace(
    room=np.array([[-5.0, -5.0, -5.0], [5.0, 5.0, 5.0]]),
    eye=np.zeros((t, 3)),
    view=np.tile(np.eye(3), (t, 1, 1)),
    intrinsics=np.array([[20.0, 0, W / 2], [0, 20.0, H / 2], [0, 0, 1]]),
    solids=Solids(
      is_box=np.array([False]),
      half=np.full((1, 3), 1.0),
      radius=np.ones(1),
      centre=np.tile([0.0, 0.0, 3.0], (1, t, 1)),
      rotation=rotation,
    ),
  )


def test_tracks_turn_with_a_ball_and_hide_behind_it():
  turns = np.radians([0.0, 30.0, 90.0, 180.0, 360.0])
  scene = _ball_scene(turns)
  tracks, visible, *_ = labels.tracks(
    scene, np.random.default_rng(1), H, W, points=40, query_frame=0
  )
  pixels = tracks * (W, H)
  rays = np.append((pixels[:, 0] - (W / 2, H / 2)) / 20, np.ones((40, 1)), 1)
  # Where the ray of frame 0 meets the ball: |s r - c| = 1.
  b, rr = rays @ (0, 0, 3.0), (rays**2).sum(-1)
  root = b**2 - rr * 8
  on_ball = root > 0
  assert on_ball.sum() >= 15
  start = rays * ((b - np.sqrt(np.maximum(root, 0))) / rr)[:, None]
  for frame, rotation in enumerate(scene.solids.rotation[0]):
    offset = (start - (0, 0, 3)) @ rotation.T
    place = offset + np.array([0, 0, 3])
    expected = place[:, :2] / place[:, 2:] * 20 + (W / 2, H / 2)
    np.testing.assert_allclose(
      pixels[on_ball, frame], expected[on_ball], atol=1e-4
    )
    facing = (offset * -place).sum(-1)  # the normal against the view
    clear = on_ball & (np.abs(facing) > 0.02)
    np.testing.assert_array_equal(visible[clear, frame], facing[clear] > 0)
  assert visible[~on_ball].all()


def test_query_frame_says_where_every_point_is_seen():
  for query in (0, T - 1):
    for clip in _clips(3, query_frame=query):
      assert clip['tracks_visible'][:, query].all()
  clips = _clips(3, query_frame=-1, camera_speed=5.0)
  seen = np.concatenate([clip['tracks_visible'] for clip in clips])
  assert seen.any(1).all()
  assert not seen[:, 0].all()
  assert not seen[:, -1].all()


def test_boxes_are_the_extent_of_the_segmentation():
  seen = 0
  for clip in _clips(6, objects=7):
    for o in range(7):
      for frame in range(T):
        rows, columns = np.nonzero(clip['segmentation'][frame, ..., 0] == o + 1)
        assert clip['boxes_visible'][o, frame] == bool(len(rows))
        expected = np.zeros(4)
        if len(rows):
          seen += 1
          expected = (
            rows.min() / H,
            columns.min() / W,
            (rows.max() + 1) / H,
            (columns.max() + 1) / W,
          )
        np.testing.assert_allclose(clip['boxes'][o, frame], expected, atol=1e-6)
  assert seen > 60
