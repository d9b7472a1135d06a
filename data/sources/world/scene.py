"""What is in a clip of the built-in world, and how it moves.

The world is in metres and seconds, its axes are those of an upright camera:
x right, y down, z forward. The floor is y = 0, so heights are negative.
"""

from typing import NamedTuple

import numpy as np

from data.sources.world import surfaces

CAMERA_MOTIONS = ('left', 'right', 'forward', 'backward')
OBJECT_MOTIONS = ('still', 'drift', 'spin', 'hop')
FACES = 6  # of the room, numbered 2 * axis + (1 where the coordinate is high)
_WALLS, _CEILING = [0, 1, 4, 5], 2

_CANDIDATES = 12  # places tried for a solid before the least bad is taken
_FROM_WALLS = 0.3  # metres that the camera keeps
_FROM_SOLIDS = 0.6


class Solids(NamedTuple):
  """Spheres and boxes, o of them; the first ones move."""

  is_box: np.ndarray  # bool [o]
  half: np.ndarray  # [o 3] half sizes; of a sphere thrice its radius
  radius: np.ndarray  # [o] of the bounding sphere
  centre: np.ndarray | None = None  # [o t 3]
  rotation: np.ndarray | None = None  # [o t 3 3] solid to world


class Scene(NamedTuple):
  room: np.ndarray  # [2 3] lowest and highest corner
  eye: np.ndarray  # [t 3]
  view: np.ndarray  # [t 3 3] camera to world
  intrinsics: np.ndarray  # [3 3] in pixels
  solids: Solids
  light: np.ndarray  # [3]
  ambient: float  # share of the light that comes from everywhere
  materials: surfaces.Materials  # of the faces, then of the solids


def sample(
  rng: np.random.Generator,
  label: int,
  *,
  frames: int,
  height: int,
  width: int,
  objects: int,
  moving: int,
  fps: int | float,
  camera_speed: int | float,
  object_speed: int | float,
) -> Scene:
  """Draws a scene whose camera and solids move as `label` says.

  All that one frame can show (places, sizes, heights above the floor) is
  drawn alike for every label and holds at mid-clip: there the label tells
  in the picture only where a place was left because a path needed room.

  Args:
    rng: draws.
    label: 4 * camera motion + object motion.
    frames, height, width: size of the clip.
    objects: solids, at most; at least half as many are there.
    moving: so many of them move, at most; at least half as many.
    fps: frames in a second.
    camera_speed: metres in a second, about.
    object_speed: metres in a second of what drifts, hops in a second, and
      2.75 radians in a second of what spins, about.
  """
  camera_motion, object_motion = divmod(label, len(OBJECT_MOTIONS))
  # 0 at mid-clip, where all labels look alike.
  seconds = (np.arange(frames) - (frames - 1) / 2) / fps
  # Metres, as of rooms in a house (ours).
  size = rng.uniform((3.5, 2.4, 3.5), (8.0, 3.6, 8.0))
  room = np.stack([-size * (0.5, 1.0, 0.5), size * (0.5, 0.0, 0.5)])
  eye, view = _camera(
    rng, CAMERA_MOTIONS[camera_motion], room, seconds, camera_speed
  )
  # Of the longer side: 67 to 45 degrees across.
  focal = rng.uniform(0.75, 1.2)
  moving = rng.integers((moving + 1) // 2, moving, endpoint=True)
  static = objects - moving
  static = rng.integers((static + 1) // 2, static, endpoint=True)
  solids = _shapes(rng, static + moving, moving)
  places = _places(rng, solids, room, eye, view, 0.5 / focal)
  solids = _move(
    rng,
    OBJECT_MOTIONS[object_motion],
    solids,
    places,
    moving,
    room,
    seconds,
    object_speed,
  )
  solids = solids._replace(centre=_choose(solids.centre, solids.radius, eye))

  pixels = focal * max(height, width)
  spheres = np.where(solids.is_box, 0, 2 * np.pi * solids.radius)
  return Scene(
    room=room,
    eye=eye,
    view=view,
    intrinsics=np.array(
      [[pixels, 0, width / 2], [0, pixels, height / 2], [0, 0, 1]]
    ),
    solids=solids,
    # A lamp near the ceiling.
    light=room[0] + size * rng.uniform((0.2, 0.04, 0.2), (0.8, 0.2, 0.8)),
    ambient=rng.uniform(0.25, 0.5),
    materials=surfaces.sample(
      rng, np.append(np.zeros(FACES), spheres), _WALLS, _CEILING
    ),
  )


def at_frames(scene: Scene, frames) -> Scene:
  """The scene at some of its frames: a slice, or indices in any order."""
  solids = scene.solids
  return scene._replace(
    eye=scene.eye[frames],
    view=scene.view[frames],
    solids=solids._replace(
      centre=solids.centre[:, frames], rotation=solids.rotation[:, frames]
    ),
  )


def _camera(rng, motion, room, seconds, speed):
  """Eye [t 3] and rotation [t 3 3] of a hand-held camera."""
  extent = room[1, [0, 2]]
  azimuth = rng.uniform(0, 2 * np.pi)
  side = np.array([np.sin(azimuth), np.cos(azimuth)])
  x, z = -side * extent * rng.uniform(0.45, 0.85)
  start = np.array([x, rng.uniform(0.35, 0.8) * room[0, 1], z])
  x, z = rng.uniform(-0.3, 0.3, 2) * extent
  target = np.array([x, rng.uniform(0.05, 0.5) * room[0, 1], z])

  right, _, forward = _axes(target - start)
  sideways = motion in ('left', 'right')
  toward = right if sideways else forward
  if motion in ('left', 'backward'):
    toward = -toward
  travel = speed * rng.uniform(0.6, 1.4) * seconds[:, None] * toward
  eye = start + travel + 0.03 * speed * _wobble(rng, seconds)
  eye = _keep_inside(eye, room[0] + _FROM_WALLS, room[1] - _FROM_WALLS)
  # Between sliding past the scene (0) and circling around it (1).
  circling = rng.uniform(0, 1) * sideways
  gaze = target + (1 - circling) * travel
  gaze = gaze + 0.08 * speed * _wobble(rng, seconds)
  tilt = rng.uniform(-0.06, 0.06)
  view = _axes(gaze - eye, down=(np.sin(tilt), np.cos(tilt), 0.0))
  return eye, view.swapaxes(-1, -2)


def _axes(forward, down=(0.0, 1.0, 0.0)):
  """Rows: the x, y and z axis of a camera that looks `forward`."""
  z = forward / np.linalg.norm(forward, axis=-1, keepdims=True)
  x = np.cross(down, z)
  x = x / np.linalg.norm(x, axis=-1, keepdims=True)
  return np.stack([x, np.cross(z, x), z], axis=-2)


def _wobble(rng, seconds):
  """Smooth noise [t 3] of about unit size."""
  rate = rng.uniform((0.3, 0.8), (0.8, 1.6), (3, 2))
  phase = rng.uniform(0, 2 * np.pi, (3, 2))
  angle = 2 * np.pi * rate * seconds[:, None, None] + phase
  return np.sin(angle) @ (1.0, 0.4)


def _keep_inside(path, low, high):
  """Shifts a path into the box, and shrinks it if it is too long."""
  first, last = path.min(0), path.max(0)
  middle, half = (first + last) / 2, (last - first) / 2
  shrink = np.minimum(1, (high - low) / np.maximum(2 * half, 1e-9)).min()
  inside = np.clip(middle, low + half * shrink, high - half * shrink)
  return inside + (path - middle) * shrink


def _shapes(rng, count, moving):
  """Small solids, which may move, and furniture."""
  is_box = rng.random(count) < 0.6
  half = rng.uniform((0.2, 0.2, 0.2), (0.6, 0.75, 0.6), (count, 3))
  half[:moving] = rng.uniform(0.16, 0.4, (moving, 3))
  half[~is_box] = 0.9 * half[~is_box, :1]
  radius = np.where(is_box, np.linalg.norm(half, axis=-1), half[:, 0])
  return Solids(is_box, half, radius)


def _margins(solids, room):
  """How far from the walls a solid's centre stays, [o 3]."""
  return np.minimum(solids.radius[:, None], 0.45 * (room[1] - room[0]))


def _places(rng, solids, room, eye, view, spread):
  """Candidates [o k 3] for each solid, before the camera of mid-clip."""
  shape = (len(solids.half), _CANDIDATES)
  away = np.linalg.norm(room[1]) * rng.uniform(0.25, 1.2, shape)
  aside = away * spread * rng.uniform(-1.0, 1.0, shape)
  middle = len(eye) // 2
  local = np.stack([aside, 0 * away, away], axis=-1)
  margin = _margins(solids, room)[:, None]
  return np.clip(
    eye[middle] + local @ view[middle].T, room[0] + margin, room[1] - margin
  )


def _move(rng, motion, solids, places, moving, room, seconds, speed):
  """Solids on a path from each candidate place: centre [o k t 3]."""
  count = len(places)
  radius = solids.radius[:moving, None]
  paths = np.repeat(places[:, :, None], len(seconds), axis=2)
  paths[moving:, ..., 1] = -solids.half[moving:, 1, None, None]
  # Whatever moves is where a hopping ball could be, at all heights of a hop.
  bounce = rng.uniform(0, 1, (moving, 1)) + 0 * seconds
  top = rng.uniform(0.1, 0.9, (moving, 1)) * (-room[0, 1] - 2 * radius)
  angle = rng.uniform(0, 2 * np.pi, (count, 1)) + 0 * seconds
  axis = _directions(rng, count)
  # Furniture stands upright.
  axis[moving:] = (0.0, 1.0, 0.0)
  velocity = speed * _directions(rng, moving) * (1.0, 0.4, 1.0)
  velocity *= rng.uniform(0.5, 1.2, (moving, 1))
  turning = speed * rng.uniform(1.5, 4.0, moving) * rng.choice((-1, 1), moving)
  hopping = speed * rng.uniform(0.7, 1.3, moving)

  if motion == 'hop':
    bounce += hopping[:, None] * seconds
  elif motion == 'spin':
    angle[:moving] += turning[:, None] * seconds
  # A parabola that is 0 on the floor and `top` half-way.
  height = radius + np.maximum(top, 0) * 4 * (bounce % 1) * (1 - bounce % 1)
  paths[:moving, ..., 1] = -height[:, None]
  if motion == 'drift':
    margin = _margins(solids, room)[:moving, None, None]
    step = velocity[:, None, None] * seconds[:, None]
    paths[:moving] = _reflect(
      paths[:moving] + step, room[0] + margin, room[1] - margin
    )
  return solids._replace(centre=paths, rotation=_rotations(axis, angle))


def _reflect(path, low, high):
  """Lets a straight path bounce off the sides of a box."""
  size = high - low
  folded = (path - low) % (2 * size)
  return low + np.minimum(folded, 2 * size - folded)


def _directions(rng, count):
  vectors = rng.normal(size=(count, 3))
  return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def _choose(paths, radius, eye):
  """Of the paths [o k t 3], the first that keep clear of others, [o t 3]."""
  taken = np.concatenate([eye[None], paths[:, 0]])
  keep = np.append(_FROM_SOLIDS, radius)
  for i, path in enumerate(paths):
    gap = path[:, None] - taken[: i + 1]
    gap = np.sqrt(np.einsum('kotc,kotc->kot', gap, gap).min(-1))
    clear = (gap - keep[: i + 1]).min(-1) - radius[i]
    taken[i + 1] = path[np.minimum(clear, 0).argmax()]
  return taken[1:]


def _rotations(axis, angle):
  """Rodrigues: axis [o 3], angle [o t] -> [o t 3 3]."""
  cross = np.zeros((len(axis), 1, 3, 3))
  cross[:, 0, [2, 0, 1], [1, 2, 0]] = axis
  cross[:, 0, [1, 2, 0], [2, 0, 1]] = -axis
  angle = angle[..., None, None]
  turn = np.sin(angle) * cross + (1 - np.cos(angle)) * (cross @ cross)
  return np.eye(3) + turn
