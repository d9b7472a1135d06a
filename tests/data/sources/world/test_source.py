"""The built-in world: options, repeatability, motion, and what is drawn."""

import hashlib
import pickle
import subprocess
import sys

import numpy as np
import pytest

from data.sources.world import raycast, render
from data.sources.world import source as world
from data.sources.world.scene import sample

T, H, W = 5, 24, 32
SMALL = {'frames': T, 'height': H, 'width': W}


def _clips(count=1, **options):
  source = world.make('train', **SMALL | {'keys': world.KEYS} | options)
  return [source.read(index) for index in range(count)]


def test_record_speaks_the_vocabulary_of_sources():
  source = world.make(
    'train', **SMALL, keys=world.KEYS, objects=4, moving=2, points=7
  )
  clip = source.read(3, np.random.default_rng(0))
  expected = {
    'video': (np.uint8, (T, H, W, 3)),
    'depth': (np.float32, (T, H, W, 1)),
    'point_map': (np.float32, (T, H, W, 3)),
    'point_map_known': (np.bool_, (T, H, W, 1)),
    'pose': (np.float32, (T, 4, 4)),
    'intrinsics': (np.float32, (3, 3)),
    'lens': (np.float32, (4,)),
    'tracks': (np.float32, (7, T, 2)),
    'tracks_visible': (np.bool_, (7, T)),
    'tracks_3d': (np.float32, (7, T, 3)),
    'query_frames': (np.int32, (7,)),
    'boxes': (np.float32, (4, T, 4)),
    'boxes_visible': (np.bool_, (4, T)),
    'segmentation': (np.uint8, (T, H, W, 1)),
    'label': (np.int32, ()),
  }
  assert {k: (v.dtype, v.shape) for k, v in clip.items()} == expected
  assert all(np.isfinite(v).all() for v in clip.values())


def _digest(clip):
  return hashlib.sha256(
    b''.join(clip[key].tobytes() for key in sorted(clip))
  ).hexdigest()


def test_same_clip_in_another_process():
  source = world.make('test', **SMALL, keys=world.KEYS, seed=7)
  code = (
    'import hashlib, pickle, sys\n'
    'clip = pickle.loads(sys.stdin.buffer.read()).read(11)\n'
    "data = b''.join(clip[key].tobytes() for key in sorted(clip))\n"
    'print(hashlib.sha256(data).hexdigest())\n'
  )
  pickled = pickle.dumps(source)
  assert len(pickled) < 2000
  other = subprocess.run(
    [sys.executable, '-c', code], input=pickled, capture_output=True, check=True
  )
  assert other.stdout.decode().strip() == _digest(source.read(11))


def test_every_clip_is_another_in_every_split_and_seed():
  video = {'keys': ('video',)}
  sources = [world.make(split, **SMALL, **video) for split in world.SPLITS]
  sources.append(world.make('train', **SMALL, **video, seed=1))
  clips = [source.read(index) for source in sources for index in range(3)]
  assert len({_digest(clip) for clip in clips}) == len(clips)


def test_splits_have_the_lengths_asked_for():
  options = {
    'clips': 9,
    'validation_clips': 5,
    'test_clips': 3,
    'keys': ('video',),
  }
  lengths = [len(world.make(split, **options)) for split in world.SPLITS]
  assert lengths == [9, 5, 3]
  with pytest.raises(IndexError, match='clip 3 of the 3 in test'):
    world.make('test', **options).read(3)


@pytest.mark.parametrize('key', world.KEYS)
def test_a_key_does_not_depend_on_the_others(key):
  whole = _clips(1)[0]
  (alone,) = _clips(1, keys=(key,))
  assert list(alone) == [key]
  np.testing.assert_array_equal(alone[key], whole[key])


def test_frames_rendered_in_pieces_are_the_same(monkeypatch):
  (whole,) = _clips(1)
  monkeypatch.setattr(render, '_RAYS', 2 * H * W)
  (pieces,) = _clips(1)
  np.testing.assert_allclose(pieces['depth'], whole['depth'], rtol=1e-5)
  difference = np.abs(pieces['video'].astype(int) - whole['video'])
  assert (difference > 1).mean() < 0.01


def test_antialiasing_touches_edges_only():
  smooth, sharp = _clips(1)[0], _clips(1, antialias=False)[0]
  changed = (smooth['video'] != sharp['video']).any(-1)
  padded = np.pad(sharp['depth'][..., 0], ((0, 0), (1, 1), (1, 1)), mode='edge')
  shifts = [(y, x) for y in range(3) for x in range(3)]
  around = np.stack([padded[:, y : y + H, x : x + W] for y, x in shifts])
  near_edge = around.max(0) / around.min(0) > 1.03
  assert 0.02 < changed.mean() < 0.5
  assert near_edge[changed].mean() > 0.5
  padded = np.pad(sharp['segmentation'][..., 0], 1, mode='edge')[1:-1]
  around = np.stack([padded[:, y : y + H, x : x + W] for y, x in shifts])
  same = (around == around[4]).all(0)
  flat = same & (sharp['segmentation'][..., 0] > 0)
  assert flat.any()
  assert not changed[flat].any()


def _scene(label, seed=0, **options):
  options = world.make(
    'train', **SMALL | {'frames': 9} | options, keys=('video',)
  ).scene
  return sample(np.random.default_rng(seed), label, **options)


def test_labels_are_balanced():
  source = world.make('train', **SMALL, clips=64, keys=('label',))
  labels = [int(source.read(i)['label']) for i in range(len(source))]
  assert np.bincount(labels).tolist() == [4] * len(world.LABELS)


@pytest.mark.parametrize('label', range(len(world.LABELS)))
def test_label_says_how_camera_and_solids_move(label):
  camera, solids = world.LABELS[label].split(', ')
  for seed in range(3):
    scene = _scene(label, seed, moving=3)
    local = (scene.eye[-1] - scene.eye[0]) @ scene.view[4]
    axis, sign = {
      'camera left': (0, -1),
      'camera right': (0, 1),
      'camera forward': (2, 1),
      'camera backward': (2, -1),
    }[camera]
    assert np.abs(local).argmax() == axis
    assert np.sign(local[axis]) == sign

    moves = np.ptp(scene.solids.centre, axis=1)
    turns = np.ptp(scene.solids.rotation, axis=1).max((1, 2))
    moved = moves.max(1) > 1e-6
    turned = turns > 1e-6
    if solids == 'solids still':
      assert not (moved | turned).any()
    elif solids == 'solids spin':
      assert turned[:2].all()
      assert not moved.any()
    else:
      assert moved[:2].all()
      assert not turned.any()
      sideways = moves[moved][:, [0, 2]].max(1) > 1e-6
      assert sideways.all() == sideways.any() == (solids == 'solids drift')


def test_the_middle_frame_does_not_tell_the_label():
  """The same draws under every label mostly give the same middle picture."""
  same = []
  for seed in range(12):
    scenes = [_scene(label, seed) for label in range(len(world.LABELS))]
    middles = [
      np.concatenate([scene.eye[4], *scene.solids.centre[:, 4]])
      for scene in scenes
    ]
    same += [np.allclose(m, middles[0], atol=1e-6) for m in middles]
  assert np.mean(same) > 0.6


def test_speeds_set_how_much_moves():
  quiet = _scene(5, camera_speed=0.0, object_speed=0.0)
  assert np.ptp(quiet.eye, axis=0).max() == 0
  assert np.ptp(quiet.solids.centre, axis=1).max() == 0
  travel = [
    np.linalg.norm(np.ptp(_scene(5, camera_speed=speed).eye, axis=0))
    for speed in (0.2, 0.8)
  ]
  assert 2 < travel[1] / travel[0] < 6


def test_scenes_are_sane():
  """The camera is in the room and in the open; there is much to see."""
  source = world.make(
    'train', frames=9, height=24, width=32, keys=('depth', 'segmentation')
  )
  solids = []
  for index in range(48):
    scene = _scene(index % 16, index)
    assert (scene.eye > scene.room[0] + 0.25).all()
    assert (scene.eye < scene.room[1] - 0.25).all()
    gap = np.linalg.norm(scene.solids.centre - scene.eye, axis=-1)
    assert (gap > scene.solids.radius[:, None]).all()
    clip = source.read(index)
    assert clip['depth'].min() > 0.05
    assert clip['depth'].max() < 16
    solids.append(len(np.unique(clip['segmentation'])) - 1)
  assert np.mean(solids) > 3
  assert np.mean(np.array(solids) >= 2) > 0.9


def test_a_world_without_solids():
  for clip in _clips(2, objects=0, moving=0):
    assert not clip['segmentation'].any()
    assert clip['boxes'].shape == (0, T, 4)
  for clip in _clips(2, objects=3, moving=0):
    assert clip['boxes_visible'].any()


def test_float32_and_float64_rays_agree():
  scene = _scene(6)
  rays = raycast.pixel_rays(H, W, scene.intrinsics)
  depth, surface = raycast.cast(scene, raycast.to_world(scene.view, rays))
  exact, exact_surface = raycast.cast(
    scene, raycast.to_world(scene.view, rays.astype(np.float64))
  )
  same = surface == exact_surface
  assert same.mean() > 0.999
  np.testing.assert_allclose(depth[same], exact[same], rtol=1e-3)
  error = np.abs(depth[same] / exact[same] - 1)
  assert np.quantile(error, 0.999) < 1e-5


@pytest.mark.parametrize(
  ('options', 'message'),
  [
    ({'split': 'eval'}, "split of world 'eval': expected one of train, valid"),
    (
      {'keys': ('video', 'flow')},
      "keys of world 'flow': expected one of vid",
    ),
    ({'frames': 0}, 'frames=0 must be a whole number, 1 or more'),
    ({'width': -1}, 'width=-1'),
    ({'points': 0}, 'points=0'),
    ({'validation_clips': 0}, 'validation_clips=0'),
    ({'seed': -1}, 'seed=-1'),
    ({'objects': 2, 'moving': 3}, 'moving=3 of objects=2'),
    ({'objects': 300}, 'segmentation holds 254'),
    ({'query_frame': 16}, 'query_frame=16 of frames=16'),
    ({'fps': 0}, 'fps must be over 0'),
    ({'camera_speed': -1.0}, 'speeds 0 or more'),
    ({'cache': __file__}, 'is a file, expected a folder'),
  ],
)
def test_bad_options_are_named(options, message):
  with pytest.raises(ValueError, match=message):
    world.make(**{'split': 'train', 'keys': ('video',)} | options)


def test_points_in_metres_are_where_the_lens_shows_them():
  """And still ones stay where they are in the world."""
  keys = ('tracks', 'tracks_visible', 'tracks_3d', 'lens', 'pose', 'intrinsics')
  source = world.make('train', **SMALL, keys=keys, points=9, moving=0)
  clip = source.read(0, np.random.default_rng(0))
  size = [SMALL['width'], SMALL['height']]
  (fx, _, cx), (_, fy, cy), _ = clip['intrinsics']
  np.testing.assert_allclose(clip['lens'] * (2 * size), [fx, fy, cx, cy])
  seen, place = clip['tracks_visible'], clip['tracks_3d']
  assert seen[:, 0].all()
  flat = place[..., :2] / place[..., 2:] * clip['lens'][:2] + clip['lens'][2:]
  np.testing.assert_allclose(flat[seen], clip['tracks'][seen], atol=1e-5)
  turn, eye = clip['pose'][:, :3, :3], clip['pose'][:, :3, 3]
  path = np.einsum('tij,qtj->qti', turn, place) + eye
  np.testing.assert_allclose(path, path[:, :1].repeat(len(eye), 1), atol=1e-4)
