"""Analytic ray casting in the built-in world, all frames at once.

Letters: t frames, r rays in a frame, o solids. A ray's direction has length 1
along the optical axis, so that the distance along it is depth. What is said
of rays is [t r], vectors are [3 t r].
"""

import numpy as np
from jaxtyping import Float, Int

from data.sources.world.scene import FACES, Scene


def pixel_rays(
  height: int,
  width: int,
  intrinsics: Float[np.ndarray, '3 3'],
  *,
  corners: bool = False,
) -> Float[np.ndarray, '3 r']:
  """Directions [3 r] of the centres of pixels, row by row, or their corners.

  Args:
    height, width: of the picture; with corners, one more of each.
    intrinsics: [3 3] in pixels.
    corners: of the corners instead.
  """
  x, y = np.arange(width + corners), np.arange(height + corners)
  shift = 0.0 if corners else 0.5
  x, y = np.meshgrid(x + shift, y + shift)
  (fx, _, cx), (_, fy, cy), _ = intrinsics
  rays = np.stack([(x - cx) / fx, (y - cy) / fy, np.ones_like(x)])
  # Half the bytes of float64; a test holds that both see the same surfaces.
  return rays.reshape(3, -1).astype(np.float32)


def to_world(
  view: Float[np.ndarray, 't 3 3'], rays: Float[np.ndarray, '3 *rays']
) -> Float[np.ndarray, '3 t r']:
  """Turns a camera's directions [3 r] or [3 t r] to the world's, [3 t r]."""
  view = view.astype(rays.dtype)
  if rays.ndim == 2:
    return view.transpose(1, 0, 2) @ rays
  return np.einsum('tij,jtr->itr', view, rays)


def cast(
  scene: Scene, rays: Float[np.ndarray, '3 t r']
) -> tuple[Float[np.ndarray, 't r'], Int[np.ndarray, 't r']]:
  """Depth and number of the surface that each ray meets first.

  Args:
    scene: what there is.
    rays: directions in the world, float32 or float64.

  Returns:
    Depth, and surface: first the faces of the room, then the solids.
  """
  # What follows writes through flat views.
  rays = np.ascontiguousarray(rays)
  depth, surface = _cast_room(scene, rays)
  squared = np.einsum('itr,itr->tr', rays, rays)
  for i, is_box in enumerate(scene.solids.is_box):
    found, offset, along = _passing(scene, i, rays, squared)
    if not len(found):
      continue
    meet = _meet_box if is_box else _meet_sphere
    reach = meet(scene, i, rays, squared, found, offset, along)
    nearer = (reach > 0) & (reach < depth.ravel().take(found))
    found = found[nearer]
    depth.ravel()[found] = reach[nearer]
    surface.ravel()[found] = FACES + i
  return depth, surface


def _cast_room(scene, rays):
  low, high = scene.room[:, :, None, None] - scene.eye.T[None, :, :, None]
  with np.errstate(divide='ignore'):
    slope = 1 / rays
  reach = np.maximum(
    low.astype(rays.dtype) * slope, high.astype(rays.dtype) * slope
  )
  depth = reach[0]
  surface = (rays[0] > 0).astype(np.intp)
  for axis in (1, 2):
    nearer = reach[axis] < depth
    np.copyto(depth, reach[axis], where=nearer)
    np.copyto(surface, 2 * axis + (rays[axis] > 0), where=nearer)
  return depth, surface


def _passing(scene, i, rays, squared):
  """Which rays (flat indices) pass through the bounding sphere of solid i.

  Also the way from the eye to its centre, [t 3], and that way's inner product
  with the rays, [t r].
  """
  offset = scene.solids.centre[i] - scene.eye
  slack = np.einsum('ti,ti->t', offset, offset) - scene.solids.radius[i] ** 2
  offset, slack = offset.astype(rays.dtype), slack.astype(rays.dtype)
  along = (offset[:, None] @ rays.transpose(1, 0, 2))[:, 0]
  # Without a root or a division, which all rays would pay for all solids.
  passing = along * np.abs(along) > squared * slack[:, None]
  return np.flatnonzero(passing), offset, along


def _meet_sphere(scene, i, rays, squared, found, offset, along):
  squared = squared.ravel().take(found)
  middle = along.ravel().take(found) / squared
  # Measured at the point nearest to the centre, where nothing cancels as it
  # does in the quadratic formula.
  offset = per_ray(offset, found, rays)
  gap = 0
  for way, ray in zip(offset, rays):
    gap = gap + (way - middle * ray.ravel().take(found)) ** 2
  inside = scene.solids.radius[i].astype(rays.dtype) ** 2 - gap
  half = np.sqrt(np.maximum(inside, 0) / squared)
  return np.where(inside > 0, middle - half, -1)


def _meet_box(scene, i, rays, squared, found, offset, along):
  """Slabs: the ray is inside while it is inside along every axis."""
  turn = scene.solids.rotation[i].astype(rays.dtype)
  half = scene.solids.half[i].astype(rays.dtype)
  # On the box's axes: where its centre is, and the rays.
  offset = np.einsum('tij,ti->tj', turn, offset)
  frames = np.concatenate([turn.reshape(-1, 9), offset], axis=1)
  frames = per_ray(frames, found, rays)
  x, y, z = (ray.ravel().take(found) for ray in rays)
  directions = frames[0:3] * x + frames[3:6] * y + frames[6:9] * z
  # Parallel to a slab: steep enough to be so, and no 0 / 0.
  directions[directions == 0] = 1e-20
  enter, leave = -np.inf, np.inf
  for direction, centre, size in zip(directions, frames[9:], half):
    slope = 1 / direction
    middle, reach = centre * slope, np.abs(size * slope)
    enter = np.maximum(enter, middle - reach)
    leave = np.minimum(leave, middle + reach)
  return np.where(enter < leave, enter, -1)


def per_ray(
  frames: Float[np.ndarray, 't n'],
  at: Int[np.ndarray, 'm'],
  rays: Float[np.ndarray, '3 t r'],
) -> Float[np.ndarray, 'n m']:
  """Values of frames, given to each of some rays (ascending flat indices)."""
  _, t, r = rays.shape
  counts = np.bincount(at // r, minlength=t)
  return np.repeat(np.ascontiguousarray(frames.T), counts, axis=1)
