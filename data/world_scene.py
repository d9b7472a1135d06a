"""What is in a clip of the built-in world, and how it moves.

The world is in metres and seconds, its axes are those of an upright camera:
x right, y down, z forward. The floor is y = 0, so heights are negative.
"""

from typing import NamedTuple

import numpy as np

from data import world_textures

CAMERA_MOTIONS = ('left', 'right', 'forward', 'backward')
OBJECT_MOTIONS = ('still', 'drift', 'spin', 'hop')
FACES = 6  # of the room, numbered 2 * axis + (1 where the coordinate is high)
PALETTE = 256  # colours between the darkest and the lightest texel

_CANDIDATES = 12  # places tried for a solid before the least bad is taken
_FROM_WALLS = 0.3  # metres that the camera keeps
_FROM_SOLIDS = 0.6


class Solids(NamedTuple):
  """Spheres and boxes; the first ones move. o: solids present in the clip."""

  is_box: np.ndarray  # bool [o]
  half: np.ndarray  # [o 3] half sizes; of a sphere thrice its radius
  centre: np.ndarray  # [o t 3]
  rotation: np.ndarray  # [o t 3 3] solid to world


class Materials(NamedTuple):
  """One row a surface: the faces of the room, then the solids."""

  texture: np.ndarray  # int [s], index in world_textures.bank()
  tile: np.ndarray  # [s] metres that one tile of the texture covers
  offset: np.ndarray  # [s 2] in tiles
  palette: np.ndarray  # float32 [s PALETTE 3], linear RGB


class Scene(NamedTuple):
  label: int  # 4 * camera motion + object motion
  room: np.ndarray  # [2 3] lowest and highest corner
  eye: np.ndarray  # [t 3]
  view: np.ndarray  # [t 3 3] camera to world
  intrinsics: np.ndarray  # [3 3] in pixels
  solids: Solids
  light: np.ndarray  # [3]
  ambient: float  # share of the light that comes from everywhere
  materials: Materials


def sample(
  rng: np.random.Generator,
  label: int,
  *,
  frames: int,
  height: int,
  width: int,
  objects: int,
  moving: int,
  fps: float,
  camera_speed: float,
  object_speed: float,
) -> Scene:
  """Draws a scene whose camera and solids move as `label` says.

  All that one frame could show (places, sizes, heights above the floor) is
  drawn alike for every label: at mid-clip the label says nothing about the
  picture, and elsewhere only through the little that moved since.
  """
  camera_motion, object_motion = divmod(label, len(OBJECT_MOTIONS))
  seconds = (np.arange(frames) - (frames - 1) / 2) / fps
  room = _sample_room(rng)
  eye, view = _sample_camera(
    rng, CAMERA_MOTIONS[camera_motion], room, seconds, camera_speed
  )
  focal = rng.uniform(0.75, 1.2)
  solids = _sample_solids(
    rng,
    OBJECT_MOTIONS[object_motion],
    room,
    seconds,
    object_speed,
    (eye, view, 0.5 / focal),
    static=rng.integers(0, objects - moving, endpoint=True),
    moving=rng.integers((moving + 1) // 2, moving, endpoint=True),
  )
  light = room[0] + (room[1] - room[0]) * rng.uniform(
    (0.2, 0.04, 0.2), (0.8, 0.2, 0.8)
  )
  pixels = focal * max(height, width)
  intrinsics = np.array(
    [[pixels, 0, width / 2], [0, pixels, height / 2], [0, 0, 1]]
  )
  return Scene(
    label=label,
    room=room,
    eye=eye,
    view=view,
    intrinsics=intrinsics,
    solids=solids,
    light=light,
    ambient=rng.uniform(0.25, 0.5),
    materials=_sample_materials(rng, len(solids.half)),
  )


def _sample_room(rng):
  size = rng.uniform((3.5, 2.4, 3.5), (8.0, 3.6, 8.0))
  return np.stack([-size * (0.5, 1.0, 0.5), size * (0.5, 0.0, 0.5)])


def _sample_camera(rng, motion, room, seconds, speed):
  """Eye [t 3] and rotation [t 3 3] of a hand-held camera."""
  extent = room[1, [0, 2]]
  azimuth = rng.uniform(0, 2 * np.pi)
  side = np.array([np.sin(azimuth), np.cos(azimuth)])
  x, z = -side * extent * rng.uniform(0.45, 0.85)
  start = np.array([x, rng.uniform(0.3, 0.8) * room[0, 1], z])
  x, z = rng.uniform(-0.3, 0.3, 2) * extent
  target = np.array([x, rng.uniform(0.05, 0.6) * room[0, 1], z])

  forward, right = _axes(target - start)[[2, 0]]
  toward = {
    'left': -right,
    'right': right,
    'forward': forward,
    'backward': -forward,
  }[motion]
  travel = speed * rng.uniform(0.6, 1.4) * seconds[:, None] * toward
  eye = start + travel + 0.03 * speed * _wobble(rng, seconds)
  eye = _keep_inside(eye, room[0] + _FROM_WALLS, room[1] - _FROM_WALLS)
  # Between sliding past the scene (0) and circling around it (1).
  circling = rng.uniform(0, 1) if motion in ('left', 'right') else 0.0
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


def _sample_solids(rng, motion, room, seconds, speed, camera, static, moving):
  count = moving + static
  is_box = rng.random(count) < 0.6
  half = rng.uniform((0.2, 0.2, 0.2), (0.6, 0.75, 0.6), (count, 3))
  half[:moving] = rng.uniform(0.16, 0.4, (moving, 3))
  half[~is_box] = half[~is_box, :1] * 0.9
  radius = np.where(is_box, np.linalg.norm(half, axis=-1), half[:, 0])

  places = _in_view(rng, count, room, camera)
  margin = np.minimum(radius[:, None], 0.45 * (room[1] - room[0]))[:, None]
  places = np.clip(places, room[0] + margin, room[1] - margin)
  rise = rng.uniform(0, 1, (count, 1))
  top = rng.uniform(0.1, 0.9, (count, 1)) * (-room[0, 1] - 2 * radius[:, None])
  phase = _loop(rise + 0 * seconds)
  if motion == 'hop':
    rate = speed * rng.uniform(0.7, 1.3, (count, 1))
    phase = _loop(rise + rate * seconds)
  paths = np.repeat(places[:, :, None], len(seconds), axis=2)
  paths[..., 1] = -radius[:, None, None] - (np.maximum(top, 0) * phase)[:, None]
  paths[moving:, ..., 1] = -half[moving:, None, None, 1]
  if motion == 'drift':
    velocity = _directions(rng, moving) * (1.0, 0.4, 1.0)
    velocity *= speed * rng.uniform(0.5, 1.2, (moving, 1))
    step = velocity[:, None, None] * seconds[:, None]
    edge = margin[:moving, None]
    paths[:moving] = _reflect(
      paths[:moving] + step, room[0] + edge, room[1] - edge
    )

  angle = rng.uniform(0, 2 * np.pi, (count, 1)) + 0 * seconds
  axis = _directions(rng, count)
  axis[moving:] = (0.0, 1.0, 0.0)
  if motion == 'spin':
    rate = rng.uniform(1.5, 4.0, moving) * rng.choice((-1, 1), moving)
    angle[:moving] += speed * rate[:, None] * seconds
  return Solids(
    is_box=is_box,
    half=half,
    centre=_choose(paths, radius, camera[0]),
    rotation=_rotations(axis, angle),
  )


def _in_view(rng, count, room, camera):
  """Places [o k 3] before the camera as it stands in mid-clip."""
  eye, view, spread = camera
  middle = len(eye) // 2
  shape = (count, _CANDIDATES)
  away = np.linalg.norm(room[1, [0, 2]]) * rng.uniform(0.25, 1.3, shape)
  aside = away * spread * rng.uniform(-1.0, 1.0, shape)
  local = np.stack([aside, 0 * away, away], axis=-1)
  return eye[middle] + local @ view[middle].T


def _loop(phase):
  """Height of a ball that bounces, 0 to 1; the phase counts bounces."""
  phase = phase % 1
  return 4 * phase * (1 - phase)


def _reflect(path, low, high):
  """Lets a straight path bounce off the sides of a box."""
  size = high - low
  folded = (path - low) % (2 * size)
  return low + np.minimum(folded, 2 * size - folded)


def _directions(rng, count):
  vectors = rng.normal(size=(count, 3))
  return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def _choose(paths, radius, eye):
  """Of the candidate paths [o k t 3], the first that keeps clear, [o t 3]."""
  chosen = np.empty((len(paths), len(eye), 3))
  chosen_radius = np.empty(len(paths) + 1)
  others = np.concatenate([eye[None], chosen])
  chosen_radius[0] = _FROM_SOLIDS
  for i, path in enumerate(paths):
    gap = path[:, None] - others[None, : i + 1]
    gap = np.sqrt(np.einsum('kotc,kotc->kot', gap, gap)).min(-1)
    clear = (gap - chosen_radius[: i + 1]).min(-1) - radius[i]
    others[i + 1] = path[np.minimum(clear, 0).argmax()]
    chosen_radius[i + 1] = radius[i]
  return others[1:]


def _rotations(axis, angle):
  """Rodrigues: axis [o 3], angle [o t] -> [o t 3 3]."""
  cross = np.zeros((len(axis), 1, 3, 3))
  cross[:, 0, [2, 0, 1], [1, 2, 0]] = axis
  cross[:, 0, [1, 2, 0], [2, 0, 1]] = -axis
  angle = angle[..., None, None]
  turn = np.sin(angle) * cross + (1 - np.cos(angle)) * (cross @ cross)
  return np.eye(3) + turn


def _sample_materials(rng, solids):
  count = FACES + solids
  texture = rng.integers(0, len(world_textures.bank()), count)
  tile = rng.uniform(0.5, 1.2, count)
  tile[:FACES] = rng.uniform(1.2, 3.0, FACES)
  saturation = rng.uniform(0.3, 0.9, count)
  saturation[:FACES] *= 0.6
  value = rng.uniform(0.35, 1.0, count)
  hue = rng.uniform(0, 1, (count, 2))
  # The walls are of one material, ceilings are light.
  walls = [0, 1, 4, 5]
  for drawn in (texture, tile, saturation, hue):
    drawn[walls] = drawn[0]
  value[2] = rng.uniform(0.8, 1.0)
  base, accent = np.moveaxis(_colours(hue, saturation, value), 1, 0)
  shade = rng.uniform((0.1, 0.35, 0.8), (0.4, 0.8, 1.1), (count, 3))
  stops = base[:, None] * shade[..., None]
  accented = rng.random(count) < 0.5
  stops[accented, 2] = accent[accented]
  return Materials(
    texture=texture,
    tile=tile,
    offset=rng.uniform(0, 1, (count, 2)),
    palette=(_BLEND @ stops).astype(np.float32),
  )


def _colours(hue, saturation, value):
  """Linear RGB [s 2 3] of hues [s 2]."""
  wheel = 0.5 + 0.5 * np.cos(2 * np.pi * (hue[..., None] + (0, 1 / 3, 2 / 3)))
  return value[:, None, None] * (1 - saturation[:, None, None] * wheel)


# Weights [PALETTE 3] that blend a palette of three stops.
_BLEND = np.maximum(
  0, 1 - np.abs(np.linspace(0, 2, PALETTE)[:, None] - np.arange(3))
)
