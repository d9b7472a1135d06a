"""Contact sheets: a row per clip, time from left to right.

`plain` shows clips of one size as they are; `captioned` clips of any, with what
they are above them.
"""

from collections.abc import Mapping, Sequence

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from data import overlay

HEIGHT, COLUMNS = 96, 8  # of a row in pixels; pictures in it
_CAPTION = 16  # pixels
GAP = 2  # pixels, white, on each side of a picture of `plain`

Row = tuple[str, UInt8[np.ndarray, '_t _h _w 3']]


def spread(total: int, count: int) -> list[int]:
  """At most `count` numbers below `total`, from first to last."""
  return sorted({round(n) for n in np.linspace(0, total - 1, count)})


def rows_of(
  name: str, record: Mapping[str, np.ndarray], names: Sequence[str] = ()
) -> list[Row]:
  """Rows of a record: its video with boxes and tracks, depth, objects.

  Args:
    name: of the record.
    record: what is known of it.
    names: of classes.
  """
  rows = []
  if 'video' in record:
    video = record['video']
    video = overlay.enlarge(video, max(1, round(HEIGHT / video.shape[1])))
    if {'boxes', 'boxes_visible'} <= record.keys():
      video = overlay.boxes(video, record['boxes'], record['boxes_visible'])
    if {'tracks', 'tracks_visible'} <= record.keys():
      video = overlay.tracks(
        video, record['tracks'], record['tracks_visible'], trail=3
      )
    numbers = ', '.join(
      f'{key} {record[key]}' for key in ('label', 'video_id') if key in record
    )
    if 'label' in record and 0 <= record['label'] < len(names):
      numbers += f', {names[record["label"]]}'
    rows.append((f'{name} {numbers}', video))
  if 'depth' in record:
    depth = record['depth']
    near, far = (
      float(end(depth[depth > 0])) if (depth > 0).any() else 0.0
      for end in (np.min, np.max)
    )
    caption = f'{name} depth: {near:.3g} (bright) to {far:.3g} m'
    rows.append((caption, overlay.depth(depth, near, far)))
  if 'segmentation' in record:
    colours = np.array([(0, 0, 0), *overlay.colours(255)], np.uint8)
    picture = colours[record['segmentation'][..., 0]]
    rows.append((f'{name} segmentation', picture))
  return [(caption, clip[spread(len(clip), COLUMNS)]) for caption, clip in rows]


def plain(
  clips: Float[np.ndarray, 'b t h w 3'],
) -> UInt8[np.ndarray, 'rows columns 3']:
  """One picture of clips in [0, 1]."""
  tiles = np.pad(
    np.asarray(clips, np.float32),
    ((0, 0), (0, 0), (GAP, GAP), (GAP, GAP), (0, 0)),
    constant_values=1.0,
  )
  b, t, h, w, _ = tiles.shape
  tiles = tiles.transpose(0, 2, 1, 3, 4).reshape(b * h, t * w, 3)
  return np.round(np.clip(tiles, 0, 1) * 255).astype(np.uint8)


def captioned(rows: Sequence[Row]) -> UInt8[np.ndarray, 'rows columns 3']:
  """One picture of all rows, captions above them."""
  strips = []
  for caption, clip in rows:
    width = max(1, round(HEIGHT * clip.shape[2] / clip.shape[1]))
    how = cv2.INTER_AREA if clip.shape[1] > HEIGHT else cv2.INTER_NEAREST
    tiles = [
      cv2.resize(picture, (width, HEIGHT), interpolation=how)
      for picture in clip
    ]
    strip = np.concatenate(tiles, axis=1)
    label = np.zeros((_CAPTION, max(strip.shape[1], 8 * len(caption)), 3))
    label = label.astype(np.uint8)
    cv2.putText(
      label, caption, (2, 12), cv2.FONT_HERSHEY_PLAIN, 0.8, (255, 255, 255)
    )
    strips += [label, strip]
  width = max(strip.shape[1] for strip in strips)
  return np.concatenate(
    [
      np.pad(strip, ((0, 0), (0, width - strip.shape[1]), (0, 0)))
      for strip in strips
    ]
  )
