"""Point tracks of a Kubric clip, from its depth and object coordinates.

After the point tracking challenge of Kubric (Greff et al., CVPR 2022), with
every point queried in frame 0 of the clip:

* Points are pixels of frame 0, drawn so that small objects count as much as
  the background, but at most a tenth of the pixels of any.
* The background stands still: its points are placed by their depth. A point of
  an object moves with the corners of the object's box: its coordinates in the
  box are in `object_coordinates`.
* A point is hidden where its distance is more than that of the pixels around
  it, where those are all of other objects, behind the camera, out of the
  frame, or where its surface faces away. Normals that differ from pixel to
  pixel come from a bump map and are not asked.
"""

import dataclasses
import itertools

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8, UInt16

# The first two as in Kubric's own code.
_MOST = 0.1  # of the pixels of one object that may be drawn
_FARTHER = 0.99  # a point is hidden if what is seen is nearer than this part
_ROUGH = 0.05  # difference of unit normals of neighbours on a bump map
_HALF_CUBE = (-0.5, 0.5)
# Of a box that is 1 long, wide and high, in the order of `bboxes_3d`.
_CORNERS = np.array(list(itertools.product(*[_HALF_CUBE] * 3)))


@dataclasses.dataclass(frozen=True)
class Clip:
  """What is known of a clip: t frames, h x w pixels, o objects."""

  pose: Float[np.ndarray, 't 4 4']  # camera to world, OpenCV axes
  intrinsics: Float[np.ndarray, '3 3']  # pixels; a pixel's centre is at +0.5
  distance: Float[np.ndarray, 't h w']  # from the centre of the camera
  segmentation: UInt8[np.ndarray, 't h w']  # 0 background, object o is o + 1
  corners: Float[np.ndarray, 'o t 8 3']  # of the boxes, in the world
  turn: Float[np.ndarray, 'o t 3 3']  # object to world
  coordinates: UInt16[np.ndarray, 'h w 3']  # of frame 0, in the objects' boxes
  normals: UInt16[np.ndarray, 'h w 3']  # of frame 0, in the world


def tracks(
  clip: Clip, points: int, rng: np.random.Generator
) -> tuple[Float[np.ndarray, 'q t 2'], Bool[np.ndarray, 'q t']]:
  """Up to `points` tracks: (x, y) in [0, 1], raster; and whether it is seen.

  Where a point is hidden its place is still its projection, perhaps outside
  [0, 1]; behind the camera it means nothing.
  """
  row, column = _draw(clip.segmentation[0], points, rng)
  segment = clip.segmentation[0, row, column].astype(int)
  path = _paths(clip, row, column, segment)
  offset = path - clip.pose[:, :3, 3]
  local = np.einsum('tji,qtj->qti', clip.pose[:, :3, :3], offset)
  before = local[..., 2] > 0
  depth = np.where(before, local[..., 2], 1.0)
  focal, centre = np.diag(clip.intrinsics)[:2], clip.intrinsics[:2, 2]
  pixel = local[..., :2] / depth[..., None] * focal + centre

  height, width = clip.segmentation.shape[1:]
  raster = pixel / (width, height)
  visible = before & ((raster >= 0) & (raster < 1)).all(-1)
  visible &= ~_covered(clip, pixel, np.linalg.norm(offset, axis=-1), segment)
  visible &= ~_faces_away(clip, row, column, segment, offset)
  return raster.astype(np.float32), visible


def _draw(
  segmentation: UInt8[np.ndarray, 'h w'], points: int, rng: np.random.Generator
) -> tuple[Int[np.ndarray, 'q'], Int[np.ndarray, 'q']]:
  """Rows and columns of the pixels to follow, each at most once."""
  segments, counts = np.unique(segmentation, return_counts=True)
  # The smallest first.
  order = np.argsort(counts, kind='stable')
  drawn, missing = [], points
  for place, which in enumerate(order):  # what small ones lack, large ones give
    fair = round(missing / (len(order) - place))
    share = min(fair, round(_MOST * counts[which]))
    pixels = np.flatnonzero(segmentation == segments[which])
    drawn.append(rng.choice(pixels, share, replace=False))
    missing -= share
  pixels = rng.permutation(np.concatenate(drawn))
  return np.divmod(pixels, segmentation.shape[1])


def _paths(clip, row, column, segment) -> Float[np.ndarray, 'q t 3']:
  """Where the points are in the world."""
  frames = len(clip.pose)
  focal, centre = np.diag(clip.intrinsics)[:2], clip.intrinsics[:2, 2]
  slope = (np.stack([column, row], -1) + 0.5 - centre) / focal
  ray = np.concatenate([slope, np.ones((len(row), 1))], axis=1)
  ray *= clip.distance[0, row, column, None] / np.linalg.norm(
    ray, axis=1, keepdims=True
  )
  still = ray @ clip.pose[0, :3, :3].T + clip.pose[0, :3, 3]
  path = np.repeat(still[:, None], frames, axis=1)

  on = np.flatnonzero(segment)
  local = clip.coordinates[row[on], column[on]] / 65535 - 0.5
  # The affine map that takes the corners of the unit cube to those in the
  # world, in the sense of least squares: [o t 4 3].
  affine = np.linalg.pinv(_homogeneous(_CORNERS)) @ clip.corners
  path[on] = np.einsum(
    'qi,qtij->qtj', _homogeneous(local), affine[segment[on] - 1]
  )
  return path


def _homogeneous(places: Float[np.ndarray, 'n 3']) -> Float[np.ndarray, 'n 4']:
  return np.concatenate([places, np.ones((len(places), 1))], axis=1)


def _covered(clip, pixel, distance, segment) -> Bool[np.ndarray, 'q t']:
  """Whether something else is seen in all four pixels around the point."""
  height, width = clip.segmentation.shape[1:]
  # Far out of the frame the number may not fit an integer.
  corner = np.floor(np.clip(pixel, -1, (width, height)) - 0.5).astype(int)
  frame = np.arange(len(clip.pose))
  farthest, others = np.zeros(distance.shape), np.ones(distance.shape, bool)
  for right, down in itertools.product((0, 1), (0, 1)):
    x = np.clip(corner[..., 0] + right, 0, width - 1)
    y = np.clip(corner[..., 1] + down, 0, height - 1)
    farthest = np.maximum(farthest, clip.distance[frame, y, x])
    others &= clip.segmentation[frame, y, x] != segment[:, None]
  return others | (farthest < _FARTHER * distance)


def _faces_away(clip, row, column, segment, offset) -> Bool[np.ndarray, 'q t']:
  """Whether the surface of an object is turned away from the camera there.

  Never for a point that faces away already in frame 0: its normal is wrong.
  """
  # At the edge there is no neighbour: zeros differ, and count as rough.
  normals = np.pad(clip.normals / 32767.5 - 1, ((1, 1), (1, 1), (0, 0)))
  normal = normals[row + 1, column + 1]
  rough = sum(
    ((normals[row + y, column + x] - normal) ** 2).sum(-1) > _ROUGH**2
    for y, x in itertools.product((0, 2), (0, 2))
  )
  on = np.flatnonzero((segment > 0) & (rough <= 2))
  turn = clip.turn[segment[on] - 1]
  local = np.einsum('qji,qj->qi', turn[:, 0], normal[on])
  turned = np.einsum('qtij,qj->qti', turn, local)
  away = np.zeros(offset.shape[:2], bool)
  away[on] = (turned * offset[on]).sum(-1) > 0
  return away & ~away[:, :1]
