"""Built-in 4D world: clips of solids in a room, drawn here, labelled exactly.

Each record is a short clip of textured spheres and boxes, some of them
moving, in a textured room before a moving camera; the same for everyone, and
nothing is downloaded. `scene` draws what is there, `surfaces` what it looks
like; `render` makes video, depth and segmentation of it, with what rays meet
(`raycast`) and its colour (`shading`), `labels` the rest; `cache` keeps clips
on disk.

`python -m data.inspect world` draws some.
"""

import dataclasses
import hashlib
import json
import operator
import os
from collections.abc import Mapping, Sequence

import numpy as np

from base import files
from data import point_maps, require
from data.sources.world import labels, render
from data.sources.world.cache import fill
from data.sources.world.cache import read as read_cached
from data.sources.world.scene import CAMERA_MOTIONS, OBJECT_MOTIONS, sample
from data.splits import SPLITS

KEYS = (
  'video',
  'depth',
  'point_map',
  'point_map_known',
  'pose',
  'intrinsics',
  'lens',
  'tracks',
  'tracks_visible',
  'tracks_3d',
  'query_frames',
  'boxes',
  'boxes_visible',
  'segmentation',
  'label',
)
# Names of the classes of 'label': what the camera does, what solids do.
LABELS = tuple(
  f'camera {camera}, solids {solids}'
  for camera in CAMERA_MOTIONS
  for solids in OBJECT_MOTIONS
)
# Made of others, whenever they are asked for: on disk they would be large.
_MADE = 'point_map', 'point_map_known'
_MADE_OF = 'depth', 'pose', 'intrinsics'
_TRACKS = 'tracks', 'tracks_visible', 'query_frames', 'tracks_3d'
VERSION = 1  # of the pictures: raise it when a clip changes


def make(
  split: str,
  *,
  frames: int = 16,
  height: int = 64,
  width: int = 64,
  clips: int = 4096,
  validation_clips: int = 256,
  test_clips: int = 256,
  seed: int = 0,
  keys: Sequence[str],
  objects: int = 6,
  moving: int = 3,
  fps: int | float = 12.0,
  camera_speed: int | float = 1.0,
  object_speed: int | float = 1.0,
  antialias: bool = True,
  points: int = 64,
  query_frame: int = 0,
  cache: str = '',
  cache_workers: int = 0,
) -> 'World':
  """The source of one split.

  A clip depends on the options, (seed, split, index) and nothing else, so no
  clip is in two splits. The label is index % 16, so classes are balanced
  (names: LABELS). One frame hardly tells it; with camera_speed, object_speed
  or moving at 0 the whole clip does not.

  Args:
    split: 'train', 'validation' or 'test'.
    frames, height, width: of a clip.
    clips, validation_clips, test_clips: in each split.
    seed: another world.
    keys: of the record (see data/source.py); only these are computed.
    objects: rows of boxes; at least half as many solids are in the room, the
      first of them moving. Absent solids are invisible.
    moving: solids that move, at most; at least half as many do.
    fps: frames in a second. A longer step shows more motion.
    camera_speed: metres in a second, 0.6 to 1.4 times this. Paths that leave
      the room are shrunk.
    object_speed: metres in a second of drifting, hops in a second, or 2.75
      radians in a second of spinning, about.
    antialias: smooth edges of solids in 'video'.
    points: rows of tracks.
    query_frame: frame in which each point is visible; -1: any one.
    cache: folder in which the split is rendered once and then read; depth
      is rounded to float16 there, and point maps are made of that.
    cache_workers: processes that render; 0: one per usable core.

  Raises:
    ValueError: a bad option.
    OSError: the disk is too full for the cache.
  """
  counts = dict(zip(SPLITS, (clips, validation_clips, test_clips)))
  require.one_of('world', SPLITS, split=split)
  require.keys('world', keys, KEYS)
  require.at_least(
    *(1, 'world'),
    frames=frames,
    height=height,
    width=width,
    points=points,
    clips=clips,
    validation_clips=validation_clips,
    test_clips=test_clips,
  )
  require.at_least(
    *(0, 'world'),
    seed=seed,
    objects=objects,
    moving=moving,
    cache_workers=cache_workers,
  )
  require.at_least(-1, 'world', query_frame=query_frame)
  _check(objects <= 254, f'objects={objects}: segmentation holds 254 at most')
  _check(
    moving <= objects,
    f'moving={moving} of objects={objects} solids: ask for fewer, or raise '
    'objects',
  )
  _check(
    query_frame < frames,
    f'query_frame={query_frame} of frames={frames}: give -1 (any frame) to '
    f'{frames - 1}',
  )
  _check(
    fps > 0 and camera_speed >= 0 and object_speed >= 0,
    f'fps={fps}, camera_speed={camera_speed}, object_speed={object_speed}: '
    'fps must be over 0, speeds 0 or more',
  )
  source = World(
    split=split,
    length=counts[split],
    seed=seed,
    keys=tuple(keys),
    antialias=antialias,
    points=points,
    query_frame=query_frame,
    scene={
      'frames': frames,
      'height': height,
      'width': width,
      'objects': objects,
      'moving': moving,
      'fps': fps,
      'camera_speed': camera_speed,
      'object_speed': object_speed,
    },
  )
  if not cache:
    return source
  cache = os.path.expanduser(cache)
  files.make_folder(cache, 'world: cache')
  folder = os.path.join(cache, source.fingerprint, split)
  fill(folder, source.only(source.drawn), workers=cache_workers)
  return dataclasses.replace(source, folder=folder)


@dataclasses.dataclass(frozen=True)
class World:
  """One split; plain values only, cheap to pickle. See `make`."""

  split: str
  length: int
  seed: int
  keys: tuple[str, ...]
  antialias: bool
  points: int
  query_frame: int
  scene: Mapping[str, int | float]  # options of scene.sample
  folder: str = ''  # of the cache
  is_fixed = True
  names = LABELS
  classes = len(LABELS)

  def __len__(self) -> int:
    return self.length

  @property
  def sizes(self) -> dict[str, int]:
    """What the letters of `data.source.TABLE` stand for."""
    scene = self.scene
    return {
      **{'t': scene['frames'], 'h': scene['height'], 'w': scene['width']},
      **{'q': self.points, 'o': scene['objects']},
    }

  def only(self, keys: Sequence[str]) -> 'World':
    """The same clips with other keys."""
    return dataclasses.replace(self, keys=tuple(keys))

  @property
  def drawn(self) -> tuple[str, ...]:
    """The keys that those asked for are, or are made of."""
    keys = [key for key in self.keys if key not in _MADE]
    if len(keys) < len(self.keys):
      keys = dict.fromkeys((*keys, *_MADE_OF))
    return tuple(keys)

  @property
  def fingerprint(self) -> str:
    """Names the clips in a cache: all but which keys are asked for."""
    options = dataclasses.asdict(dataclasses.replace(self, keys=(), folder=''))
    text = json.dumps([VERSION, options], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]

  def read(self, index, rng=None) -> dict[str, np.ndarray]:
    """One clip; `rng` is not used, as nothing is random about it.

    Raises:
      IndexError: no such clip.
    """
    index = operator.index(index)
    if not 0 <= index < self.length:
      raise IndexError(
        f'clip {index} of the {self.length} in {self.split}: count from 0'
      )
    if self.folder:
      clip = read_cached(self.folder, self.drawn, index)
    else:
      clip = self._draw(index)
    if {*_MADE} & {*self.keys}:
      made = point_maps.of(*(clip[key] for key in _MADE_OF))
      clip |= dict(zip(_MADE, made))
    return {key: clip[key] for key in self.keys}

  def _draw(self, index):
    rng = np.random.default_rng([self.seed, SPLITS.index(self.split), index])
    label = index % len(LABELS)
    scene = sample(rng, label, **self.scene)
    height, width = self.scene['height'], self.scene['width']
    keys = set(self.drawn)
    clip = {'label': np.array(label, np.int32)}
    if keys & {'pose', 'intrinsics', 'lens'}:
      clip['pose'] = labels.pose(scene)
      clip['intrinsics'] = scene.intrinsics.astype(np.float32)
      (fx, _, cx), (_, fy, cy), _ = scene.intrinsics
      lens = np.array([fx, fy, cx, cy]) / [width, height, width, height]
      clip['lens'] = lens.astype(np.float32)
    if keys & set(_TRACKS):
      tracks = labels.tracks(
        scene,
        rng,
        height,
        width,
        points=self.points,
        query_frame=self.query_frame,
      )
      clip |= dict(zip(_TRACKS, tracks))
    if keys & {'video', 'depth', 'segmentation', 'boxes', 'boxes_visible'}:
      clip |= render.pixels(
        scene,
        height,
        width,
        video='video' in keys,
        antialias=self.antialias,
      )
    if keys & {'boxes', 'boxes_visible'}:
      clip['boxes'], clip['boxes_visible'] = labels.boxes(
        clip['segmentation'], self.scene['objects']
      )
    return {key: clip[key] for key in self.drawn}


def _check(good, message):
  if not good:
    raise ValueError(f'world: {message}')
