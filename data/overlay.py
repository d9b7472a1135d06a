"""Draws labels and predictions on clips, for people to look at.

Every function takes and gives uint8 [t h w 3] and leaves its input as it is.
`zoom` enlarges a small clip first (each pixel becomes a square of that side),
so that lines stay thin beside what they mark; draw one thing after the other
with the zoom in the first call.
"""

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

Clip = UInt8[np.ndarray, 't h w 3']
Large = UInt8[np.ndarray, 't {zoom}*h {zoom}*w 3']

_SHIFT = 4  # OpenCV takes coordinates in sixteenths of a pixel
_FURTHEST = 2**13  # pixels; what is drawn beyond is outside of any picture
_FONT = cv2.FONT_HERSHEY_SIMPLEX


def tracks(
  video: Clip,
  tracks: Float[np.ndarray, 'q t 2'],
  visible: Bool[np.ndarray, 'q t'],
  *,
  trail: int = 8,
  zoom: int = 1,
) -> Large:
  """A dot per visible point, and a line where it was seen before.

  A point keeps its colour, which depends on its row only. The line has a gap
  where the point is hidden.

  Args:
    video: what is drawn on.
    tracks: (x, y) in [0, 1], raster: (0, 0) is the corner of the picture.
    visible: which of them to draw; one that is not finite is not.
    trail: frames of the past that the line shows.
    zoom: see the module.
  """
  video = enlarge(video, zoom)
  height, width = video.shape[1:3]
  shown = visible & np.isfinite(tracks).all(-1)
  at = _fixed(np.where(shown[..., None], tracks, 0) * [width, height])
  thick = _thickness(height, width)
  for row, colour in enumerate(colours(len(tracks))):
    for now, picture in enumerate(video):
      for then in range(max(1, now - trail + 1), now + 1):
        if shown[row, then - 1 : then + 1].all():
          ends = at[row, then - 1].tolist(), at[row, then].tolist()
          cv2.line(picture, *ends, colour, thick, cv2.LINE_AA, _SHIFT)
      if shown[row, now]:
        radius = (thick + 1) << _SHIFT
        middle = at[row, now].tolist()
        cv2.circle(picture, middle, radius, colour, -1, cv2.LINE_AA, _SHIFT)
  return video


def boxes(
  video: Clip,
  boxes: Float[np.ndarray, 'o t 4'],
  visible: Bool[np.ndarray, 'o t'],
  *,
  zoom: int = 1,
) -> Large:
  """An outline per visible box; an object keeps its colour.

  Args:
    video: what is drawn on.
    boxes: (ymin, xmin, ymax, xmax) in [0, 1].
    visible: which of them to draw; one that is not finite is not.
    zoom: see the module.
  """
  video = enlarge(video, zoom)
  height, width = video.shape[1:3]
  shown = visible & np.isfinite(boxes).all(-1)
  corners = np.where(shown[..., None], boxes, 0)[..., [1, 0, 3, 2]]
  at = _fixed(corners * [width, height, width, height])
  thick = _thickness(height, width)
  for row, colour in enumerate(colours(len(boxes))):
    for now in np.flatnonzero(shown[row]):
      ends = at[row, now, :2].tolist(), at[row, now, 2:].tolist()
      cv2.rectangle(video[now], *ends, colour, thick, cv2.LINE_8, _SHIFT)
  return video


def depth(
  depth: Float[np.ndarray, 't h w 1'],
  near: float,
  far: float,
  *,
  zoom: int = 1,
) -> Large:
  """Near is bright, far is dark (magma), evenly in depth; 0 is black.

  Args:
    depth: metres; 0 is unknown.
    near: metres; what is nearer is as bright.
    far: metres; what is farther is as dark.
    zoom: see the module.
  """
  share = np.clip((far - depth) / max(far - near, 1e-6), 0, 1)
  level = np.round(255 * share).astype(np.uint8)
  table = cv2.applyColorMap(
    np.arange(256, dtype=np.uint8)[:, None], cv2.COLORMAP_MAGMA
  )[:, 0, ::-1]
  return enlarge(table[level[..., 0]] * (depth != 0), zoom)


def text(video: Clip, line: str, *, zoom: int = 1) -> Large:
  """White text on a darkened band at the top; smaller where it must fit."""
  video = enlarge(video, zoom)
  (wide, tall), below = cv2.getTextSize(line, _FONT, 0.4, 1)
  fit = min(1.0, (video.shape[2] - 4) / max(wide, 1))
  at = 2, 2 + round(tall * fit)
  video[:, : at[1] + round(below * fit) + 2] //= 3
  for picture in video:
    cv2.putText(
      picture, line, at, _FONT, 0.4 * fit, (255, 255, 255), 1, cv2.LINE_AA
    )
  return video


def enlarge(video: Clip, zoom: int) -> Large:
  """A copy whose pixels are squares of `zoom` pixels.

  Raises:
    ValueError: zoom is less than 1.
  """
  if zoom < 1:
    raise ValueError(f'zoom={zoom}: give 1 (as it is) or a whole number above')
  return np.ascontiguousarray(video.repeat(zoom, 1).repeat(zoom, 2)).copy()


def colours(count: int) -> list[tuple[int, int, int]]:
  """RGB colours that differ; the first n of them do not depend on `count`.

  Hues at multiples of the golden ratio, so that neighbours are far apart.
  """
  hues = (np.arange(count) * 0.618034 * 180 % 180).astype(np.uint8)
  hsv = np.stack([hues, np.full_like(hues, 200), np.full_like(hues, 255)], -1)
  if not count:
    return []
  return [
    tuple(colour.tolist())
    for colour in cv2.cvtColor(hsv[:, None], cv2.COLOR_HSV2RGB)[:, 0]
  ]


def _fixed(pixels: np.ndarray) -> np.ndarray:
  """Raster coordinates as OpenCV wants them: pixel centres are whole."""
  inside = np.clip(pixels - 0.5, -_FURTHEST, _FURTHEST)
  return np.round(inside * 2**_SHIFT).astype(int)


def _thickness(height: int, width: int) -> int:
  return max(1, round(min(height, width) / 200))
