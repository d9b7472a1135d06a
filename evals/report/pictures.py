"""Contact sheets of a run as clips that move.

Runs and jobs draw sheets: a row for each clip, a column for each frame. Where
the layout of one is known, the page shows its clips side by side, moving, and
links to the sheet.
"""

import html
import os
from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np
from etils import epath

from base import files
from data import overlay
from data.contact_sheet import GAP

# Of each picture that objectives and tasks draw: what its panels show, from
# top to bottom.
PANELS = {
  'reconstruction': ('seen', 'reconstructed', 'truth'),
  'prediction': ('decoded', 'truth'),
  'tokens': ('tokens',),
  'attention': ('one token', 'another', 'another', 'another'),
  'depth': ('video', 'predicted', 'truth'),
  'pose': ('video', 'way'),
  'points': ('predicted', 'truth'),
  'points3d': ('predicted', 'truth'),
  'boxes': ('predicted', 'truth'),
  'classify': ('video',),
}
_NOTES = {
  'reconstruction': 'From the patches of a clip that are seen, all of it is '
  'reconstructed.',
  'prediction': 'Each frame as it was decoded before it was seen; the first '
  'one from nothing.',
  'tokens': 'What the tokens hold that a pixel is decoded from: three '
  'principal components as colours.',
  'attention': 'How much each pixel takes of a token: of the four that some '
  'pixel of the last frame takes most of. A token that follows what it stands '
  'for moves with it.',
  'depth': 'Predicted and true depth are coloured over the range of the '
  "clip's true depth.",
  'pose': 'The way from the first to the last frame, seen from above: true '
  'green, predicted orange; ticks show where the camera looks.',
  'points': 'Asked for in the first frame; drawn where they are (predicted '
  'to be) visible.',
  'points3d': 'In the picture; drawn where they are (predicted to be) visible.',
  'boxes': 'Asked for in the first frame; drawn where the object is visible.',
  'classify': 'The likeliest class, its probability, and the true class.',
}
_FRAME_MS = 250
_WIDE = 880  # pixels; a strip is enlarged to about this


def figure(
  name: str, path: str, model: Mapping[str, Any], prefix: str, out: str
) -> str:
  """A sheet's clips, moving, and a link to the sheet.

  Args:
    name: of the picture.
    path: of the sheet's PNG.
    model: config, with the shape of clips.
    prefix: of the files of the page.
    out: folder of the page.
  """
  still, moving = f'{prefix}-{name}.png', f'{prefix}-{name}-moving.webp'
  encoded = files.read_bytes(path)
  # OpenCV raises where there is nothing at all.
  sheet = encoded and cv2.imdecode(
    np.frombuffer(encoded, np.uint8), cv2.IMREAD_COLOR
  )
  if sheet is None or not len(sheet):
    return (
      f'<p class="note">Not shown: {html.escape(path)} is damaged, no picture '
      'can be read of it.</p>'
    )
  files.write(os.path.join(out, still), encoded)
  clips = _clips(name, sheet, model)
  alt = html.escape(name)
  if clips is None:
    picture = f'<img src="{still}" alt="{alt}">'
    labels, caption = '', 'Rows are clips, columns frames.'
  else:
    _animate(clips, os.path.join(out, moving))
    picture = (
      '<picture><source media="(prefers-reduced-motion: reduce)" '
      f'srcset="{still}"><img src="{moving}" alt="{alt}"></picture>'
    )
    labels = ''.join(f'<li>{panel}</li>' for panel in PANELS[name])
    labels = f'<ol>{labels}</ol>'
    caption = f'{len(clips)} clips. '
  return (
    f'<figure><div class="sheet">{labels}<a href="{still}">{picture}</a></div>'
    f'<figcaption>{caption}<a href="{still}">Frame by frame</a></figcaption>'
    '</figure>'
  )


def note(name: str) -> str:
  """What a picture's colours mean; '' of one that explains itself."""
  return _NOTES.get(name, '')


def depth_legend(out: str) -> str:
  """The colours of depth, as a picture and a line of HTML."""
  metres = np.linspace(0, 1, 256, dtype=np.float32)[None, None, :, None]
  ramp = overlay.depth(metres + 1, near=1.0, far=2.0)[0, :, :, ::-1]
  bar = np.repeat(ramp, 16, axis=0)
  with files.replacing(os.path.join(out, 'depth-colours.png')) as draft:
    _check(cv2.imwrite(str(draft), bar), draft)
  return (
    '<p class="note scale">near <b style="background: '
    'url(depth-colours.png) 0 0 / 100% 100%"></b> far</p>'
  )


def _check(is_written: bool, path: epath.Path) -> None:
  """OpenCV does not raise where it cannot write, it returns False."""
  if not is_written:
    raise OSError(f'cannot write {path}: is the disk full?')


def _clips(
  name: str, sheet: np.ndarray, model: Mapping[str, Any]
) -> np.ndarray | None:
  """BGR clips [b t h w 3] of a sheet; None where its layout is not known."""
  if name not in PANELS or 'frames' not in model:
    return None
  t = model['frames']
  w, wide = divmod(sheet.shape[1], t)
  zoom, rest = divmod(w - 2 * GAP, model['width'])
  h = len(PANELS[name]) * model['height'] * zoom + 2 * GAP
  b, tall = divmod(sheet.shape[0], h)
  if wide or rest or tall or zoom < 1:
    return None
  clips = sheet.reshape(b, h, t, w, 3).transpose(0, 2, 1, 3, 4)
  return clips[:, :, GAP:-GAP, GAP:-GAP]


def _animate(clips: np.ndarray, path: str) -> None:
  """Writes clips [b t h w 3] side by side, as an animated WebP."""
  gap = [(0, 0)] * 3 + [(GAP, GAP), (0, 0)]
  clips = np.pad(clips, gap, constant_values=255)
  strip = np.concatenate(list(clips), axis=2)
  zoom = max(1, _WIDE // strip.shape[2])
  strip = strip.repeat(zoom, axis=1).repeat(zoom, axis=2)
  animation = cv2.Animation()
  animation.frames = [np.ascontiguousarray(frame) for frame in strip]
  animation.durations = [_FRAME_MS] * (len(strip) - 1) + [3 * _FRAME_MS]
  quality = [cv2.IMWRITE_WEBP_QUALITY, 85]
  with files.replacing(path) as draft:
    _check(cv2.imwriteanimation(str(draft), animation, quality), draft)
