"""Labels read off the geometry of the built-in world."""

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from data.sources.world import raycast
from data.sources.world.scene import FACES, Scene, at_frames

_NEAR = 1e-3  # relative depth by which a hit may fall short of a point
_BEHIND = 0.05  # metres; points nearer than this have no projection


def pose(scene: Scene) -> Float[np.ndarray, 't 4 4']:
  """Camera to world."""
  matrix = np.zeros((len(scene.eye), 4, 4), np.float32)
  matrix[:, :3, :3], matrix[:, :3, 3] = scene.view, scene.eye
  matrix[:, 3, 3] = 1
  return matrix


def boxes(
  segmentation: UInt8[np.ndarray, 't h w 1'], objects: int
) -> tuple[Float[np.ndarray, 'o t 4'], Bool[np.ndarray, 'o t']]:
  """Tight boxes of visible pixels.

  Args:
    segmentation: object o is o + 1.
    objects: how many boxes to give; those of absent objects are 0.

  Returns:
    (ymin, xmin, ymax, xmax) in [0, 1], the outer edges of the outer pixels;
    and whether there are any.
  """
  t, h, w, _ = segmentation.shape
  found = np.zeros((objects, t, 4), np.float32)
  visible = np.zeros((objects, t), bool)
  for i in range(objects):
    mask = segmentation[..., 0] == i + 1
    rows, columns = mask.any(2), mask.any(1)
    visible[i] = rows.any(1)
    found[i] = np.stack(
      [
        rows.argmax(1) / h,
        columns.argmax(1) / w,
        1 - rows[:, ::-1].argmax(1) / h,
        1 - columns[:, ::-1].argmax(1) / w,
      ],
      axis=-1,
    )
  found[~visible] = 0
  return found, visible


def tracks(
  scene: Scene,
  rng: np.random.Generator,
  height: int,
  width: int,
  *,
  points: int,
  query_frame: int,
) -> tuple[
  Float[np.ndarray, 'q t 2'],
  Bool[np.ndarray, 'q t'],
  Int[np.ndarray, 'q'],
  Float[np.ndarray, 'q t 3'],
]:
  """Points on what is seen, followed as what they are on moves.

  Up to half of the points are drawn on solids, so that small things count.
  Where a point is not in view its place is still its projection, perhaps
  outside [0, 1]; behind the camera it means nothing.

  Args:
    scene: what there is.
    rng: draws the points.
    height, width: of the picture in pixels.
    points: how many.
    query_frame: each point is in view in this frame; -1: in one frame, drawn
      for each.

  Returns:
    (x, y) in [0, 1]; whether it is in the frame, with nothing before it on
    the ray from the eye; the frame in which it was drawn; and (x, y, z) in
    metres in the axes of each frame's camera.
  """
  size = np.array([width, height], np.float64)
  (fx, _, cx), (_, fy, cy), _ = scene.intrinsics
  focal, centre = np.array([fx, fy]), np.array([cx, cy])

  frame, place, surface = _draw(
    scene, rng, size, focal, centre, points, query_frame
  )
  path = _follow(scene.solids, frame, place, surface, len(scene.eye))
  local = np.einsum('tij,qti->qtj', scene.view, path - scene.eye)
  depth = np.maximum(local[..., 2:], _BEHIND)
  slope = local[..., :2] / depth
  raster = (slope * focal + centre) / size

  rays = np.concatenate([slope, np.ones_like(depth)], axis=-1).T
  hit, _ = raycast.cast(scene, raycast.to_world(scene.view, rays))
  visible = local[..., 2] > _BEHIND
  visible &= hit.T / depth[..., 0] >= 1 - _NEAR
  visible &= ((raster >= 0) & (raster < 1)).all(-1)
  return (
    *(raster.astype(np.float32), visible, frame.astype(np.int32)),
    local.astype(np.float32),
  )


def _draw(scene, rng, size, focal, centre, points, query_frame):
  """Frame [q], place in the world [q 3] and surface [q] of the points."""
  drawn = 4 * points
  if query_frame < 0:
    frame = rng.integers(0, len(scene.eye), drawn)
  else:
    frame = np.full(drawn, query_frame)
  slope = (rng.uniform(0, 1, (drawn, 2)) * size - centre) / focal
  rays = np.append(slope, np.ones((drawn, 1)), axis=1).T[..., None]
  # One ray in each of 4 q frames.
  frozen = at_frames(scene, frame)
  rays = raycast.to_world(frozen.view, rays)
  depth, surface = raycast.cast(frozen, rays)
  surface = surface[:, 0]
  solid = surface >= FACES
  first = solid & (solid.cumsum() <= (points + 1) // 2)
  rank = np.where(first, 0, np.where(solid, 2, 1))
  # In the order drawn, so that solids and room are mixed.
  pick = np.sort(np.argsort(rank, kind='stable')[:points])
  place = frozen.eye + depth * rays[..., 0].T
  return frame[pick], place[pick], surface[pick]


def _follow(solids, frame, place, surface, frames):
  """Paths [q t 3] of points that are at `place` [q 3] in `frame` [q]."""
  path = np.repeat(place[:, None], frames, axis=1)
  on = np.flatnonzero(surface >= FACES)
  solid = surface[on] - FACES
  turn, centre = solids.rotation[solid], solids.centre[solid]
  each = np.arange(len(on))
  offset = place[on] - centre[each, frame[on]]
  local = np.einsum('qij,qi->qj', turn[each, frame[on]], offset)
  path[on] = np.einsum('qtij,qj->qti', turn, local) + centre
  return path
