"""Built-in 4D world: clips of solids in a room, drawn here, labelled exactly.

Each record is a deterministic short clip of textured spheres and boxes, some
of them moving, in a textured room before a moving camera. Nothing is
downloaded: `world_scene` draws what is there, `world_render` casts rays at
it, `world_labels` reads the labels off the geometry, `world_cache` keeps
clips on disk. `python -m data.world` measures the speed and draws a picture.
"""

import argparse
import pathlib
import time
from collections.abc import Sequence

import numpy as np

from data import world_render, world_scene

SPLITS = ('train', 'validation', 'test')
KEYS = ('video', 'depth')


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
  fps: float = 12.0,
  camera_speed: float = 1.0,
  object_speed: float = 1.0,
  antialias: bool = True,
):
  return World(
    split=split,
    length={
      'train': clips,
      'validation': validation_clips,
      'test': test_clips,
    }[split],
    seed=seed,
    keys=keys,
    height=height,
    width=width,
    antialias=antialias,
    scene=dict(
      frames=frames,
      height=height,
      width=width,
      objects=objects,
      moving=moving,
      fps=fps,
      camera_speed=camera_speed,
      object_speed=object_speed,
    ),
  )


class World:
  def __init__(self, **k):
    self.__dict__.update(k)

  def __len__(self):
    return self.length

  def read(self, index, rng=None):
    rng = np.random.default_rng([self.seed, SPLITS.index(self.split), index])
    scene = world_scene.sample(rng, index % 16, **self.scene)
    rays = world_render.pixel_rays(
      self.height,
      self.width,
      scene.intrinsics,
      self.antialias and 'video' in self.keys,
    )
    t, h, w = len(scene.eye), self.height, self.width
    rays = world_render.to_world(scene.view, rays)
    depth, surface = world_render.cast(scene, rays)
    out = {}
    if 'video' in self.keys:
      colour = world_render.paint(scene, rays, depth, surface)
      video = colour[:, : h * w].reshape(t, h, w, 3)
      if self.antialias:
        corner = colour[:, h * w :].reshape(t, h + 1, w + 1, 3)
        corner = corner[:, 1:] + corner[:, :-1]
        corner = corner[:, :, 1:] + corner[:, :, :-1]
        video = 0.5 * video + 0.125 * corner
      video = np.sqrt(np.minimum(video, 1)) * 255 + 0.5
      out['video'] = video.astype(np.uint8)
    if 'depth' in self.keys:
      out['depth'] = depth[:, : h * w].reshape(t, h, w, 1)
    return out


if __name__ == '__main__':
  import cv2

  p = argparse.ArgumentParser()
  p.add_argument('--frames', type=int, default=8)
  p.add_argument('--size', type=int, default=64)
  p.add_argument('--aa', type=int, default=1)
  p.add_argument('--out', default='/tmp/world.png')
  a = p.parse_args()
  s = make(
    'train', frames=a.frames, height=a.size, width=a.size, antialias=bool(a.aa)
  )
  s.read(0)
  t0 = time.process_time()
  for i in range(100):
    s.read(i)
  print(100 / (time.process_time() - t0), 'clips/s')
  rows = []
  for i in range(16):
    r = s.read(i)
    v = r['video']
    d = r['depth']
    d = (255 * np.clip(1.0 / d, 0, 1)).astype(np.uint8).repeat(3, -1)
    d = np.stack([cv2.applyColorMap(x, cv2.COLORMAP_TURBO) for x in d])
    sel = [0, a.frames // 2, a.frames - 1]
    rows.append(
      np.concatenate(
        [*(v[j][..., ::-1] for j in sel), d[0], d[a.frames - 1]], 1
      )
    )
  img = np.concatenate(
    [np.concatenate(rows[:8], 0), np.concatenate(rows[8:], 0)], 1
  )
  scale = max(1, 128 // a.size)
  img = cv2.resize(
    img, None, fx=scale, fy=scale, interpolation=cv2.INTER_NEAREST
  )
  pathlib.Path(a.out).parent.mkdir(exist_ok=True)
  cv2.imwrite(a.out, img)
