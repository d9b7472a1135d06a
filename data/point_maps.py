"""Point maps: where in space what each pixel shows is, of any labelled clip.

Of a record's depth, pose and intrinsics (`data/source.py`), whichever source it
is of. A map of every frame is in the axes of one camera, that of the first
frame, so that what stands still has one place in all of them (as in DUSt3R,
Wang et al., arXiv 2312.14132).
"""

import numpy as np
from jaxtyping import Bool, Float


def of(
  depth: Float[np.ndarray, 't h w 1'],
  pose: Float[np.ndarray, 't 4 4'],
  intrinsics: Float[np.ndarray, '3 3'],
) -> tuple[Float[np.ndarray, 't h w 3'], Bool[np.ndarray, 't h w 1']]:
  """The points of all pixels' centres, and whether they are known.

  Args:
    depth: metres along the optical axis; 0: unknown.
    pose: camera to world, metres, OpenCV's axes.
    intrinsics: pixels; a pixel's centre is at +0.5.

  Returns:
    (x, y, z) in metres in the axes of the first frame's camera: x right, y
    down, z forward; 0 where depth is unknown.
  """
  _, height, width, _ = depth.shape
  x, y = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
  pixels = np.stack([x, y, np.ones_like(x)], axis=-1)
  # In float64: near points of a camera that is far from the world's origin are
  # differences of large numbers.
  rays = pixels @ np.linalg.inv(intrinsics.astype(np.float64)).T
  to_first = np.linalg.inv(pose[0].astype(np.float64)) @ pose
  turn, move = to_first[:, None, None, :3, :3], to_first[:, None, None, :3, 3]
  local = depth * rays
  points = (turn @ local[..., None])[..., 0] + move
  known = depth > 0
  return np.where(known, points, 0).astype(np.float32), known
