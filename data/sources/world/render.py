"""Pictures of the built-in world: depth, segmentation and video of each pixel.

Depth and segmentation are what the ray through a pixel's centre meets
(`raycast`), exactly; video is its colour there (`shading`), with soft edges.
"""

import numpy as np
from jaxtyping import Float, Int

from data.sources.world import raycast, shading
from data.sources.world.scene import FACES, Scene, at_frames

_RAYS = 2**15  # cast at once: their arrays fit in a core's cache


def pixels(
  scene: Scene, height: int, width: int, *, video: bool, antialias: bool
) -> dict[str, np.ndarray]:
  """What each pixel shows: 'depth', 'segmentation' and, if asked, 'video'."""
  rays = raycast.pixel_rays(height, width, scene.intrinsics)
  corners = None
  if video and antialias:
    corners = raycast.pixel_rays(height, width, scene.intrinsics, corners=True)
  step = max(1, _RAYS // rays.shape[1])
  some = [
    _pixels(
      at_frames(scene, slice(first, first + step)),
      (-1, height, width),
      rays,
      corners,
      video,
    )
    for first in range(0, len(scene.eye), step)
  ]
  return {key: np.concatenate([part[key] for part in some]) for key in some[0]}


def _pixels(scene, shape, rays, corners, video):
  rays = raycast.to_world(scene.view, rays)
  depth, surface = raycast.cast(scene, rays)
  numbers = np.maximum(surface - (FACES - 1), 0).astype(np.uint8)
  out = {
    'depth': depth.reshape(*shape, 1),
    'segmentation': numbers.reshape(*shape, 1),
  }
  if not video:
    return out
  colour = shading.paint(scene, rays, depth, surface).reshape(*shape, 3)
  if corners is not None:
    _, at_corners = raycast.cast(scene, raycast.to_world(scene.view, corners))
    _, h, w = shape
    _smooth(
      colour, surface.reshape(shape), at_corners.reshape(-1, h + 1, w + 1)
    )
  # Gamma 2.
  video = np.sqrt(np.minimum(colour, 1)) * 255 + 0.5
  return out | {'video': video.astype(np.uint8)}


def _smooth(
  colour: Float[np.ndarray, 't h w 3'],
  surface: Int[np.ndarray, 't h w'],
  corners: Int[np.ndarray, 't h+1 w+1'],
) -> None:
  """Antialiases edges in place: a pixel is half centre, an eighth each corner.

  A corner that another surface covers takes the colour of a neighbour that
  shows this surface, so corners need casting but no painting.

  Args:
    colour: of the centres of pixels.
    surface: at the centres.
    corners: surfaces at the corners.
  """
  _, h, w = surface.shape
  flat, pixels = surface.ravel(), colour.reshape(-1, 3)
  changes = []
  for down, right in ((0, 0), (0, 1), (1, 0), (1, 1)):
    corner = corners[:, down : h + down, right : w + right]
    at = np.flatnonzero(corner != surface)
    wanted = corner.ravel().take(at)
    rows = np.where(at // w % h == down * (h - 1), 0, (2 * down - 1) * w)
    columns = np.where(at % w == right * (w - 1), 0, 2 * right - 1)
    there = at
    for step in (rows + columns, columns, rows):
      there = np.where(flat.take(at + step) == wanted, at + step, there)
    changes.append((at, pixels.take(there, 0) - pixels.take(at, 0)))
  for at, change in changes:
    pixels[at] += 0.125 * change
