"""Colours of what rays meet in the built-in world; letters as in `raycast`.

Shading need only look right and move right: where things are is exact, but
their shadows are those of balls.
"""

import numpy as np
from jaxtyping import Float, Int

from data.sources.world.raycast import per_ray
from data.sources.world.scene import FACES, Scene
from data.sources.world.surfaces import COLOURS, LEVELS, SIDE, bank

_FALLOFF = 3.5  # metres from the lamp to where it is half as bright
_LAMP = 2.2  # exposure


def paint(
  scene: Scene,
  rays: Float[np.ndarray, '3 t r'],
  depth: Float[np.ndarray, 't r'],
  surface: Int[np.ndarray, 't r'],
) -> Float[np.ndarray, 't r 3']:
  """Linear RGB of the surfaces that rays have met, as `cast` found them."""
  points = scene.eye.T.astype(np.float32)[:, :, None] + depth * rays
  u, v, lit, seen = _on_room(scene, points, surface)
  for i in range(len(scene.solids.half)):
    at = np.flatnonzero(surface == FACES + i)
    parts = _on_solid(scene, i, points, at)
    for whole, part in zip((u, v, lit, seen), parts):
      whole.ravel()[at] = part
  # A watcher that stands off a surface by x and away by y meets it at the
  # cosine x / y.
  seen /= depth * np.sqrt(np.einsum('itr,itr->tr', rays, rays))
  # At the horizon a pixel would cover endlessly many texels.
  seen = np.clip(seen, 0.05, 1)
  colour = _albedo(scene, surface, u, v, depth, seen)
  colour *= _light(scene, points, lit, seen)[..., None]
  return colour


def _on_room(scene, points, surface):
  """Metres along the surface, and how far lamp and eye stand off it."""
  u, v = points[0].copy(), points[1].copy()
  np.copyto(u, points[2], where=surface < 2)
  np.copyto(v, points[2], where=(surface == 2) | (surface == 3))
  faces = np.arange(FACES)
  axis, wall = faces // 2, scene.room[faces % 2, faces // 2]
  face = np.minimum(surface, FACES - 1)
  lit = np.abs(scene.light[axis] - wall).astype(np.float32).take(face)
  stand = np.abs(scene.eye[:, axis] - wall).astype(np.float32)
  frame = FACES * np.arange(len(stand))[:, None]
  return u, v, lit, stand.ravel().take(face + frame)


def _on_solid(scene, i, points, at):
  """The same at some of the points (flat indices), all on solid i."""
  solids = scene.solids
  turn, centre = solids.rotation[i], solids.centre[i]
  # Per frame: solid to world, then centre, lamp and eye on the solid's axes.
  places = [centre, scene.light - centre, scene.eye - centre]
  frames = np.concatenate([turn, np.stack(places, axis=1) @ turn], axis=1)
  frames = frames.reshape(-1, 18).astype(np.float32)
  frames = per_ray(frames, at, points)
  turn, (centre, *watchers) = frames[:9], frames[9:].reshape(3, 3, -1)
  x, y, z = (axis.ravel().take(at) for axis in points)
  local = turn[0:3] * x + turn[3:6] * y + turn[6:9] * z - centre
  wrap = _on_box if solids.is_box[i] else _on_sphere
  return wrap(solids.half[i].astype(np.float32), local, watchers)


def _on_sphere(half, local, watchers):
  radius = half[0]
  x, y, z = local / radius
  u = radius * np.arctan2(z, x)
  v = radius * np.arccos(np.clip(y, -1, 1))
  stand = [x * p + y * q + z * s - radius for p, q, s in watchers]
  return u, v, *stand


def _on_box(half, local, watchers):
  x, y, z = np.abs(local) / half[:, None]
  axis = np.where(z > np.maximum(x, y), 2, y > x)
  count = len(axis)

  def along(vectors, axis):
    return vectors.ravel().take(axis * count + np.arange(count))

  u, v = along(local, 2 * (axis == 0)), along(local, 1 + (axis == 1))
  side = np.sign(along(local, axis))
  stand = [side * along(place, axis) - half.take(axis) for place in watchers]
  # Each face shows another part of the pattern.
  return u + np.float32(0.37) * axis * side, v, *stand


def _albedo(scene, surface, u, v, depth, seen):
  """Looks the pattern up, at the sharpness that a pixel can show."""
  materials, side = scene.materials, SIDE
  density = (side / materials.tile).astype(np.float32)
  # Many tiles on, so that truncation rounds down.
  shift = ((64 + materials.offset.T) * side).astype(np.float32)
  dense = density.take(surface)
  column = (u * dense + shift[0].take(surface)).astype(np.int32) & (side - 1)
  row = (v * dense + shift[1].take(surface)).astype(np.int32) & (side - 1)
  # Texels under a pixel, squared; half its exponent is the level.
  texels = depth * dense / np.float32(scene.intrinsics[0, 0])
  texels *= texels / seen
  # Of a float32 read as an integer: cheaper than a logarithm for each pixel.
  level = ((texels.view(np.int32) >> 23) - 126) >> 1
  level = level.clip(0, LEVELS - 1).astype(np.intp)
  level += (materials.pattern * LEVELS).take(surface)
  texel = (level * side + row) * side + column
  grey = bank().ravel().take(texel)
  colour = surface * COLOURS + grey
  return materials.palette.reshape(-1, 3).take(colour, axis=0)


def _light(scene, points, lit, seen):
  """Lambert's law for the lamp, soft shadows, and light from everywhere."""
  lamp = scene.light.astype(np.float32)
  squared = sum((lamp[axis] - points[axis]) ** 2 for axis in range(3))
  direct = np.maximum(lit, 0) / np.sqrt(squared)
  direct /= 1 + squared * np.float32(_FALLOFF**-2)
  direct *= _unshadowed(scene, points, squared)
  ambient = np.float32(scene.ambient)
  # Light from everywhere falls a little from the eye, to show shape in shade.
  everywhere = ambient * (np.float32(0.55) + np.float32(0.45) * seen)
  return everywhere + np.float32(_LAMP) * (1 - ambient) * direct


def _unshadowed(scene, points, squared):
  """Share of the lamp that reaches each point, the solids being fuzzy balls.

  With L the way to the lamp and C the way to a solid's centre, the light
  passes the centre after s = C.L / L.L of the way, at distance |C - s L|.
  """
  lamp = scene.light.astype(np.float32)
  centres = scene.solids.centre.astype(np.float32)
  length = np.einsum('itr,itr->tr', points, points)
  shared = length - np.tensordot(lamp, points, 1)
  inverse = 1 / squared
  share = np.ones_like(squared)
  for centre, half in zip(centres, scene.solids.half):
    # C.L = centre.lamp - centre.p + p.p - lamp.p, of which two are shared.
    across = (centre[:, None] @ points.transpose(1, 0, 2))[:, 0]
    way = (shared - across + (centre @ lamp)[:, None]) * inverse
    gap = length - 2 * across + np.einsum('ti,ti->t', centre, centre)[:, None]
    gap -= way * way * squared
    shade = np.clip(1.3 - gap * np.float32(0.7 / half.mean() ** 2), 0, 0.9)
    # Fades out where the solid is beside or behind the point.
    share *= 1 - shade * np.clip(4 * way, 0, 1)
  return share
