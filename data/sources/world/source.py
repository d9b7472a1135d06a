"""Built-in 4D world: clips of solids in a room, drawn here, labelled exactly.

Each record is a short clip of textured spheres and boxes, some of them
moving, in a textured room before a moving camera; the same for everyone, and
nothing is downloaded. `world_scene` draws what is there, `world_materials`
what it looks like; `world_cast` finds what rays meet, `world_paint` its
colour, `world_labels` the rest; `world_cache` keeps clips on disk.

`python -m data.sources.world.source` measures the speed and draws a picture.
"""

import argparse
import dataclasses
import hashlib
import json
import numbers
import operator
import os
import time
from collections.abc import Mapping, Sequence

import numpy as np

from data.sources.world import cache as world_cache
from data.sources.world import labels, paint
from data.sources.world import scene as world_scene

SPLITS = ('train', 'validation', 'test')
KEYS = (
  'video',
  'depth',
  'pose',
  'intrinsics',
  'tracks',
  'tracks_visible',
  'query_frames',
  'boxes',
  'boxes_visible',
  'segmentation',
  'label',
)
# Names of the classes of 'label': what the camera does, what solids do.
LABELS = tuple(
  f'camera {camera}, solids {solids}'
  for camera in world_scene.CAMERA_MOTIONS
  for solids in world_scene.OBJECT_MOTIONS
)
_TRACKS = 'tracks', 'tracks_visible', 'query_frames'
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
  keys: Sequence[str] = ('video', 'depth'),
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
      is rounded to float16 there.
    cache_workers: processes that render; 0: one per usable core.

  Raises:
    ValueError: a bad option.
    OSError: the disk is too full for the cache.
  """
  counts = dict(zip(SPLITS, (clips, validation_clips, test_clips)))
  _check_choice('split', [split], SPLITS)
  _check_choice('keys', keys, KEYS)
  _check_at_least(1, frames=frames, height=height, width=width, points=points)
  _check_at_least(1, **{f'clips of {k}': v for k, v in counts.items()})
  _check_at_least(0, seed=seed, objects=objects, moving=moving)
  _check_at_least(0, cache_workers=cache_workers)
  _check_at_least(-1, query_frame=query_frame)
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
  folder = os.path.join(os.path.expanduser(cache), source.fingerprint(), split)
  world_cache.fill(folder, source, workers=cache_workers)
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
  scene: Mapping[str, int | float]  # options of world_scene.sample
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

  def fingerprint(self) -> str:
    """Names the clips in a cache: all but which keys are asked for."""
    options = dataclasses.asdict(self.only(()))
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
      return world_cache.read(self.folder, self.keys, index)
    return self._draw(index)

  def _draw(self, index):
    rng = np.random.default_rng([self.seed, SPLITS.index(self.split), index])
    label = index % len(LABELS)
    scene = world_scene.sample(rng, label, **self.scene)
    height, width = self.scene['height'], self.scene['width']
    keys = set(self.keys)
    clip = {'label': np.array(label, np.int32)}
    if keys & {'pose', 'intrinsics'}:
      clip['pose'] = labels.pose(scene)
      clip['intrinsics'] = scene.intrinsics.astype(np.float32)
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
      clip |= paint.pixels(
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
    return {key: clip[key] for key in self.keys}


def _check(good, message):
  if not good:
    raise ValueError(f'data source world: {message}.')


def _check_choice(name, got, known):
  for value in got:
    _check(
      value in known,
      f'{name}: got {value!r}, expected one of {", ".join(known)}',
    )


def _check_at_least(least, **options):
  for name, value in options.items():
    _check(
      isinstance(value, numbers.Integral) and value >= least,
      f'{name}={value!r}: give a whole number, {least} or more',
    )


def _measure(source, seconds):
  """Clips in a second of one core."""
  source.read(0)
  start, done = time.process_time(), 0
  while time.process_time() - start < seconds:
    source.read(done % len(source))
    done += 1
  return done / (time.process_time() - start)


def _sheet(source, rows):
  """A picture: per clip its first, middle and last frame, each over depth."""
  lines = []
  for index in range(rows):
    clip = source.read(index)
    picked = [0, len(clip['video']) // 2, len(clip['video']) - 1]
    near = np.clip(255 / np.maximum(clip['depth'][picked, :, :, 0], 1), 0, 255)
    near = [cv2.applyColorMap(d, cv2.COLORMAP_TURBO) for d in near.astype('u1')]
    lines.append(np.hstack([*clip['video'][picked][..., ::-1], *near]))
  columns = [lines[: (rows + 1) // 2], lines[(rows + 1) // 2 :]]
  sheet = np.hstack([np.vstack(c) for c in columns])
  zoom = max(1, 128 // source.scene['height'])
  return sheet.repeat(zoom, 0).repeat(zoom, 1)


def main():
  parser = argparse.ArgumentParser(
    description='Prints clips/s of one core and draws a contact sheet.'
  )
  parser.add_argument('--frames', type=int, default=8)
  parser.add_argument('--height', type=int, default=64)
  parser.add_argument('--width', type=int, default=64)
  parser.add_argument('--rows', type=int, default=16, help='clips drawn')
  parser.add_argument('--out', default='world.png')
  arguments = parser.parse_args()
  size = {k: getattr(arguments, k) for k in ('frames', 'height', 'width')}
  for keys in (('video',), ('video', 'depth'), ('depth',), KEYS):
    rate = _measure(make('train', keys=keys, **size), seconds=2.0)
    name = ', '.join(keys) if keys != KEYS else 'all keys'
    print(f'{rate:6.1f} clips/s per core: {name}')
  cv2.imwrite(arguments.out, _sheet(make('test', **size), arguments.rows))
  print(f'wrote {arguments.out}')


if __name__ == '__main__':
  import cv2  # not needed to render

  main()
