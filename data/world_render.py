"""Analytic ray casting of a scene of the built-in world, all frames at once.

Letters: t frames, r rays in a frame, o solids. A ray's direction has length 1
along the optical axis, so that what is found along it is depth. Arrays of
rays are [t r], those of vectors [3 t r].
"""

import numpy as np

from data import world_scene, world_textures

_FALLOFF = 3.5  # metres from the light to where it is half as bright


def pixel_rays(height: int, width: int, intrinsics, corners: bool):
  """Directions [3 r] of the pixels' centres, then of their corners."""
  x, y = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
  x, y = x.ravel(), y.ravel()
  if corners:
    cx, cy = np.meshgrid(np.arange(width + 1), np.arange(height + 1))
    x, y = np.append(x, cx), np.append(y, cy)
  (fx, _, px), (_, fy, py), _ = intrinsics
  rays = np.stack([(x - px) / fx, (y - py) / fy, np.ones_like(x)])
  return rays.astype(np.float32)


def to_world(view, rays):
  """Turns directions [3 r] or [3 t r] of a camera to the world's, [3 t r]."""
  view = view.astype(rays.dtype)
  if rays.ndim == 2:
    return view.transpose(1, 0, 2) @ rays
  return np.einsum('tij,jtr->itr', view, rays)


def cast(scene: world_scene.Scene, rays):
  """Depth and surface that each ray meets first.

  Args:
    scene: what there is.
    rays: directions [3 t r] in the world, float32 or float64.

  Returns:
    depth [t r], surface int [t r]: FACES of the room, then solids.
  """
  room, eye = scene.room.astype(rays.dtype), scene.eye.astype(rays.dtype)
  depth, surface = _cast_room(room, eye, rays)
  squared = np.einsum('itr,itr->tr', rays, rays)
  for i, is_box in enumerate(scene.solids.is_box):
    found, hits = (_cast_box if is_box else _cast_sphere)(
      scene, i, rays, squared
    )
    nearer = hits < depth.ravel()[found]
    found, hits = found[nearer], hits[nearer]
    depth.ravel()[found] = hits
    surface.ravel()[found] = world_scene.FACES + i
  return depth, surface


def _cast_room(room, eye, rays):
  with np.errstate(divide='ignore'):
    slope = 1 / rays
  low, high = room[:, :, None, None] - eye.T[None, :, :, None]
  reach = np.maximum(low * slope, high * slope)
  depth = reach[0]
  surface = (rays[0] > 0).astype(np.intp)
  for axis in (1, 2):
    nearer = reach[axis] < depth
    np.copyto(depth, reach[axis], where=nearer)
    np.copyto(surface, 2 * axis + (rays[axis] > 0), where=nearer)
  return depth, surface


def _near(scene, i, rays, squared):
  """Rays (flat indices) that pass the bounding sphere of solid i, and how."""
  half = scene.solids.half[i]
  radius = np.linalg.norm(half) if scene.solids.is_box[i] else half[0]
  offset = (scene.solids.centre[i] - scene.eye).astype(rays.dtype)
  along = (offset[:, None] @ rays.transpose(1, 0, 2))[:, 0]
  slack = (np.einsum('ti,ti->t', offset, offset) - radius**2)[:, None]
  passing = along * np.abs(along) > squared * slack.astype(rays.dtype)
  return np.flatnonzero(passing), offset, along


def _cast_sphere(scene, i, rays, squared):
  found, offset, along = _near(scene, i, rays, squared)
  frame = found // rays.shape[2]
  squared = squared.ravel()[found]
  middle = along.ravel()[found] / squared
  # From the nearest point, not the quadratic formula: it cancels nothing.
  gap = [
    offset[:, k][frame] - middle * rays[k].ravel()[found] for k in range(3)
  ]
  gap = gap[0] ** 2 + gap[1] ** 2 + gap[2] ** 2
  room = scene.solids.half[i, 0].astype(rays.dtype) ** 2 - gap
  depth = middle - np.sqrt(np.maximum(room, 0) / squared)
  return _ahead(found, depth, room > 0)


def _cast_box(scene, i, rays, squared):
  found, offset, _ = _near(scene, i, rays, squared)
  frame = found // rays.shape[2]
  turn = scene.solids.rotation[i].astype(rays.dtype)
  start = np.einsum('tji,tj->ti', turn, -offset)
  world = [rays[k].ravel()[found] for k in range(3)]
  enter, leave = -np.inf, np.inf
  for axis in range(3):
    direction = sum(turn[:, k, axis][frame] * world[k] for k in range(3))
    with np.errstate(divide='ignore'):
      slope = 1 / direction
    half = scene.solids.half[i, axis].astype(rays.dtype)
    middle = -start[:, axis][frame] * slope
    reach = half * np.abs(slope)
    enter = np.maximum(enter, middle - reach)
    leave = np.minimum(leave, middle + reach)
  return _ahead(found, enter, enter < leave)


def _ahead(found, depth, hit):
  hit &= depth > 0
  return found[hit], depth[hit]


def paint(scene: world_scene.Scene, rays, depth, surface):
  """Linear RGB, float32 [t r 3], of what the rays have met."""
  points = scene.eye.T.astype(np.float32)[:, :, None] + depth * rays
  u, v, lit, seen = _paint_room(scene, points, surface)
  for i in range(len(scene.solids.half)):
    at = np.flatnonzero(surface == world_scene.FACES + i)
    parts = _paint_solid(scene, i, points, at)
    for whole, part in zip((u, v, lit, seen), parts):
      whole.ravel()[at] = part
  length = depth * np.sqrt(np.einsum('itr,itr->tr', rays, rays))
  seen = np.clip(seen / length, 0.05, 1)
  albedo = _albedo(scene, surface, u, v, depth, seen)
  albedo *= _light(scene, points, lit, seen)[..., None]
  return albedo


def _paint_room(scene, points, surface):
  """Texture coordinates in metres, and how far light and eye stand off."""
  u, v = points[0].copy(), points[1].copy()
  np.copyto(u, points[2], where=surface < 2)
  np.copyto(v, points[2], where=(surface == 2) | (surface == 3))
  faces = np.arange(world_scene.FACES)
  axis, wall = faces // 2, scene.room[faces % 2, faces // 2]
  face = np.minimum(surface, world_scene.FACES - 1)
  lit = np.abs(scene.light[axis] - wall).astype(np.float32)[face]
  stand = np.abs(scene.eye[:, axis] - wall).astype(np.float32)
  frame = world_scene.FACES * np.arange(len(stand))[:, None]
  return u, v, lit, stand.ravel()[face + frame]


def _paint_solid(scene, i, points, at):
  frame = at // points.shape[2]
  solids = scene.solids
  centre = solids.centre[i].astype(np.float32)
  turn = solids.rotation[i].astype(np.float32)
  offset = [points[k].ravel()[at] - centre[:, k][frame] for k in range(3)]
  local = [
    sum(turn[:, k, axis][frame] * offset[k] for k in range(3))
    for axis in range(3)
  ]
  watchers = [
    np.einsum('tji,tj->ti', turn, place - centre)[frame].T
    for place in (scene.light.astype(np.float32), scene.eye)
  ]
  wrap = _wrap_box if solids.is_box[i] else _wrap_sphere
  return wrap(solids.half[i].astype(np.float32), local, watchers)


def _wrap_sphere(half, local, watchers):
  radius = half[0]
  x, y, z = (k / radius for k in local)
  u = radius * np.arctan2(z, x)
  v = radius * np.arccos(np.clip(y, -1, 1))
  stand = [x * p + y * q + z * s - radius for p, q, s in watchers]
  return u, v, *stand


def _wrap_box(half, local, watchers):
  x, y, z = local
  face = np.argmax([np.abs(k) / h for k, h in zip(local, half)], axis=0)
  u = np.choose(face, [z, x, x])
  v = np.choose(face, [y, z, y])
  side = np.sign(np.choose(face, local))
  stand = [side * np.choose(face, p) - half[face] for p in watchers]
  # Opposite and adjacent faces show different parts of the texture.
  return u + 0.37 * face * side, v, *stand


def _albedo(scene, surface, u, v, depth, seen):
  """Texture look-up at the sharpness that a pixel can show."""
  materials, side = scene.materials, world_textures.SIDE
  density = (side / materials.tile).astype(np.float32)
  shift = (materials.offset * side + 64 * side).astype(np.float32)
  dense = density[surface]
  column = (u * dense + shift[:, 0][surface]).astype(np.int32) & (side - 1)
  row = (v * dense + shift[:, 1][surface]).astype(np.int32) & (side - 1)
  # Texels under a pixel, squared; its exponent, halved, is the level.
  texels = depth * dense / np.float32(scene.intrinsics[0, 0])
  texels = texels * texels / seen
  level = ((texels.view(np.int32) >> 23) - 126) >> 1
  level = np.clip(level, 0, world_textures.LEVELS - 1)
  first = (materials.texture * world_textures.LEVELS)[surface]
  texel = ((first + level) * side + row) * side + column
  grey = world_textures.bank().ravel().take(texel)
  colour = surface * world_scene.PALETTE + grey
  return materials.palette.reshape(-1, 3).take(colour, axis=0)


def _light(scene, points, lit, seen):
  """Lambert's law for the lamp, soft shadows, and light from everywhere."""
  lamp = scene.light.astype(np.float32)
  squared = sum((lamp[k] - points[k]) ** 2 for k in range(3))
  lamp_light = np.maximum(lit, 0) / np.sqrt(squared)
  lamp_light /= 1 + squared / np.float32(_FALLOFF**2)
  lamp_light *= _shadows(scene, points, squared)
  ambient = np.float32(scene.ambient)
  everywhere = ambient * (np.float32(0.55) + np.float32(0.45) * seen)
  return everywhere + np.float32(1.6 * (1 - scene.ambient)) * lamp_light


def _shadows(scene, points, squared):
  """Share of the lamp that reaches each point, solids taken as fuzzy balls.

  With L the way to the lamp and C that to a solid's centre, the solid is at
  s = C.L / L.L of the way, and the ray passes it at distance |C - s L|.
  """
  lamp = scene.light.astype(np.float32)
  centres = scene.solids.centre.astype(np.float32)
  # C.L = centre.lamp - centre.p - (lamp.p - p.p), by matrix products.
  length = np.einsum('itr,itr->tr', points, points)
  shared = length - np.tensordot(lamp, points, 1)
  share = np.ones_like(squared)
  inverse = 1 / squared
  for i, centre in enumerate(centres):
    radius = np.float32(scene.solids.half[i].mean())
    across = (centre[:, None] @ points.transpose(1, 0, 2))[:, 0]
    on_way = shared - across + (centre @ lamp)[:, None]
    on_way *= inverse
    gap = length - 2 * across + np.einsum('ti,ti->t', centre, centre)[:, None]
    gap -= on_way * on_way * squared
    # A point behind the solid, seen from the lamp, is in shadow only if the
    # solid stands between: 0 < s.
    shadow = np.clip(1.3 - gap * (0.7 / radius**2), 0, 0.9)
    share *= 1 - shadow * np.clip(4 * on_way, 0, 1)
  return share
