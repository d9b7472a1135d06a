r"""Depth of a video, beside it.

    python -m docs.demos.depth --video=in.mp4 --out=depth.mp4 [--weights=...]

`--weights` is the published file (scaling4d_dist_b_depth.npz, where it is here)
or a finished readout job with depth of a model of ours, such as that which
`make quickstart` leaves (the default where the published file is not here).
"""

import os

import numpy as np
from absl import flags

from base import command

PUBLISHED = 'scaling4d_dist_b_depth.npz'
OURS = 'runs/quickstart/readouts/all'


def draw(weights: str, video: str, out: str, **options) -> None:
  """Writes `out`, an mp4: the video and its depth, near is bright.

  Args:
    weights: a published file with a depth head, or the folder of a readout job.
    video: a file of any length.
    out: an mp4.
    **options: of `published.load`.
  """
  from evals import windows
  from evals.predict import run as predict_run
  from evals.predict import video as predict_video
  from evals.predict import views
  from models import published

  if os.path.isdir(weights):
    predict_run.predict(readout=weights, video=video, out=out, tasks=['depth'])
    return
  model = published.load(weights, **options)
  view = views.Depth(predict_video.zoom_of(*model.clip[1:]))

  def drawn(window):
    depth = np.asarray(model(window.clip[None])[0])
    drawn = view.draw(depth, window.picture, window.count)
    return np.concatenate([drawn.picture, drawn.panel], axis=2)

  with windows.opened(video, stride=1, crop=True) as film:
    predict_video.redraw(film, model.clip, drawn, out)


def weights_here() -> str:
  """What there is to draw with, where `--weights` does not say.

  Raises:
    ValueError: nothing.
  """
  if os.path.exists(PUBLISHED):
    return PUBLISHED
  if not os.path.isdir(OURS):
    raise ValueError(
      f'--weights: neither {PUBLISHED} nor {OURS} is here; fetch the first '
      '(docs/published.md) or make the other: `make quickstart`'
    )
  return OURS


def main() -> None:
  """Draws."""
  draw(WEIGHTS.value or weights_here(), VIDEO.value, OUT.value)
  print(f'wrote {OUT.value}')


if __name__ == '__main__':
  WEIGHTS = flags.DEFINE_string('weights', '', 'A file, or a folder.')
  VIDEO = flags.DEFINE_string('video', None, 'Any file that FFmpeg reads.')
  OUT = flags.DEFINE_string('out', 'depth.mp4', 'The mp4 to write.')
  command.run(main, required=['video'])
